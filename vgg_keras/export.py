"""Exports a trained model as a fully convolutional SavedModel for images of any size.

python -m vgg_keras.export --model=runs/vgg16/best.keras --output_dir=saved_models/vgg16
"""

import dataclasses
from pathlib import Path

from vgg_keras import command_line, serving
from vgg_keras.command_line import option


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Flags of `vgg_keras.export`."""

    model: str = option("", "the .keras file of a trained model", required=True)
    output_dir: str = option("", "the folder of versions; the next free number is made in it", required=True)
    check_images: str = option(
        "", "photos to compare the two models on: a folder or a glob; empty takes the run's samples"
    )


def main(flags: ExportOptions) -> None:
    """Writes, checks and names one version."""
    model = Path(flags.model)
    photos = serving.sample_photos(model, flags.check_images)
    exported = serving.export(model, Path(flags.output_dir), photos)
    print(f"exported {model} -> {exported}")
    print(f"look at it:  saved_model_cli show --all --dir {exported}")


if __name__ == "__main__":
    command_line.run(main, ExportOptions)
