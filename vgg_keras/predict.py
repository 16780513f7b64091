"""Says what is on photos.

python -m vgg_keras.predict --model=runs/flowers photo.jpg more_photos/ 'others/*.png'
"""

import csv
import dataclasses
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from data_prep.image_preparation import BadImage
from vgg_keras.data import photo_files
from vgg_keras.evaluation import figures, published
from vgg_keras.evaluation.published import DENSE
from vgg_keras.inference import loading
from vgg_keras.inference.loading import Protocol
from vgg_keras.inference.posteriors import AVERAGES, SCORES
from vgg_keras.inference.predictor import Predictor
from vgg_keras.models import fully_convolutional
from vgg_keras.training import run_dir
from vgg_keras.utils import cli
from vgg_keras.utils.cli import UserError, option


@dataclasses.dataclass(frozen=True)
class PredictOptions:
    """Flags of `vgg_keras.predict`."""

    paths: tuple[str, ...] = option((), "photos: files, folders, globs", positional=True)
    model: str = option("", "a .keras file or a run's folder", required=True)
    method: str = option(
        DENSE, "how photos are looked at", choices=(DENSE, published.MULTI_CROP, published.CENTER_CROP)
    )
    test_scales: str = option(
        "", "Q,...: smallest sides; single or multi: the paper's for the run's training scale; empty: single"
    )
    flip: bool | None = option(None, "average each view with its mirror image; None: all but the centre crop")
    average: str = option(SCORES, "what is averaged over the class-score map", choices=AVERAGES)
    top: int = option(5, "how many labels are given", lower=1)
    csv: str = option("", "write the labels there as CSV")
    json: str = option("", "write the labels there as JSON")
    output_dir: str = option("", "write each photo there with its labels and posteriors on it")
    class_score_maps: bool = option(False, "also draw the class-score map of the best label; needs --output_dir")
    batch_size: int = option(32, "crops at a time", lower=1)

    def protocol(self) -> Protocol:
        """Returns how photos are looked at."""
        return Protocol(self.method, self.test_scales, self.flip, self.average)


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What was found on a photo.

    Attributes:
        file: the photo.
        labels: (name, index, posterior) of the best classes, best first.
    """

    file: Path
    labels: Sequence[tuple[str, int, float]]

    def lines(self) -> list[str]:
        """Returns a line for each label."""
        return [f"{name} {posterior:.3f}" for name, _, posterior in self.labels]


def map_figure(predictor: Predictor, photo: np.ndarray, label: tuple[str, int, float]) -> Figure:
    """Draws the class-score map of a label over a photo.

    Raises:
        UserError: the model cannot be converted.
    """
    name, index, posterior = label
    image, posteriors = fully_convolutional.posterior_map(predictor.map_net, photo, predictor.model.map_scale())
    mapped = figures.MappedImage(image, posteriors, f"{name} {posterior:.3f}", [(index, name)])
    return figures.class_score_maps([mapped], predictor.model.input_size)


def predictions(
    predictor: Predictor, names: Sequence[str], files: Sequence[Path], options: PredictOptions
) -> Iterator[Prediction]:
    """Yields what is on each photo that can be read and looked at; says which cannot."""
    with cli.progress_bar("photos", len(files), " photos", leave=False) as bar:
        for place, file in enumerate(files):
            try:
                photo = photo_files.read(file)
                posteriors = predictor.posteriors(photo)
            except (BadImage, OSError) as error:
                bar.write(f"{file}: {error}", file=sys.stderr)
            else:
                best = np.argsort(-posteriors, kind="stable")[: options.top].tolist()
                labels = [(names[index], index, float(posteriors[index])) for index in best]
                prediction = Prediction(file, labels)
                if options.output_dir:
                    # Files of one name may come from several folders.
                    path = Path(options.output_dir) / f"{place:05}_{file.stem}"
                    write_pictures(predictor, prediction, photo, path, options.class_score_maps)
                yield prediction
            bar.update()


def write_pictures(
    predictor: Predictor, prediction: Prediction, photo: np.ndarray, path: Path, class_score_map: bool
) -> None:
    """Writes the photo with its labels, and the class-score map of the best one if asked for."""
    photo_files.write(photo_files.annotated(photo, prediction.lines()), path.with_name(f"{path.name}.jpg"))
    if class_score_map:
        figure = map_figure(predictor, photo, prediction.labels[0])
        figures.save(figure, path.with_name(f"{path.name}_class_score_map.png"))


def as_csv(found: Sequence[Prediction]) -> str:
    """Returns a line for each label of each photo."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "rank", "label", "index", "posterior"))
    for prediction in found:
        for rank, (name, index, posterior) in enumerate(prediction.labels, start=1):
            writer.writerow((prediction.file, rank, name, index, f"{posterior:.6g}"))
    return text.getvalue()


def as_json(found: Sequence[Prediction]) -> str:
    """Returns a list of photos, each with its labels."""
    keys = ("label", "index", "posterior")
    content = [
        {"file": str(one.file), "labels": [dict(zip(keys, label, strict=True)) for label in one.labels]}
        for one in found
    ]
    return json.dumps(content, indent=2) + "\n"


def show(found: Sequence[Prediction]) -> None:
    """Prints a row for each photo."""
    table = Table("photo", "labels and posteriors")
    for prediction in found:
        table.add_row(str(prediction.file), ", ".join(prediction.lines()))
    cli.print_table(table)


def main(options: PredictOptions) -> None:
    """Reads, looks, prints, writes; fails at the end if a photo could not be used."""
    if not options.paths:
        raise UserError("name photos: files, folders or globs, after the flags")
    if options.class_score_maps and not options.output_dir:
        raise UserError("--class_score_maps needs --output_dir, where the pictures go")
    files = photo_files.find(options.paths)
    protocol = options.protocol()
    predictor = Predictor(loading.inspect(options.model, protocol), protocol, options.batch_size)
    names = run_dir.read_label_names(predictor.model.path.parent, predictor.source.output_shape[-1])
    if options.output_dir:
        Path(options.output_dir).mkdir(parents=True, exist_ok=True)
    found = list(predictions(predictor, names, files, options))
    show(found)
    for place, text in ((options.csv, as_csv(found)), (options.json, as_json(found))):
        if place:
            run_dir.write_text(Path(place), text)
    if len(found) < len(files):
        raise UserError(f"{len(files) - len(found)} of {len(files)} photos cannot be used (listed above)")


if __name__ == "__main__":
    cli.run(main, PredictOptions)
