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
    with pytest.raises(UserError, match="two training images with and without each label"):
        linear_svm.fit_and_test(points, np.ones_like(labels), tests, np.ones((4, 3), int))
