"""A linear SVM on descriptors of a net that is left as it is (arXiv:1409.1556, appendix B)."""

import dataclasses
import importlib.util

import numpy as np

from vgg_keras.command_line import UserError

_CANDIDATES = tuple(2.0**exponent for exponent in range(-4, 9, 2))
_FOLDS = 5


@dataclasses.dataclass(frozen=True)
class LinearResult:
    """What a linear SVM learned.

    Attributes:
        c: its parameter C, chosen by cross-validation on the training split.
        mean_class_recall: percent, on the other split: the mean over the classes, as for Caltech.
        top1_error: percent, on the other split.
        num_training_images: images that it learned from.
        num_images: images that it was tested on.
    """

    c: float
    mean_class_recall: float
    top1_error: float
    num_training_images: int
    num_images: int

    def __str__(self) -> str:
        return (
            f"linear SVM (C = {self.c:g}, {self.num_training_images:,} images): mean class recall "
            f"{self.mean_class_recall:.2f}%, top-1 error {self.top1_error:.2f}% on {self.num_images:,} images"
        )


def require_library() -> None:
    """Checks that scikit-learn is there.

    Raises:
        UserError: it is not.
    """
    if importlib.util.find_spec("sklearn") is None:
        raise UserError("--classifier needs scikit-learn: pip install scikit-learn")


def fit_and_test(
    train_features: np.ndarray,
    train_labels: np.ndarray,
    test_features: np.ndarray,
    test_labels: np.ndarray,
    *,
    seed: int = 0,
) -> LinearResult:
    """Fits a one-against-the-rest linear SVM; C is what cross-validation on the training images likes best.

    Args:
        train_features: (N, D) float32, rows of length 1.
        train_labels: (N,) int32.
        test_features: (M, D).
        test_labels: (M,).
        seed: of the folds.

    Raises:
        UserError: there are too few images of a class to learn from.
    """
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.svm import LinearSVC

    counts = np.bincount(train_labels)
    folds = min(_FOLDS, counts[counts > 0].min())
    if folds < 2 or (counts > 0).sum() < 2:
        raise UserError("a linear SVM needs at least two classes with two training images each")
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    svm = LinearSVC(random_state=seed, dual="auto", max_iter=20_000)
    search = GridSearchCV(svm, {"C": _CANDIDATES}, cv=splitter)
    search.fit(train_features, train_labels)
    predicted = search.predict(test_features)
    return LinearResult(
        search.best_params_["C"],
        100 * float(balanced_accuracy_score(test_labels, predicted)),
        100 * float(np.mean(predicted != test_labels)),
        len(train_labels),
        len(test_labels),
    )
