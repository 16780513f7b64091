"""Names what a served model is asked about encoded photos, and which of its answers are compared with its source's."""

from collections.abc import Mapping
from typing import NamedTuple

from vgg_keras.models.architectures import CLASSIFICATION, LOCALIZATION
from vgg_keras.serving.agreement import Agreement, BoxAgreement
from vgg_keras.serving.servable import BOXES, CLASSIFY


class Question(NamedTuple):
    """What is asked about encoded photos.

    Attributes:
        signature: name of the signature, which takes `image_bytes`.
        output: name of the output that is compared.
        agreement: class that measures how well answers agree.
    """

    signature: str
    output: str
    agreement: type[Agreement] | type[BoxAgreement]


QUESTIONS = {
    CLASSIFICATION: Question(CLASSIFY, "posterior", Agreement),
    LOCALIZATION: Question(BOXES, "boxes", BoxAgreement),
}


def of_record(record: Mapping) -> Question:
    """Returns what a model is asked, given the content of its `export.json`; one of an earlier version classifies."""
    return QUESTIONS[record.get("task", CLASSIFICATION)]
