"""Computes the average precision of PASCAL VOC's development kit, of 11 points or as an area.

It is defined in the challenge's documents: Everingham et al., "The PASCAL Visual Object Classes (VOC) Challenge", sect.
4.2, and the kits of VOC2007 (`VOCap.m` of 11 points) and of VOC2010 and later (the area).
"""

import numpy as np

# Values of `relevant`.
NEGATIVE, POSITIVE, DIFFICULT = 0, 1, -1
# First challenge that measures the area.
_FIRST_WITH_AREA = 2010
_POINTS = np.arange(11) / 10


def average_precision(scores: np.ndarray, relevant: np.ndarray, year: int = 2012) -> float:
    """Returns the average precision of a ranking.

    Images are ranked by falling score; those of the same score are ranked in the order in which they are given, as a
    stable sort leaves them, so that the result does not depend on the machine. Difficult images are left out: they
    count neither as right nor as wrong.

    >>> average_precision(np.array([0.9, 0.8, 0.7]), np.array([1, 0, 1]))  # precisions 1 and 2/3
    0.8333333333333333
    >>> average_precision(np.array([0.9, 0.8, 0.7]), np.array([1, 0, 1]), year=2007)  # 6 points of 1, 5 of 2/3
    0.8484848484848484

    Args:
        scores: (N,) float, a score for each image.
        relevant: (N,) integers: POSITIVE, NEGATIVE or DIFFICULT.
        year: year of the challenge. Until 2009 the precision is averaged over the recalls 0, 0.1, ..., 1, at each of
            which it is the largest one at that recall or beyond; from 2010 on it is the area under that envelope.

    Returns:
        A number from 0 to 1.

    Raises:
        ValueError: there is no positive image, so that no recall is defined.
    """
    counted = relevant != DIFFICULT
    positive = relevant[counted] == POSITIVE
    if not positive.any():
        raise ValueError("the average precision needs at least one positive image")
    # In float64, since the minus of an unsigned or a half-precision score may round or wrap.
    hits = positive[np.argsort(-scores[counted].astype(np.float64), kind="stable")]
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if year >= _FIRST_WITH_AREA:
        # The recall grows by one part at each hit, and by nothing elsewhere.
        return float(envelope[hits].mean())
    # The first rank whose recall reaches a point; in whole numbers, so that 3 of 10 reach 0.3.
    needed = np.ceil(np.round(_POINTS * found[-1], 9)).astype(int)
    return float(envelope[np.searchsorted(found, needed)].mean())


def average_precisions(scores: np.ndarray, relevant: np.ndarray, year: int = 2012) -> list[float | None]:
    """Returns the average precision of each class, 0..1; None for one that has no positive image.

    Args:
        scores: (N, classes) float.
        relevant: (N, classes) integers: POSITIVE, NEGATIVE or DIFFICULT.
        year: year of the challenge.
    """
    return [
        average_precision(column, marks, year) if (marks == POSITIVE).any() else None
        for column, marks in zip(scores.T, relevant.T, strict=True)
    ]


def mean_average_precision(scores: np.ndarray, relevant: np.ndarray, year: int = 2012) -> float:
    """Returns the mean of the average precisions of all classes that have a positive image.

    Args:
        scores: (N, classes) float.
        relevant: (N, classes) integers: POSITIVE, NEGATIVE or DIFFICULT.
        year: year of the challenge.

    Raises:
        ValueError: no class has a positive image.
    """
    tested = [one for one in average_precisions(scores, relevant, year) if one is not None]
    if not tested:
        raise ValueError("the mean average precision needs at least one positive image")
    return float(np.mean(tested))
