"""Chooses what the reports of an evaluation show: the worst classes, mistakes, wrong labels, class-score maps."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from vgg_keras.data import transforms
from vgg_keras.data.manifest import SplitManifest
from vgg_keras.data.shards import broken_records
from vgg_keras.evaluation import figures, results, tables
from vgg_keras.evaluation.evaluator import Evaluable
from vgg_keras.evaluation.figures import MappedPhoto
from vgg_keras.evaluation.saved_posteriors import SavedPosteriors
from vgg_keras.inference.loading import EvaluatedModel
from vgg_keras.inference.protocol import POSTERIORS
from vgg_keras.inference.score_maps import PosteriorMaps
from vgg_keras.models import fully_convolutional
from vgg_keras.utils.display import ShownTable
from vgg_keras.utils.escaping import visible

# Pictures show all classes up to this number; of more classes, only the worst.
_MAX_CLASSES = 20
_MAX_PHOTOS = 16
_MAX_MAPS = 6
_MAX_CAPTION = 24


@dataclasses.dataclass(frozen=True)
class FinishedEvaluation:
    """A finished evaluation, with everything that its reports show.

    Attributes:
        record: content of `evaluation.json`.
        posteriors: (N, classes) float32, those of the last result.
        manifest: the images.
        models: the models, or their saved posteriors.
    """

    record: dict
    posteriors: np.ndarray
    manifest: SplitManifest
    models: Sequence[Evaluable]


@dataclasses.dataclass(frozen=True)
class ClassErrors:
    """The errors of all classes, or of the worst ones.

    Attributes:
        note: which classes they are, as the end of a heading; "" if all.
        names: names of the K classes, the worst first.
        errors: top-1 error of each in percent.
        mean: top-1 error of all images in percent.
        table: the same with numbers of images, and what each class is most often taken for.
        counts: (K, columns) int, number of images of a class (row) by predicted class, both in the order of the class
            indices; a last column for the classes that are not shown.
        row_names: names of the rows of `counts`.
        column_names: names of its columns.
    """

    note: str
    names: Sequence[str]
    errors: Sequence[float]
    mean: float
    table: ShownTable
    counts: np.ndarray
    row_names: Sequence[str]
    column_names: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Highlights:
    """What the reports of an evaluation show besides its results.

    Attributes:
        classes: the errors of the classes.
        mistakes: indices of the most confident mistakes.
        suspicious: indices of the images whose label is most likely wrong.
        thumbnails: pictures of these images, (h, w, 3) uint8, by index.
        captions: lines of the caption of each.
        maps: images with their class-score maps.
        maps_text: what the maps show; without maps, why there are none.
        calibration: how well the posteriors are calibrated, as `calibration_record` returns it; None if it was not
            measured.
    """

    classes: ClassErrors
    mistakes: Sequence[int]
    suspicious: Sequence[int]
    thumbnails: Mapping[int, np.ndarray]
    captions: Mapping[int, Sequence[str]]
    maps: Sequence[MappedPhoto]
    maps_text: str
    calibration: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, finished: FinishedEvaluation) -> "Highlights":
        """Chooses what is shown of an evaluation, and reads the photos.

        Raises:
            UserError: a record cannot be read.
        """
        mistakes = confident_mistakes(finished)
        suspicious = likely_wrong_labels(finished.posteriors, finished.manifest.labels)
        mapped = _shown_in_maps(finished, mistakes)
        # The records are read once for all pictures.
        photos = dict(decoded_photos(finished.manifest, {*mistakes, *suspicious, *mapped}))
        shown = {*mistakes, *suspicious}
        return cls(
            class_errors(finished),
            mistakes,
            suspicious,
            {index: figures.thumbnail(photos[index]) for index in shown},
            {index: caption(finished, index) for index in shown},
            *_score_maps(finished, {index: photos[index] for index in mapped}),
            finished.record.get("calibration"),
        )


def class_errors(finished: FinishedEvaluation) -> ClassErrors:
    """Returns the errors of the classes with the highest top-1 error, as many as a picture can show."""
    classes = finished.record["classes"]
    seen = [index for index, entry in enumerate(classes) if entry["images"]]
    worst = sorted(seen, key=lambda index: -classes[index]["top1_error"])[:_MAX_CLASSES]
    names = [entry["name"] for entry in classes]
    counts, column_names = _shown_counts(finished, sorted(worst), names)
    columns = ("class", "images", tables.TOP1, tables.TOP5, "most often taken for")
    rows = [_class_row(finished, index) for index in worst]
    return ClassErrors(
        note="" if len(classes) <= _MAX_CLASSES else f" (the worst {len(worst)} of {len(classes):,})",
        names=[names[index] for index in worst],
        errors=[classes[index]["top1_error"] for index in worst],
        mean=finished.record["results"][-1]["top1_error"],
        table=ShownTable("", *tables.without_empty_top5(columns, rows, len(classes))),
        counts=counts,
        row_names=[names[index] for index in sorted(worst)],
        column_names=column_names,
    )


def _shown_counts(
    finished: FinishedEvaluation, rows: Sequence[int], names: Sequence[str]
) -> tuple[np.ndarray, list[str]]:
    """Returns the counts of the shown classes and the names of the columns; the last sums up all "others", if any."""
    matrix = results.confusion_matrix(finished.posteriors, finished.manifest.labels)[rows]
    counts, column_names = matrix[:, rows], [names[index] for index in rows]
    others = matrix.sum(axis=1) - counts.sum(axis=1)
    if len(rows) == len(names):
        return counts, column_names
    return np.column_stack([counts, others]), [*column_names, "others"]


def _class_row(finished: FinishedEvaluation, index: int) -> list[str]:
    entry = finished.record["classes"][index]
    given = finished.posteriors[finished.manifest.labels == index].argmax(axis=1)
    counts = np.bincount(given, minlength=finished.posteriors.shape[1])
    counts[index] = 0
    often = f"{finished.record['classes'][counts.argmax()]['name']} ({counts.max()})" if counts.any() else ""
    errors = (f"{entry[key]:.2f}" for key in ("top1_error", "top5_error"))
    return [entry["name"], f"{entry['images']:,}", *errors, often]


def confident_mistakes(finished: FinishedEvaluation) -> list[int]:
    """Returns the indices of the mistakes with the highest posterior of the wrong class, the most confident first."""
    wrong = finished.posteriors.argmax(axis=1) != finished.manifest.labels
    confidence = np.where(wrong, finished.posteriors.max(axis=1), -1.0)
    return np.argsort(-confidence, kind="stable")[: min(_MAX_PHOTOS, int(wrong.sum()))].tolist()


def likely_wrong_labels(posteriors: np.ndarray, labels: np.ndarray) -> list[int]:
    """Returns the indices of images whose label is most likely wrong, the most suspicious first.

    By confident learning (Northcutt, Jiang and Chuang, JAIR 2021, arXiv:1911.00068): an image counts for a class if its
    posterior is at least the mean posterior of that class among the images that have the class as their label, so that
    a class of which the net is never sure is not held against the image. Images that count for another class than their
    label's are ranked by how much more the net believes in that class. For images that the net was not trained on.

    Args:
        posteriors: (N, classes), 0..1.
        labels: (N,) class indices.
    """
    num_classes = posteriors.shape[1]
    own = posteriors[np.arange(len(labels)), labels]
    count = np.bincount(labels, minlength=num_classes)
    # No image counts for a class without images.
    usual = np.where(count, np.bincount(labels, weights=own, minlength=num_classes) / np.maximum(count, 1), np.inf)
    counted_for = np.where(posteriors >= usual, posteriors, -1.0)
    best = counted_for.argmax(axis=1)
    excess = np.where((best != labels) & (counted_for.max(axis=1) >= 0), counted_for.max(axis=1) - own, -np.inf)
    suspicious = np.argsort(-excess, kind="stable")[: int((excess > 0).sum())]
    return suspicious[:_MAX_PHOTOS].tolist()


def _shown_in_maps(finished: FinishedEvaluation, mistakes: Sequence[int]) -> list[int]:
    """Returns the indices of images for class-score maps: half confident mistakes, half confident right answers."""
    right = finished.posteriors.argmax(axis=1) == finished.manifest.labels
    surest = np.argsort(-np.where(right, finished.posteriors.max(axis=1), -1.0), kind="stable")[: int(right.sum())]
    wrong = mistakes[: _MAX_MAPS // 2]
    return [*wrong, *surest[: _MAX_MAPS - len(wrong)].tolist()]


def caption(finished: FinishedEvaluation, index: int) -> list[str]:
    """Returns the lines below an image: index and file, true class, predicted class, the latter with posteriors."""
    names, row = finished.manifest.data.label_names, finished.posteriors[index]
    label, given = finished.manifest.labels[index], row.argmax()
    name = Path(visible(finished.manifest.names[index])).name
    return [
        f"#{index} {name if len(name) <= _MAX_CAPTION else '…' + name[1 - _MAX_CAPTION :]}",
        f"is {names[label][:_MAX_CAPTION]}, {row[label]:.2f}",
        f"taken for {names[given][:_MAX_CAPTION]}, {row[given]:.2f}" if given != label else "recognized",
    ]


def decoded_photos(manifest: SplitManifest, chosen: Collection[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (index, decoded image) for the chosen images, in the order of the records."""
    wanted = np.zeros(len(manifest), bool)
    wanted[list(chosen)] = True
    dataset = manifest.data.encoded(manifest.split).take(len(wanted)).enumerate()
    with broken_records(manifest.data):
        for index, example in dataset.filter(lambda index, _: tf.gather(wanted, index)):
            yield int(index), transforms.decode(example["image_bytes"]).numpy()


