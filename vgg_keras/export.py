"""Exports a trained model as a fully convolutional SavedModel that takes encoded photos of any size.

python -m vgg_keras.export --model=runs/vgg16/best.keras --output_dir=saved_models/vgg16
"""

import dataclasses
from pathlib import Path

from vgg_keras import command_line, paper, run_folder, serving
from vgg_keras.agreement import TOLERANCES
from vgg_keras.command_line import option
from vgg_keras.paper import DENSE
from vgg_keras.posteriors import AVERAGES, SCORES
from vgg_keras.serving import Plan
from vgg_keras.tested_models import Protocol


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Flags of `vgg_keras.export`."""

    model: str = option("", "the .keras file of a trained model, or a run's folder", required=True)
    output_dir: str = option("", "the folder of versions; the next free number is made in it", required=True)
    method: str = option(
        DENSE, "how the served model looks at photos", choices=(DENSE, paper.MULTI_CROP, paper.CENTER_CROP)
    )
    test_scales: str = option(
        "", "Q,...: smallest sides; single or multi: the paper's for the run's training scale; empty: single"
    )
    flip: bool | None = option(None, "average each view with its mirror image; None: all but the centre crop")
    average: str = option(SCORES, "what is averaged over the class-score map", choices=AVERAGES)
    top: int = option(5, "how many class names an answer has", lower=1)
    max_megapixels: float = option(100.0, "refuse larger images before they are decoded, million pixels", lower=0.001)
    precision: str = option("float32", "of the weights and the layers' outputs", choices=tuple(TOLERANCES))
    keep: int = option(0, "how many versions are kept, the newest; 0: all", lower=0)
    check_images: str = option(
        "", "photos to compare the two models on: a folder or a glob; empty takes the run's samples"
    )

    def plan(self) -> Plan:
        """Returns how the model is exported."""
        protocol = Protocol(self.method, self.test_scales, self.flip, self.average)
        return Plan(protocol, self.precision, self.top, self.max_megapixels, self.keep)


def main(flags: ExportOptions) -> None:
    """Writes, checks and names one version."""
    model = run_folder.model_file(Path(flags.model))
    photos = serving.sample_photos(model, flags.check_images)
    exported = serving.export(model, Path(flags.output_dir), photos, flags.plan())
    print(f"exported {model} -> {exported}")
    print(f"read about it: {exported / serving.EXTRA / 'model_card.md'}")
    print(f"look at it:    saved_model_cli show --all --dir {exported}")


if __name__ == "__main__":
    command_line.run(main, ExportOptions)
