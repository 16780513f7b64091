"""Says what is on photos.

python -m vgg_keras.predict --model=runs/flowers photo.jpg more_photos/ 'others/*.png'
"""

import csv
import dataclasses
import functools
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from data_prep.images import BadImage
from data_prep.labels import LABEL_NAMES
from vgg_keras import (
    command_line,
    devices,
    figures,
    fully_convolutional,
    paper,
    photos,
    run_folder,
    tested_models,
    views,
)
from vgg_keras.command_line import UserError, option
from vgg_keras.paper import DENSE
from vgg_keras.posteriors import AVERAGES, SCORES, PosteriorFunction
from vgg_keras.tested_models import Protocol


@dataclasses.dataclass(frozen=True)
class PredictOptions:
    """Flags of `vgg_keras.predict`."""

    paths: tuple[str, ...] = option((), "photos: files, folders, globs", positional=True)
    model: str = option("", "a .keras file or a run's folder", required=True)
    method: str = option(DENSE, "how photos are looked at", choices=(DENSE, paper.MULTI_CROP, paper.CENTER_CROP))
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


class Predictor:
    """A model and its way of looking at photos.

    Args:
        options: the flags.

    Raises:
        UserError: the model cannot be used in this way.
    """

    def __init__(self, options: PredictOptions):
        protocol = options.protocol()
        self._model = tested_models.inspect(options.model, protocol)
        if self._model.saved:
            raise UserError(f"{self._model.path} holds posteriors of an evaluation; photos need the model itself")
        self._source = self._model.load()
        self.label_names = _label_names(self._model.path.parent, self._source.output_shape[-1])
        self._method, self._batch_size = options.method, options.batch_size
        strategy, _ = devices.make_strategy("one_device", one_process=True)
        net = self._map_net if self._method == DENSE else self._source
        self._function = PosteriorFunction(net, strategy, average=options.average, flip=protocol.flips())

    @functools.cached_property
    def _map_net(self) -> keras.Model:
        return fully_convolutional.convert(self._source)

    def posteriors(self, photo: np.ndarray) -> np.ndarray:
        """Computes the posteriors of a photo: (H, W, 3) uint8 -> (classes,), the mean over scales and views."""
        of_scales = []
        for side in self._model.test_scales:
            seen = views.views_of(photo, self._method, side, self._model.input_size)
            batches = [seen[start : start + self._batch_size] for start in range(0, len(seen), self._batch_size)]
            of_scales.append(np.concatenate([self._function(batch) for batch in batches]).mean(axis=0, dtype=float))
        return np.mean(of_scales, axis=0)

    def map_figure(self, photo: np.ndarray, label: tuple[str, int, float]) -> Figure:
        """Draws the class-score map of a label over a photo.

        Raises:
            UserError: the model cannot be converted.
        """
        name, index, posterior = label
        image, posteriors = fully_convolutional.posterior_map(self._map_net, photo, self._model.map_scale())
        mapped = figures.MappedImage(image, posteriors, f"{name} {posterior:.3f}", [(index, name)])
        return figures.class_score_maps([mapped], self._model.input_size)


def _label_names(folder: Path, num_classes: int) -> list[str]:
    beside = folder / LABEL_NAMES
    if not beside.exists():
        return [f"class {index}" for index in range(num_classes)]
    names = beside.read_text(encoding="utf-8").splitlines()
    if len(names) != num_classes:
        raise UserError(f"{beside} names {len(names)} classes, the model has {num_classes}")
    return names


def predictions(predictor: Predictor, files: Sequence[Path], options: PredictOptions) -> Iterator[Prediction]:
    """Yields what is on each photo that can be read; says which cannot."""
    with command_line.progress_bar("photos", len(files), " photos", leave=False) as bar:
        for place, file in enumerate(files):
            try:
                photo = photos.read(file)
            except (BadImage, OSError) as error:
                bar.write(f"{file}: {error}", file=sys.stderr)
            else:
                posteriors = predictor.posteriors(photo)
                best = np.argsort(-posteriors, kind="stable")[: options.top].tolist()
                names = predictor.label_names
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
    photos.write(photos.annotated(photo, prediction.lines()), path.with_name(f"{path.name}.jpg"))
    if class_score_map:
        figure = predictor.map_figure(photo, prediction.labels[0])
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
    command_line.print_table(table)


def main(options: PredictOptions) -> None:
    """Reads, looks, prints, writes; fails at the end if a photo could not be read."""
    if not options.paths:
        raise UserError("name photos: files, folders or globs, after the flags")
    if options.class_score_maps and not options.output_dir:
        raise UserError("--class_score_maps needs --output_dir, where the pictures go")
    files = photos.find(options.paths)
    predictor = Predictor(options)
    if options.output_dir:
        Path(options.output_dir).mkdir(parents=True, exist_ok=True)
    found = list(predictions(predictor, files, options))
    show(found)
    for place, text in ((options.csv, as_csv(found)), (options.json, as_json(found))):
        if place:
            run_folder.write_text(Path(place), text)
    if len(found) < len(files):
        raise UserError(f"{len(files) - len(found)} of {len(files)} photos cannot be read (listed above)")


if __name__ == "__main__":
    command_line.run(main, PredictOptions)
