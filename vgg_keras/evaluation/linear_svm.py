"""Fits and tests a linear SVM on the descriptors of a frozen net (arXiv:1409.1556, appendix B)."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from vgg_keras.utils import average_precision
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.words import counted

# Values of C that are tried.
CANDIDATES = tuple(2.0**exponent for exponent in range(-4, 9, 2))
_FOLDS = 5
# Number of classes that a message names.
_MAX_NAMED = 3


@dataclasses.dataclass(frozen=True)
class LinearResult:
    """The result of fitting and testing a linear SVM.

    Attributes:
        c: the SVM's parameter C, chosen by cross-validation on the training split.
        num_training_images: number of images on which it was trained.
        num_images: number of images on which it was tested.
        mean_class_recall: recall in percent, mean over the classes, the paper's measure on Caltech-101 and 256; None
            where images have several labels.
        top1_error: top-1 error in percent; None where images have several labels.
        cross_validation_error: top-1 error in percent of the cross-validation with that C, on the training images; of a
            random split the error on its held-out training images. If it is far from `top1_error`, one split is harder
            than the other; None where images have several labels.
        mean_average_precision: average precision of VOC's development kit in percent, mean over the classes, the
            paper's measure on PASCAL VOC, where images have several labels; None where they have one, or the tested
            ones have none.
        average_precisions: the same of each class, in percent, in the order of the classes; None for one that no tested
            image has.
        voc_year: where images have several labels, the year of the VOC challenge whose average precision it is.
    """

    c: float
    num_training_images: int
    num_images: int
    mean_class_recall: float | None = None
    top1_error: float | None = None
    cross_validation_error: float | None = None
    mean_average_precision: float | None = None
    average_precisions: Sequence[float | None] = ()
    voc_year: int | None = None

    def __str__(self) -> str:
        tested = counted(self.num_images, "image")
        learned = f"C = {self.c:g}, {counted(self.num_training_images, 'image')}"
        if self.mean_average_precision is not None:
            result = f"mAP {self.mean_average_precision:.2f}%"
        elif self.top1_error is None:
            return f"linear SVM ({learned}): no score, since the {tested} tested have no labels"
        else:
            result = (
                f"mean class recall {self.mean_class_recall:.2f}%, top-1 error {self.top1_error:.2f}% "
                f"({self.cross_validation_error:.2f}% by cross-validation on the training images)"
            )
        return f"linear SVM ({learned}): {result} on {tested}"


def fit_and_test(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
    *,
    seed: int = 0,
    voc_year: int = 2012,
) -> LinearResult:
    """Fits a one-against-the-rest linear SVM, with C chosen by cross-validation, and tests it.

    Args:
        train_features: (N, D) float32, rows of length 1.
        train_labels: (N,) int32; where images have several labels (N, classes), 1 for a label that an image has, 0 for
            one that it has not, -1 for a difficult one: the SVM of that class does not see the image, as in VOC's
            development kit.
        test_features: (M, D) float32, rows of length 1.
        test_labels: (M,) int32, or (M, classes), where -1 marks a difficult image, which does not count for a class.
        seed: seed of the folds and of the solver.
        voc_year: year of the VOC challenge whose average precision is reported: of 11 points, or from 2010 on the area.

    Raises:
        UserError: there are fewer than two classes, or fewer than two training images with or without a class.
    """
    from sklearn.metrics import balanced_accuracy_score

    if train_labels.ndim == 2:
        several = (train_features, train_labels, test_features, test_labels)
        return fit_and_score(*several, seed=seed, voc_year=voc_year)[0]
    search = _search(train_features, train_labels, seed)
    result = LinearResult(search.best_params_["estimator__C"], len(train_labels), len(test_labels))
    predicted = search.predict(test_features)
    return dataclasses.replace(
        result,
        mean_class_recall=100 * float(balanced_accuracy_score(test_labels, predicted)),
        top1_error=100 * float(np.mean(predicted != test_labels)),
        cross_validation_error=100 * (1 - float(search.best_score_)),
    )


def fit_and_score(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
    *,
    seed: int = 0,
    voc_year: int = 2012,
) -> tuple[LinearResult, np.ndarray]:
    """Fits a linear SVM for each class of images that have several labels, and scores other images.

    Args:
        train_features, train_labels, test_features, test_labels, seed, voc_year: as `fit_and_test` takes them, with
            labels (N, classes). If no tested image has a label, as in the test sets of contests, the result has no
            average precision.

    Returns:
        The result, and (M, classes) float64, the score of each tested image for each class.

    Raises:
        UserError: a class has fewer than two training images, or fewer than two lack it.
    """
    search = _search(train_features, train_labels, seed, voc_year)
    scores = search.decision_function(test_features)
    precisions = average_precision.average_precisions(scores, test_labels, voc_year)
    tested = [one for one in precisions if one is not None]
    result = LinearResult(
        search.best_params_["estimator__C"],
        len(train_labels),
        len(test_labels),
        mean_average_precision=100 * float(np.mean(tested)) if tested else None,
        average_precisions=[one if one is None else 100 * one for one in precisions] if tested else (),
        voc_year=voc_year,
    )
    return result, scores


def require_learnable(labels: np.ndarray, class_names: Sequence[str] = ()) -> int:
    """Checks that there are enough training images to fit a linear SVM and to choose C by cross-validation.

    Args:
        labels: (N,) int32 or (N, classes), as `fit_and_test` takes them.
        class_names: names of the classes for messages; none: their indices are shown.

    Returns:
        The number of folds of the cross-validation.

    Raises:
        UserError: there are fewer than two classes, or fewer than two training images with or without a class.
    """
    if labels.ndim == 2:
        return _folds_of_several_labels(labels, class_names)
    counts = np.bincount(labels)
    classes = np.flatnonzero(counts).tolist()
    if len(classes) < 2:
        only = _class_name(classes[0], class_names)
        raise UserError(f"a linear SVM needs training images of two classes or more; all of them are of {only}")
    if rare := [_class_name(index, class_names) for index in classes if counts[index] < 2]:
        raise UserError(
            f"a linear SVM needs two training images of each class or more; there is one of {_listed(rare)}"
        )
    return int(min(_FOLDS, counts[classes].min()))


def _folds_of_several_labels(labels: np.ndarray, class_names: Sequence[str]) -> int:
    # Each label divides the images into those with it and those without it; a difficult image is neither.
    counts = np.stack([(labels == 1).sum(0), (labels == 0).sum(0)], axis=1)
    rare = [
        f"{_class_name(index, class_names)} ({having} with, {lacking} without)"
        for index, (having, lacking) in enumerate(counts)
        if min(having, lacking) < 2
    ]
    if rare:
        raise UserError(
            "a linear SVM needs two training images or more with each label, and two without it: add some for "
            f"{_listed(rare)}"
        )
    return int(min(_FOLDS, counts.min()))


def _class_name(index: int, class_names: Sequence[str]) -> str:
    return class_names[index] if class_names else f"class {index}"


def _listed(texts: Sequence[str]) -> str:
    more = len(texts) - _MAX_NAMED
    return ", ".join(texts[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _search(features: np.ndarray, labels: np.ndarray, seed: int, voc_year: int = 2012):
    """Searches for C by cross-validation; returns scikit-learn's fitted search, which predicts with the best C."""
    from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import LinearSVC

    several = labels.ndim == 2
    folds = require_learnable(labels)
    svm = LinearSVC(random_state=seed, dual="auto", max_iter=20_000)
    folding = (KFold if several else StratifiedKFold)(folds, shuffle=True, random_state=seed)
    parts = folding.split(features, None if several else labels)
    search = GridSearchCV(
        _class_by_class(svm) if several else OneVsRestClassifier(svm),
        {"estimator__C": CANDIDATES},
        # A small fold may have no image with a label, on which no precision is defined.
        cv=[(learned, held_out) for learned, held_out in parts if not several or (labels[held_out] == 1).any()],
        scoring=functools.partial(_mean_average_precision, year=voc_year) if several else "accuracy",
    )
    return search.fit(features, labels)


