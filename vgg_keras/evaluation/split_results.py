"""Fits and tests linear SVMs on random splits; gives the mean and the deviation (arXiv:1409.1556, appendix B)."""

import dataclasses
import statistics
from collections.abc import Sequence

import numpy as np

from vgg_keras.evaluation.linear_svm import CANDIDATES, LinearResult
from vgg_keras.evaluation.random_splits import RandomSplit
from vgg_keras.utils.console import progress_bar
from vgg_keras.utils.display import ShownTable

_COLUMNS = ("split", "C", "training images", "test images", "mean class recall %", "top-1 err. %")


@dataclasses.dataclass(frozen=True)
class SplitResults:
    """Results of linear SVMs on random splits.

    Attributes:
        splits: the result on each split.
    """

    splits: Sequence[LinearResult]

    @property
    def mean_class_recall(self) -> float:
        """Mean class recall in percent, mean over the splits: the paper's measure on Caltech-101 and 256."""
        return statistics.fmean(self._recalls())

    @property
    def mean_class_recall_std(self) -> float | None:
        """Standard deviation of the mean class recall over the splits, in percentage points; None of one split.

        It is that of a sample, with n - 1 in the denominator, since the splits are a few of all possible ones. The
        paper does not say which one it gives; that of the population would be smaller by a factor of 0.82 for three.
        """
        return statistics.stdev(self._recalls()) if len(self.splits) > 1 else None

    @property
    def top1_error(self) -> float:
        """Top-1 error in percent, mean over the splits."""
        return statistics.fmean(result.top1_error or 0.0 for result in self.splits)

    def _recalls(self) -> list[float]:
        return [result.mean_class_recall or 0.0 for result in self.splits]

    def record(self) -> dict:
        """Returns the results ready for JSON: the means under the names of `LinearResult`, then each split."""
        return {
            "mean_class_recall": self.mean_class_recall,
            "mean_class_recall_std": self.mean_class_recall_std,
            "top1_error": self.top1_error,
            "num_training_images": self.splits[0].num_training_images,  # as many in each
            "num_images": self.splits[0].num_images,
            "splits": [dataclasses.asdict(result) for result in self.splits],
        }

    def shown(self) -> ShownTable:
        """Returns a row for each split, and the mean with the standard deviation below them."""
        rows = [
            (
                str(number),
                f"{result.c:g}",
                f"{result.num_training_images:,}",
                f"{result.num_images:,}",
                f"{result.mean_class_recall:.2f}",
                f"{result.top1_error:.2f}",
            )
            for number, result in enumerate(self.splits)
        ]
        deviation = "" if self.mean_class_recall_std is None else f" ± {self.mean_class_recall_std:.2f}"
        total = ("mean", "", "", "", f"{self.mean_class_recall:.2f}{deviation}", f"{self.top1_error:.2f}")
        return ShownTable("linear SVMs on random splits", _COLUMNS, rows, [total], numbers=True)


def fit_and_test_splits(
    features: np.ndarray, labels: np.ndarray, splits: Sequence[RandomSplit], seed: int
) -> SplitResults:
    """Fits and tests a linear SVM on each split, with a progress bar.

    On each split by itself, C is the candidate of the highest accuracy on the held-out training images, of equal ones
    the smallest, after a fit to the other training images; the SVM that is tested is then fitted to all of them. The
    paper says no more than that a fifth of the training images chooses the hyper-parameters.

    Args:
        features: (N, D) float32, rows of length 1, of all images.
        labels: (N,) int32, their class indices.
        splits: the splits, results of `random_splits.draw`.
        seed: seed of the solver.
    """
    with progress_bar("linear SVMs", len(splits) * (len(CANDIDATES) + 1), " fits") as bar:
        return SplitResults([_fit_and_test(features, labels, split, seed, bar) for split in splits])


def _fit_and_test(features: np.ndarray, labels: np.ndarray, split: RandomSplit, seed: int, bar) -> LinearResult:
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.svm import LinearSVC

    train, test = _in_the_span(features[split.training], features[split.test])
    train_labels, test_labels = labels[split.training], labels[split.test]
    held_out = np.isin(split.training, split.held_out)

    def fit(c: float, chosen: np.ndarray) -> LinearSVC:
        svm = LinearSVC(C=c, random_state=seed, dual="auto", max_iter=20_000)
        svm.fit(train[chosen], train_labels[chosen])
        bar.update()
        return svm

    accuracies = {c: fit(c, ~held_out).score(train[held_out], train_labels[held_out]) for c in CANDIDATES}
    best = max(CANDIDATES, key=lambda c: accuracies[c])  # of equal ones the first, which is the smallest
    predicted = fit(best, np.ones_like(held_out)).predict(test)
    return LinearResult(
        c=best,
        num_training_images=len(train_labels),
        num_images=len(test_labels),
        mean_class_recall=100 * float(balanced_accuracy_score(test_labels, predicted)),
        top1_error=100 * float(np.mean(predicted != test_labels)),
        cross_validation_error=100 * (1 - float(accuracies[best])),
    )


def _in_the_span(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotates descriptors into the space that those for training span, where the solver is faster by D / N.

    The weights of a linear SVM are a weighted sum of training descriptors, so that what is orthogonal to all of these
    changes no score; N training descriptors span at most N of the D dimensions.

    Args:
        train: (N, D) float32, descriptors for training.
        test: (M, D) float32, descriptors for the test.

    Returns:
        (N, min(N, D)) and (M, min(N, D)) float64, with the same products of a training descriptor and any other.
    """
    train, test = train.astype(np.float64), test.astype(np.float64)
    if len(train) >= train.shape[1]:
        return train, test
    basis, coordinates = np.linalg.qr(train.T)  # (D, N) and (N, N)
    return coordinates.T.copy(), test @ basis
