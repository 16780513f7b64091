"""Tests the comparison of converted models."""

import numpy as np
import pytest

from tests.helpers.evaluation_data import CLASSES, photo
from vgg_keras.serving import agreement
from vgg_keras.serving.agreement import ConvertedModel
from vgg_keras.utils.errors import UserError


def test_one_that_does_not_agree_is_refused():
    photos = [photo(index, (90, 64)) for index in range(4)]

    def saying(best, others):
        """Returns a model whose posteriors are the same for every photo."""
        return lambda _: np.array([[others if index != best else 1 - 5 * others for index in range(len(CLASSES))]])

    reference = ConvertedModel("SavedModel", 1, saying(2, 0.1), True)
    for other, message in (
        (
            ConvertedModel("ONNX", 1, saying(2, 0.11), True),
            r"ONNX against the SavedModel: 4 of 4 .* differ by 5\.0e-02",
        ),
        (ConvertedModel("ONNX", 1, saying(2, np.nan), True), r"ONNX against the SavedModel: .* differ by nan"),
        (
            ConvertedModel("int8", 1, saying(3, 0.1), False, exact=False),
            r"int8 against .* 0 of 4 photos get the same best",
        ),
    ):
        with pytest.raises(UserError, match=message):
            agreement.compare_runtimes(reference, [other], photos, 64, 64)
    near_enough = ConvertedModel("int8", 1, saying(2, 0.11), False, exact=False)
    agreement.compare_runtimes(reference, [near_enough], photos, 64, 64)
