"""Chooses what the reports of a test of localizers show: the errors of the classes, how well boxes fit, photos."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from vgg_keras.data.boxed_split import BoxedSplit
from vgg_keras.evaluation import box_figures, figures, tables
from vgg_keras.evaluation.box_results import BoxResult, ChosenClasses
from vgg_keras.evaluation.figures import Captioned
from vgg_keras.evaluation.highlights import decoded_photos
from vgg_keras.training.objectives import MIN_IOU
from vgg_keras.utils.display import ShownTable
from vgg_keras.utils.words import counted

_MAX_FIRST, _MAX_WORST, _MAX_CLASSES = 16, 8, 20


@dataclasses.dataclass(frozen=True)
class BoxTest:
    """What a test of localizers found.

    Attributes:
        result: the last result.
        chosen: the classes on each image.
        split: the images.
    """

    result: BoxResult
    chosen: ChosenClasses
    split: BoxedSplit


@dataclasses.dataclass(frozen=True)
class BoxHighlights:
    """What the reports of a test of localizers show besides its results.

    Attributes:
        scored: when a box is right, and what the numbers mean.
        note: which classes the table has, as the end of a heading; "" if all.
        classes: photos, error in percent and mean IoU of each class, the worst first.
        overlaps: (M,) float32, the IoU of the best box of each of the M images with boxes.
        first: the first photos, each with the box that fits best.
        worst: photos without a right box, the worst first, each with the box that fits best.
    """

    scored: str
    note: str
    classes: ShownTable
    overlaps: np.ndarray
    first: Sequence[Captioned]
    worst: Sequence[Captioned]

    @classmethod
    def of(cls, test: BoxTest) -> "BoxHighlights":
        """Chooses what is shown of a test, and reads the photos.

        Raises:
            UserError: a record cannot be read.
        """
        best = test.result.overlaps.max(axis=1)
        wrong = np.flatnonzero(test.result.wrong[1])
        worst = wrong[np.argsort(best[wrong], kind="stable")][:_MAX_WORST].tolist()
        first = list(range(min(_MAX_FIRST, len(best))))
        drawn = _drawn(test, [*first, *worst])
        note, classes = _classes(test)
        return cls(
            _scored(test.chosen, test.split),
            note,
            classes,
            best,
            [drawn[row] for row in first],
            [drawn[row] for row in worst],
        )


def _scored(chosen: ChosenClasses, split: BoxedSplit) -> str:
    """Returns when a box is right, and what the numbers mean if boxes of several classes are predicted on a photo."""
    text = f"A box is right if its intersection over union (IoU) with an object of its class is above {MIN_IOU}."
    count, missed = chosen.labels.shape[1], chosen.missed(split.manifest.labels)[split.boxed]
    if count == 1:
        return text
    photos = f"{missed.sum():,} of {counted(len(missed), 'photo')} ({100 * missed.mean():.1f}%)"
    return (
        f"{text} The top-1 error is that of the box of the likeliest class; the top-5 error counts a photo as right if "
        f"one of the boxes of its {count} likeliest classes is. The mean IoU is that of the best of these boxes, 0 if "
        f"none is of the true class. On {photos} the classifier did not choose the true class, so that no box can be "
        "right there."
    )


def _classes(test: BoxTest) -> tuple[str, ShownTable]:
    """Returns which classes are shown, "" if all, and a table of them: those with the highest error first."""
    names, labels = test.split.manifest.data.label_names, test.split.manifest.labels[test.split.boxed]
    best, wrong = test.result.overlaps.max(axis=1), test.result.wrong
    seen = np.unique(labels)
    of_class = {label: labels == label for label in seen.tolist()}
    worst = sorted(of_class, key=lambda label: -wrong[1][of_class[label]].mean())[:_MAX_CLASSES]
    rows = [
        [
            names[label],
            f"{of_class[label].sum():,}",
            *(f"{100 * one[of_class[label]].mean():.2f}" for one in wrong),
            f"{best[of_class[label]].mean(dtype=np.float64):.3f}",
        ]
        for label in worst
    ]
    several = test.chosen.labels.shape[1] > 1
    columns = ("class", "photos", tables.TOP1, tables.TOP5, "mean IoU")
    table = ShownTable("", *tables.without_column(columns, rows, "" if several else tables.TOP5), numbers=True)
    return "" if len(worst) == len(seen) else f" (the worst {len(worst)} of {len(seen):,})", table


def _drawn(test: BoxTest, rows: Sequence[int]) -> dict[int, Captioned]:
    """Returns photos with their objects and the box that fits best, by their rows in the result."""
    split, found, overlaps = test.split, test.result.found, test.result.overlaps
    names, right = split.manifest.data.label_names, ~test.result.wrong[1]
    photos = dict(decoded_photos(split.manifest, [split.boxed[row] for row in rows]))
    drawn = {}
    for row in dict.fromkeys(rows):
        index, best = split.boxed[row], int(overlaps[row].argmax())
        thumbnail = figures.thumbnail(photos[index])
        picture = box_figures.with_boxes(thumbnail, split.boxes[index], found[row][best], right=bool(right[row]))
        drawn[row] = Captioned(picture, f"{names[test.chosen.labels[index][best]]}, IoU {overlaps[row][best]:.2f}")
    return drawn