def _score_maps(finished: FinishedEvaluation, photos: Mapping[int, np.ndarray]) -> tuple[list[MappedPhoto], str]:
    """Computes class-score maps with the first model that was loaded; saved posteriors hold none.

    Args:
        finished: the evaluation.
        photos: the decoded images by index, in the order in which they are shown.

    Returns:
        The maps, and what they show; without maps, why there are none.
    """
    model = next((model for model in finished.models if isinstance(model, EvaluatedModel)), None)
    if model is None:
        saved = all(isinstance(model, SavedPosteriors) for model in finished.models)
        what = "saved posteriors were evaluated, which hold" if saved else "an export was evaluated, which draws"
        return [], f"Not drawn: {what} no maps."
    reason = fully_convolutional.why_not_convertible(model.net)
    if reason:
        return [], f"Not drawn: {reason}."
    settings = finished.record["settings"]
    net = fully_convolutional.convert(model.net)
    maps = PosteriorMaps(net, model.test_scales, model.input_size, flip=settings["flip"])
    return [_mapped(finished, maps, *one) for one in photos.items()], _maps_text(model, settings)


def _mapped(finished: FinishedEvaluation, maps: PosteriorMaps, index: int, photo: np.ndarray) -> MappedPhoto:
    names, row = finished.manifest.data.label_names, finished.posteriors[index]
    best = np.argsort(-row, kind="stable").tolist()
    # The predicted class, the true one, and the second best: each once, and the first two of them.
    classes = list(dict.fromkeys((best[0], int(finished.manifest.labels[index]), *best[1:2])))[:2]
    shown = [(one, names[one], row[one]) for one in classes]
    return figures.map_photo(maps, photo, "\n".join(caption(finished, index)), shown)


def _maps_text(model: EvaluatedModel, settings: Mapping) -> str:
    """Returns the explanation of the class-score maps."""
    scales = ", ".join(map(str, model.test_scales)) + (", with mirror images" if settings["flip"] else "")
    text = (
        f"Net {model.trained.net} on whole photos at Q = {scales}. Each position of the map gives its softmax to the "
        f"centre of the {model.input_size}x{model.input_size} pixels that it looks at. The values are interpolated "
        "between the centres, extended to the borders, and averaged over the scales and mirror images. Beside each "
        "photo are the predicted class and the true one, or, where they are the same, the two best."
    )
    if settings["average"] == POSTERIORS:
        return text
    return f"{text} The posteriors in the titles come from the mean of the positions' scores, not of their softmax."