def _class_by_class(svm):
    """Returns a classifier of images with several labels: an SVM for each class, which sees no difficult images."""
    from sklearn.base import BaseEstimator, clone

    class ClassByClass(BaseEstimator):
        """Fits a classifier for each column of labels; scores those of one kind alone, as a small fold has, with 0."""

        def __init__(self, estimator) -> None:
            self.estimator = estimator

        def fit(self, features: np.ndarray, labels: np.ndarray) -> "ClassByClass":
            """Fits a classifier for each class to the images of which the label is not -1."""
            self.fitted_ = [
                clone(self.estimator).fit(features[column != -1], column[column != -1])
                if {0, 1} <= set(column)
                else None
                for column in labels.T
            ]
            return self

        def decision_function(self, features: np.ndarray) -> np.ndarray:
            """Returns (N, classes) float, the score of each class."""
            zeros = np.zeros(len(features))
            return np.stack([one.decision_function(features) if one else zeros for one in self.fitted_], axis=1)

    return ClassByClass(svm)


def _mean_average_precision(fitted, features: np.ndarray, labels: np.ndarray, *, year: int) -> float:
    """Returns the mean average precision of a classifier on images of several labels, (M, classes), in percent.

    No average precision is defined for a class that no tested image has, as happens in a small fold.
    """
    return 100 * average_precision.mean_average_precision(fitted.decision_function(features), labels, year)
