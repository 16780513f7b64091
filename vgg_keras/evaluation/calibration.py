"""Measures how well posteriors are calibrated, and fits the temperature that mends them (arXiv:1706.04599).

The temperature T divides the logarithms of an image's averaged posteriors, which are its class scores but for a
constant that a softmax ignores, and is fitted by the negative log-likelihood of the labels (sect. 4.2). The classes
keep their order, so that an error is the same before and after. Needs no TensorFlow.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from vgg_keras.inference.protocol import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE
from vgg_keras.utils.display import ShownTable
from vgg_keras.utils.structures import NUMBER, TEXT, Maybe, Nullable, number, whole

# Number of bins of equal width over the confidences from 0 to 1, as in the paper.
NUM_BINS = 15
# Seed of the halves on which temperatures are fitted to judge them on the other one.
_SEED = 0
# Number of times that labels are drawn for the error by chance.
_DRAWS = 300
# As in `inference.posteriors.temper`.
_SMALLEST = float(np.finfo(np.float32).tiny)
# Number of rows whose exponentials are in memory at a time.
_ROWS = 4096
_STEPS = 100
# Relative difference of float32 posteriors that are equal but for rounding.
_ROUNDING = 1e-6
# Why an evaluation has no temperature.
_FEW_MISTAKES = "fewer than two photos are classified wrongly"
_ALL_WRONG = "all photos are classified wrongly"
_FLAT = "all classes have the same posterior, which no temperature changes"
_BINS = [{"images": whole(0), "confidence": Nullable(number(0, 1)), "accuracy": Nullable(number(0, 1))}]
_RELIABILITY = {"loss": number(0), "ece": number(0, 1), "chance_ece": number(0, 1), "bins": _BINS}
# What `evaluation.json` holds of it.
STRUCTURE = {
    "num_bins": whole(1),
    "seed": whole(0),
    "before": _RELIABILITY,
    "after": Nullable(_RELIABILITY),
    "temperature": Nullable(number(LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE)),
    "temperatures_of_halves": [NUMBER],
    "no_temperature": Maybe(TEXT),
}


@dataclasses.dataclass(frozen=True)
class Reliability:
    """How the confidences of a classifier, the posteriors of its predicted classes, agree with its accuracy.

    Attributes:
        loss: mean negative log-likelihood of the labels in nats.
        ece: expected calibration error, 0..1: the mean distance of accuracy and confidence over NUM_BINS bins of equal
            width, weighted by their images.
        chance_ece: the expected calibration error that posteriors with these confidences would have on so many images
            by chance alone if they were calibrated, 0..1: the mean over labels drawn from them. Of few images it is far
            from 0.
        bins: number of images, mean confidence and accuracy of each bin; None for those of an empty one.
    """

    loss: float
    ece: float
    chance_ece: float
    bins: list[dict[str, Any]]

    @classmethod
    def of(cls, posteriors: np.ndarray, labels: np.ndarray) -> "Reliability":
        """Measures posteriors, (N, classes), against labels, (N,)."""
        own = posteriors[np.arange(len(labels)), labels].astype(float)
        confidence = posteriors.max(axis=1).astype(float)
        right = (posteriors.argmax(axis=1) == labels).astype(float)
        # A bin holds its upper bound: (0, 1/15], ..., (14/15, 1].
        bin_of = np.clip(np.ceil(confidence * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)

        def sums(values: np.ndarray) -> np.ndarray:
            return np.bincount(bin_of, values, NUM_BINS)

        def ece(right: np.ndarray) -> float:
            return float(np.abs(sums(right) - sums(confidence)).sum() / len(labels))

        rng = np.random.default_rng(_SEED)
        by_chance = [ece(rng.random(len(labels)) < confidence) for _ in range(_DRAWS)]
        bins = [
            {"images": int(n), "confidence": c / n if n else None, "accuracy": r / n if n else None}
            for n, c, r in zip(sums(np.ones(len(labels))), sums(confidence), sums(right), strict=True)
        ]
        loss = float(-np.log(np.maximum(own, _SMALLEST)).mean()) + 0.0  # -0.0 becomes 0
        return cls(loss, ece(right), float(np.mean(by_chance)), bins)


def temper(posteriors: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    """Scales posteriors by temperatures as `inference.posteriors.temper` does: (N, classes) -> (N, classes) float64.

    Args:
        posteriors: 0..1.
        temperature: one for all images, or (N, 1), one for each.
    """
    scores = np.log(np.maximum(posteriors.astype(float), _SMALLEST)) / temperature
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(posteriors: np.ndarray, labels: np.ndarray) -> float | None:
    """Returns the temperature with the lowest negative log-likelihood of the labels.

    The negative log-likelihood is convex in 1 / T: Newton's method finds its minimum, and takes the middle of the
    interval in which the minimum lies where a step would leave that.

    Args:
        posteriors: (N, classes), 0..1.
        labels: (N,) class indices.

    Returns:
        The temperature; the lowest or the highest that is allowed if the minimum is beyond it. None if all
        temperatures are as good, as for posteriors that are all equal.
    """
    if _are_flat(posteriors):
        return None
    low, high = 1 / HIGHEST_TEMPERATURE, 1 / LOWEST_TEMPERATURE
    inverse = 1.0
    for _ in range(_STEPS):
        slope, curvature = _derivatives(posteriors, labels, inverse)
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        step = inverse - slope / curvature if curvature > 0 else low
        before, inverse = inverse, step if low < step < high else (low + high) / 2
        if abs(inverse - before) <= 1e-9 * inverse:
            break
    return float(np.clip(1 / inverse, LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE))


def _are_flat(posteriors: np.ndarray) -> bool:
    """Returns whether the posteriors of each image, but for rounding, are equal: no temperature changes such ones."""
    return bool((posteriors.max(axis=1) - posteriors.min(axis=1) <= _ROUNDING * posteriors.max(axis=1)).all())


def _derivatives(posteriors: np.ndarray, labels: np.ndarray, inverse: float) -> tuple[float, float]:
    """Returns the first and second derivative of the mean negative log-likelihood by 1 / T."""
    slope = curvature = 0.0
    for start in range(0, len(labels), _ROWS):
        part, true = posteriors[start : start + _ROWS], labels[start : start + _ROWS]
        scores = np.log(np.maximum(part.astype(float), _SMALLEST))
        weights = temper(part, 1 / inverse)
        mean = (weights * scores).sum(axis=1)
        slope += (mean - scores[np.arange(len(true)), true]).sum()
        curvature += (weights * (scores - mean[:, np.newaxis]) ** 2).sum()
    return slope / len(labels), curvature / len(labels)


def halves(wrong: np.ndarray) -> np.ndarray:
    """Divides images into two halves at random, but by a fixed seed: (N,) bool -> (N,) int, 0 or 1.

    Args:
        wrong: whether each image is a mistake; these are divided apart from the others, since a half without mistakes
            has no best temperature.
    """
    half = np.zeros(len(wrong), int)
    order = np.random.default_rng(_SEED).permutation(len(wrong))
    # The mistakes come first, and then every second image of all.
    half[order[np.argsort(~wrong[order], kind="stable")][1::2]] = 1
    return half


def calibration_record(posteriors: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Measures posteriors before and after temperature scaling, as `evaluation.json` stores it.

    The temperature that is returned is fitted on all images. Posteriors would look too good on the images to which
    their temperature was fitted, so that those of each half are scaled by the temperature of the other one for "after".

    Args:
        posteriors: (N, classes) float32.
        labels: (N,) class indices.

    Returns:
        The structure STRUCTURE; if no temperature is best, without any, but with the reason.
    """
    wrong = posteriors.argmax(axis=1) != labels
    found: dict[str, Any] = {
        "num_bins": NUM_BINS,
        "seed": _SEED,
        "before": dataclasses.asdict(Reliability.of(posteriors, labels)),
        "after": None,
        "temperature": None,
        "temperatures_of_halves": [],
    }
    if wrong.sum() < 2 or wrong.all():
        return {**found, "no_temperature": _ALL_WRONG if len(wrong) > 1 and wrong.all() else _FEW_MISTAKES}
    half = halves(wrong)
    fitted = [fit_temperature(posteriors[half == one], labels[half == one]) for one in (0, 1)]
    if None in fitted:
        return {**found, "no_temperature": _FLAT}
    of_halves = np.array(fitted, float)
    others = of_halves[1 - half][:, np.newaxis]
    # In float64 and all at once, the posteriors of 50,000 images and 1,000 classes would take over a gigabyte.
    parts = [slice(start, start + _ROWS) for start in range(0, len(labels), _ROWS)]
    scaled = np.concatenate([temper(posteriors[part], others[part]).astype(np.float32) for part in parts])
    return {
        **found,
        "after": dataclasses.asdict(Reliability.of(scaled, labels)),
        "temperature": fit_temperature(posteriors, labels),
        "temperatures_of_halves": of_halves.tolist(),
    }


