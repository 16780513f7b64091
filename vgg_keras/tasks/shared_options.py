"""Defines the options that several verbs share; imports no TensorFlow, so that `--help` is quick."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from vgg_keras.inference.protocol import (
    AVERAGES,
    CENTER_CROP,
    DENSE,
    MULTI_CROP,
    OWN,
    SCORES,
    TestProtocol,
)
from vgg_keras.models.preparation import SQUASH
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import Options, PathLike, option


def require_defaults(options: Options, flags: Sequence[str]) -> None:
    """Checks, for a model that predicts boxes, that flags which have no meaning for it are left out.

    Raises:
        UserError: one of the flags has another value than its default.
    """
    for flag in options.changed(flags):
        raise UserError(
            f"--{flag}={getattr(options, flag)} is for models that predict classes; leave it out for one that predicts "
            "boxes"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataOptions(Options):
    """Options of every verb that reads a data set."""

    data_dir: PathLike = option(
        "",
        "a data set written by data_prep, or TFDS's root folder where --dataset names one there",
        group="data",
        path=True,
    )
    dataset: str = option("", "a TFDS data set by name, such as tf_flowers", group="data")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScaleOptions(Options):
    """Options of every verb that shows images to a trained net."""

    test_scales: str | int | Sequence[int] = option(
        "",
        "test scales Q, the smallest side in pixels: 256, or 256,384,512; single or multi: those of the paper for the "
        "training scale; empty: single",
        group="test protocol",
    )
    flip: bool | None = option(
        None,
        "average each view with its mirror image; default: yes, but not for the centre crop or squashed photos",
        group="test protocol",
    )

    def protocol(self) -> TestProtocol:
        """Returns the protocol that the options describe."""
        return TestProtocol(DENSE, str(self.test_scales), self.flip)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProtocolOptions(ScaleOptions):
    """Options of the verbs that compute posteriors."""

    method: str = option(
        OWN,
        "what the net is shown: dense: the whole image; multi_crop: a 5x5 grid of crops; center_crop: the centre; "
        "squash: the whole, resized to the input whatever its shape; empty: squash if it was validated so, else dense",
        choices=(OWN, DENSE, MULTI_CROP, CENTER_CROP, SQUASH),
        group="test protocol",
    )
    average: str = option(SCORES, "what is averaged over the class-score map", choices=AVERAGES, group="test protocol")

    def protocol(self) -> TestProtocol:
        """Returns the protocol that the options describe."""
        return TestProtocol(self.method, str(self.test_scales), self.flip, self.average)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelsOptions(Options):
    """Options of the verbs that take several models; each verb describes the flag itself."""

    model: PathLike | Sequence[PathLike]

    def model_paths(self) -> list[Path]:
        """Returns the paths of the models."""
        assert isinstance(self.model, tuple)  # a single path became a tuple when the options were made
        return [Path(path) for path in self.model]
