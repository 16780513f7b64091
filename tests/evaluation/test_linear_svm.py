"""Tests the linear SVM on points in space."""

import numpy as np
import pytest

from vgg_keras.evaluation import linear_svm
from vgg_keras.utils.errors import UserError


def test_mean_average_precision_where_images_have_several_labels():
    rng = np.random.default_rng(0)
    points = rng.normal(0, 1, (60, 3))
    # Points have label 0 if x > 0 and label 1 if y > 0; no test point has label 2.
    labels = (points > 0).astype(np.int32)
    tests = np.array([[2.0, 4.0, -1], [2.0, 3.0, -1], [-2.0, 2.0, -1], [-2.0, 1.0, -1]])
    result = linear_svm.fit_and_test(points, labels, tests, np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]]))
    # The ranking by label 0 has no error. The two points of label 1 have ranks 1 and 3: precisions 1 and 2/3.
    assert result.mean_average_precision == pytest.approx(100 * (1 + (1 + 2 / 3) / 2) / 2)
    assert result.top1_error is None
    assert str(result).endswith("60 images): mAP 91.67% on 4 images")
    with pytest.raises(UserError, match="two training images or more with each label, and two without it"):
        linear_svm.fit_and_test(points, np.ones_like(labels), tests, np.ones((4, 3), int))


def test_a_fold_without_any_label_does_not_choose(recwarn):
    # Four of twelve points have a label, so that a fold of two or three often has none.
    points = np.random.default_rng(0).normal(0, 1, (12, 3)).astype(np.float32)
    labels = np.zeros((12, 2), np.int32)
    labels[[0, 1], 0] = labels[[2, 3], 1] = 1
    from sklearn.model_selection import KFold

    for seed in range(8):
        folds = KFold(2, shuffle=True, random_state=seed).split(points)
        usable = sum(bool((labels[held_out] == 1).any()) for _, held_out in folds)
        search = linear_svm._search(points, labels, seed)
        assert search.n_splits_ == usable
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    labels = np.zeros((12, 1), np.int32)
    labels[[0, 1]] = 1
    alone = [linear_svm._search(points, labels, seed) for seed in range(8)]
    assert {search.n_splits_ for search in alone} == {1, 2}
    assert all(np.isfinite(search.cv_results_["mean_test_score"]).all() for search in alone)
    assert not [warning for warning in recwarn if "non-finite" in str(warning.message)]


def test_difficult_images_are_left_out_in_training_as_in_the_development_kit():
    rng = np.random.default_rng(0)
    points = rng.normal(0, 1, (60, 2))
    labels = (points > 0).astype(np.int32)
    # Images of class 0 far on the wrong side, marked as difficult: as positives or as negatives they would turn the
    # ranking around or hide the class.
    difficult = np.concatenate([np.full((40, 1), -50.0), np.zeros((40, 1))], axis=1)
    of_difficult = np.tile([-1, 1], (40, 1)).astype(np.int32)
    of_difficult[:20, 1] = 0
    tests = np.array([[3.0, 1], [2.0, -1], [-2.0, 1], [-3.0, -1]])
    expected = np.array([[1, 1], [1, 0], [0, 1], [0, 0]])
    both = (np.concatenate([points, difficult]), np.concatenate([labels, of_difficult]))
    search = linear_svm._search(*both, 0)
    # The SVM of class 0 is that of the other images alone.
    from sklearn.svm import LinearSVC

    svm = LinearSVC(C=search.best_params_["estimator__C"], random_state=0, dual="auto", max_iter=20_000)
    alone = svm.fit(points, labels[:, 0]).decision_function(tests)
    np.testing.assert_allclose(search.decision_function(tests)[:, 0], alone, rtol=1e-3)
    assert linear_svm.fit_and_test(*both, tests, expected).num_training_images == 100
    with pytest.raises(UserError, match="two training images or more with each label, and two without it"):
        linear_svm.fit_and_test(points, np.where(labels == 1, -1, 0), tests, expected)