def why_no_temperature(found: Mapping[str, Any]) -> str:
    """Returns why an evaluation has no temperature; those of earlier versions do not tell it exactly."""
    return found.get("no_temperature", "too few mistakes, or right answers")


def measured(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Returns what was measured before and after temperature scaling by what it is of, for people.

    Args:
        found: the result of `calibration_record`.
    """
    shown = {"as the net gives them": found["before"], "after temperature scaling": found["after"]}
    return {title: one for title, one in shown.items() if one}


def table(found: Mapping[str, Any]) -> ShownTable:
    """Returns what was measured as a table.

    Args:
        found: the result of `calibration_record`.
    """
    columns = ("posteriors", "ECE %", "chance", "loss")  # short, for the screens of phones
    rows = [
        [title, f"{100 * one['ece']:.2f}", f"{100 * one['chance_ece']:.2f}", f"{one['loss']:.4f}"]
        for title, one in measured(found).items()
    ]
    return ShownTable("", columns, rows, numbers=True)


def text(found: Mapping[str, Any]) -> str:
    """Returns what the table and the diagrams show, and the temperature, as text for people.

    Args:
        found: the result of `calibration_record`.
    """
    shown = (
        "The expected calibration error (ECE) is the mean distance between the posterior of the predicted class and "
        f"the accuracy, over {found['num_bins']} bins of equal width. Calibrated posteriors would have the ECE in the "
        'column "chance" on so many images. The loss is the mean cross-entropy. A bar is the accuracy of a bin; '
        "calibrated ones reach the dashed line."
    )
    if found["temperature"] is None:
        return f"{shown} No temperature could be fitted: {why_no_temperature(found)}."
    of_halves = " and ".join(f"{one:.3f}" for one in found["temperatures_of_halves"])
    return (
        f"{shown} The temperature {found['temperature']:.3f} {_how_good(found['temperature'])}. The "
        "figures after scaling are of other images than those that a temperature was fitted on: each half was scaled "
        f"by that of the other half ({of_halves})."
    )


def _how_good(temperature: float) -> str:
    """Returns what is best about a temperature, as the end of a sentence."""
    bounds = {LOWEST_TEMPERATURE: ("lowest", "lower"), HIGHEST_TEMPERATURE: ("highest", "higher")}
    for bound, (most, more) in bounds.items():
        if math.isclose(temperature, bound, rel_tol=1e-6):
            return f"is the {most} that is allowed; a {more} one would give a lower cross-entropy on these images"
    return "gives the lowest cross-entropy on these images"
