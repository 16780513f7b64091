"""Tests localisers with the two protocols of arXiv:1409.1556, app. A.2."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vgg_keras.data import boxes, datasets, shards, transforms
from vgg_keras.data.datasets import ImageData
from vgg_keras.evaluation import box_figures, figures, tables
from vgg_keras.evaluation.box_figures import BoxedPhoto
from vgg_keras.inference.loading import load_for_inference
from vgg_keras.inference.localizer import CenterPredictor, DensePredictor, Found, Localizer
from vgg_keras.inference.protocol import CENTER_CROP, DENSE, TestProtocol
from vgg_keras.tasks.options import EvaluateOptions
from vgg_keras.training.objectives import MIN_IOU
from vgg_keras.utils import console, files, keras_compat, locks, side_files
from vgg_keras.utils.display import TOP_K, Shown, ShownTable
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.escaping import csv_text, markdown

RECORD = "localization.json"
REPORT = "report.md"
_PREDICTIONS, _PICTURE = "boxes.csv", "boxes.png"
_SHOWN = 16
_COLUMNS = ("net", "box regression", "train S", "test Q", "test", "images", "error %", "mean IoU")
_TESTS = {CENTER_CROP: "true class, centre crop (Table 8)", DENSE: "five classes, dense (Table 9)"}


@dataclasses.dataclass(frozen=True)
class Located:
    """What was found on one image.

    Attributes:
        name: the image's file name.
        label: the image's class.
        true_boxes: (n, 4) float32, the boxes of its objects of that class.
        found: the objects that were found, those of the likeliest classes first; one of the true class if it is given.
        overlaps: the largest intersection over union of each with an object of its class; 0 for another class.
    """

    name: str
    label: int
    true_boxes: np.ndarray
    found: Sequence[Found]
    overlaps: Sequence[float]

    @property
    def best(self) -> int:
        """Index of the object with the largest overlap."""
        return int(np.argmax(self.overlaps))

    def is_right(self, top: int = TOP_K) -> bool:
        """Returns whether one of the first `top` objects is right: of the class, with an IoU above 0.5."""
        return max(self.overlaps[:top]) > MIN_IOU


@dataclasses.dataclass(frozen=True, repr=False)
class LocalizationResult(Shown):
    """The outcome of a test of a localiser.

    Attributes:
        folder: the evaluation's folder.
        record: content of its `localization.json`.
    """

    folder: Path
    record: Mapping[str, Any]

    def shown(self) -> ShownTable:
        """Returns the errors as a table."""
        model, images = self.record["model"], self.record["images"]
        row = (
            model["net"],
            model["box_regression"].upper(),
            tables.format_train_scale(model["train_scale"]),
            ", ".join(map(str, model["test_scales"])),
            _TESTS[self.record["method"]],
            f"{images['num_images']:,}",
            f"{self.record['error']:.1f}",
            f"{self.record['mean_iou']:.3f}",
        )
        return ShownTable(f"{images['data_set']}, {images['split']}", _COLUMNS, [row])


def _overlaps(found: Sequence[Found], label: int, true_boxes: np.ndarray) -> list[float]:
    def overlap(one: Found) -> float:
        if one.label != label:
            return 0.0
        return float(boxes.intersection_over_union(one.box.astype(np.float32), true_boxes).numpy().max())

    return [overlap(one) for one in found]


def locate(
    data: ImageData, split: str, find: Callable[[np.ndarray, int], Sequence[Found]], max_images: int = 0
) -> Iterator[tuple[Located, np.ndarray]]:
    """Yields what is found on each image of a split that has boxes, and the image, (H, W, 3) uint8.

    Args:
        data: a data set with boxes.
        split: name of the split.
        find: function from an image and its class to the objects on it.
        max_images: number of images, from the first on; 0: all.

    Raises:
        UserError: a record cannot be read.
    """
    count = min(max_images or data.num_images(split), data.num_images(split))
    examples = data.encoded(split, labelled=True, boxes=True).take(count)
    with console.progress_bar("localisation", count, " images") as bar:
        for example in shards.read(data, examples.as_numpy_iterator()):
            bar.update(1)
            if not len(example["boxes"]):
                continue
            image, label = transforms.decode(example["image_bytes"]).numpy(), int(example["label"])
            found = find(image, label)
            name = example["name"].decode("utf-8", "backslashreplace")
            overlaps = _overlaps(found, label, example["boxes"])
            yield Located(name, label, example["boxes"], found, overlaps), image


def make_finder(options: EvaluateOptions) -> tuple[Localizer, Callable[[np.ndarray, int], Sequence[Found]]]:
    """Loads the models of a test; returns the localiser, and the function that finds objects on an image.

    Raises:
        UserError: a model cannot be used, or the method is none of localisation.
    """
    protocol = TestProtocol(DENSE, str(options.test_scales))
    paths = options.model_paths()
    if len(paths) != 1:
        raise UserError(f"--task=localization tests one --model, received {len(paths)}")
    method = options.method or DENSE
    if method not in _TESTS:
        raise UserError(f"--method={options.method} is not for --task=localization; it is {' or '.join(_TESTS)}")
    localizer = Localizer.load(paths[0], protocol)
    if method == CENTER_CROP:
        predict = CenterPredictor(localizer)
        return localizer, lambda image, label: [Found(label, 1.0, predict(image, label))]
    if not options.classifier:
        raise UserError("--method=dense takes the classes from a classifier; name one with --classifier")
    dense = DensePredictor(localizer, load_for_inference(Path(options.classifier), protocol))
    return localizer, lambda image, label: dense(image)


def evaluate_localizer(options: EvaluateOptions) -> LocalizationResult:
    """Tests a localiser, and writes errors, boxes and pictures into the evaluation's folder.

    Raises:
        UserError: the data or a model cannot be used.
    """
    folder = Path(options.output_dir)
    data = datasets.open_data(options.data_dir, options.dataset)
    data.require_split(options.split)
    data.require_boxes()
    localizer, find = make_finder(options)
    if list(localizer.class_names) != list(data.class_names):
        raise UserError(f"{localizer.path} knows other classes than the data set {data.builder.data_dir}")
    with locks.locked(folder):
        started, found = time.monotonic(), []
        shown: list[BoxedPhoto] = []
        for located, image in locate(data, options.split, find, options.max_images):
            found.append(located)
            if len(shown) < _SHOWN:
                shown.append(_boxed(located, image, data.label_names))
        if not found:
            raise UserError(f"{data.builder.data_dir}: no image of split {options.split!r} has a box")
        record = {
            "method": options.method or DENSE,
            "model": localizer.identity(),
            "classifier": str(options.classifier),
            "images": {"data_set": data.builder.name, "split": options.split, "num_images": len(found)},
            "error": 100 * float(np.mean([not located.is_right() for located in found])),
            "mean_iou": float(np.mean([max(located.overlaps) for located in found])),
            "seconds": time.monotonic() - started,
            "versions": keras_compat.package_versions(),
        }
        result = LocalizationResult(folder, record)
        _write(result, found, shown, data.label_names)
        return result


def _boxed(located: Located, image: np.ndarray, names: Sequence[str]) -> BoxedPhoto:
    best = located.found[located.best]
    caption = f"{names[best.label]}, IoU {located.overlaps[located.best]:.2f}"
    return BoxedPhoto(figures.thumbnail(image), located.true_boxes, best.box, located.is_right(), caption)


def _write(
    result: LocalizationResult, found: Sequence[Located], shown: Sequence[BoxedPhoto], names: Sequence[str]
) -> None:
    columns = ("file", "label", "predicted", "posterior", "ymin", "xmin", "ymax", "xmax", "iou")
    rows = [
        (
            located.name,
            names[located.label],
            names[one.label],
            f"{one.posterior:.6g}",
            *(f"{value:.5f}" for value in one.box),
            f"{overlap:.4f}",
        )
        for located in found
        for one, overlap in zip(located.found, located.overlaps, strict=True)
    ]
    files.write_text(result.folder / _PREDICTIONS, csv_text(columns, rows))
    figures.save(box_figures.boxed_photos(shown), result.folder / _PICTURE)
    table = result.shown()
    text = [
        f"# {markdown(table.title)}\n",
        tables.markdown_table(table.columns, table.rows),
        f"A box is right if its intersection over union (IoU) with an object of the class is above {MIN_IOU}.\n",
        f"White: the objects; green: a predicted box that is right; red: one that is wrong.\n\n![boxes]({_PICTURE})\n",
    ]
    files.write_text(result.folder / REPORT, "\n".join(text))
    side_files.write_json(result.folder / RECORD, result.record)
