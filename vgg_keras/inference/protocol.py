"""Describes the paper's test protocol: views and scales of a test image (arXiv:1409.1556, sect. 3.2 and 4)."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from vgg_keras.models.preparation import SQUASH
from vgg_keras.utils import console
from vgg_keras.utils.errors import UserError

# What a net is shown of an image; "both" averages the posteriors of the first two (sect. 3.2). SQUASH, the whole image
# resized to the net's input whatever its shape, is not in the paper.
DENSE, MULTI_CROP, BOTH, CENTER_CROP = "dense", "multi_crop", "both", "center_crop"
METHODS = (DENSE, MULTI_CROP, BOTH, CENTER_CROP, SQUASH)
# Those that a localizer can be tested with.
LOCALIZERS_METHODS = (DENSE, CENTER_CROP, SQUASH)
# Saved boxes of both, of localizers that are merged; no method of one localizer.
CROP_AND_SQUASH = f"{CENTER_CROP}+{SQUASH}"
# No choice of the user: the way in which the model was validated decides, see `TestProtocol.of_models`.
OWN = ""
# What is averaged over a class-score map.
SCORES, POSTERIORS = "scores", "posteriors"
AVERAGES = (SCORES, POSTERIORS)
# How a label is explained, see `explanations`.
GRAD_CAM, OCCLUSION, INTEGRATED_GRADIENTS = "grad_cam", "occlusion", "integrated_gradients"
EXPLANATIONS = (GRAD_CAM, OCCLUSION, INTEGRATED_GRADIENTS)
# How the descriptors of several scales are combined.
AVERAGE, STACK = "average", "stack"
# What is done to the values of a descriptor before it is scaled to length 1.
LINEAR, SQRT = "linear", "sqrt"
POWERS = (LINEAR, SQRT)
# The test scales of the paper: one (sect. 4.1) or three (sect. 4.2).
SINGLE, MULTI = "single", "multi"

# Temperatures of posteriors that are allowed, and between which one is looked for.
LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0

# Distance in pixels between the test scales of a net that was trained at a fixed S (sect. 4.2).
_SCALE_STEP = 32


def test_scales(train_scale: tuple[int, int], kind: str) -> tuple[int, ...]:
    """Returns the test scales Q that the paper uses for a training scale S, in pixels.

    Args:
        train_scale: (Smin, Smax) of the training scale in pixels.
        kind: SINGLE: S, or 0.5 (Smin + Smax) (sect. 4.1); MULTI: S - 32, S, S + 32, or Smin, 0.5 (Smin + Smax), Smax
            (sect. 4.2).
    """
    low, high = train_scale
    middle = (low + high) // 2
    if kind == SINGLE:
        return (middle,)
    return (low, middle, high) if low < high else (low - _SCALE_STEP, low, low + _SCALE_STEP)


@dataclasses.dataclass(frozen=True)
class TrainedNet:
    """A net, the scale at which it was trained, and the form in which it is tested.

    Attributes:
        net: key of `architectures.NETS`, or the Keras model's name if it is none of the paper's nets.
        train_scale: training scale S, the smaller side of the rescaled training images in pixels, as `--train_scale`
            takes it: "256", or "256,512" for any scale in between; "" if unknown.
        frozen_up_to: the last layer that was not trained, as `--freeze_up_to` takes it; "" if all were.
        form: what it was exported as, such as "TFLite int8"; "" for the trained model itself.
    """

    net: str
    train_scale: str
    frozen_up_to: str = ""
    form: str = ""

    def scale_range(self) -> tuple[int, int]:
        """Returns (Smin, Smax) in pixels, equal for a fixed S.

        Raises:
            ValueError: the training scale is unknown.
        """
        scales = [int(side) for side in self.train_scale.split(",")]
        return scales[0], scales[-1]


@dataclasses.dataclass(frozen=True)
class TestProtocol:
    """The way in which models are tested (arXiv:1409.1556, sect. 3.2).

    Attributes:
        method: one of METHODS, or OWN, which `of_models` replaces.
        test_scales: SINGLE, MULTI, or sides in pixels as "256,288"; "" means SINGLE.
        flip: whether views are averaged with their mirror images; None: for every method but CENTER_CROP and SQUASH.
        average: one of AVERAGES, for class-score maps.
        temperature: number by which the logarithms of the averaged posteriors are divided, see `posteriors.temper`.
    """

    __test__: ClassVar[bool] = False  # pytest takes classes named Test* for tests

    method: str = DENSE
    test_scales: str = ""
    flip: bool | None = None
    average: str = SCORES
    temperature: float = 1.0

    def base_methods(self) -> tuple[str, ...]:
        """Returns the methods to run: DENSE and MULTI_CROP for BOTH, else the method itself."""
        return (DENSE, MULTI_CROP) if self.method == BOTH else (self.method,)

    def flips(self) -> bool:
        """Returns whether views are averaged with their mirror images."""
        return self.method not in (CENTER_CROP, SQUASH) if self.flip is None else self.flip

    def of_models(self, own_methods: Mapping[Path, str]) -> "TestProtocol":
        """Returns the protocol with the models' own method in the place of OWN.

        Args:
            own_methods: method of each model: SQUASH if it was validated on squashed images, else DENSE.

        Raises:
            UserError: the models' own methods differ.
        """
        if self.method != OWN:
            return self
        by_method = {method: path for path, method in own_methods.items()}
        if len(by_method) > 1:
            raise UserError(
                f"{by_method[SQUASH]} was validated on squashed photos, {by_method[DENSE]} was not: choose what both "
                f"are shown with --method"
            )
        (method,) = by_method
        if method == SQUASH:
            console.say(
                f"{by_method[SQUASH]} was validated on photos squashed to its input size, and is tested on "
                "such photos (--method chooses another way)"
            )
        return dataclasses.replace(self, method=method)

    def scales_for(self, trained: TrainedNet, path: Path, input_size: int) -> tuple[int, ...]:
        """Returns the test scales Q of a model, in pixels.

        Args:
            trained: the model's net and training scale.
            path: the model's file, for messages.
            input_size: side of the model's input in pixels, the one scale of a model whose training scale is unknown.

        Raises:
            UserError: `test_scales` is malformed, or asks for several scales and the training scale is unknown, or for
                other sides than the input's and images are squashed.
        """
        if self.method == SQUASH:
            if self.test_scales not in ("", SINGLE, str(input_size)):
                raise UserError(
                    f"--test_scales={self.test_scales} is not for --method={SQUASH}, which resizes whole photos to "
                    f"{input_size}x{input_size}, the input of {path}; leave it out"
                )
            return (input_size,)
        if self.test_scales in ("", SINGLE, MULTI) and trained.train_scale:
            return test_scales(trained.scale_range(), self.test_scales or SINGLE)
        if self.test_scales in ("", SINGLE):
            console.say(
                f"{path} does not tell the scale that it was trained at; it is shown photos at Q = {input_size}, the "
                "side of its input (--test_scales chooses others)"
            )
            return (input_size,)
        if self.test_scales == MULTI:
            raise UserError(
                f"{path} does not tell the scale that it was trained at, on which --test_scales={MULTI} depends; "
                "give the scales, such as --test_scales=256,288"
            )
        try:
            scales = tuple(int(side) for side in self.test_scales.split(","))
        except ValueError:
            scales = ()
        if not scales or min(scales) < 1 or len(set(scales)) < len(scales):
            raise UserError(
                f"--test_scales={self.test_scales} must be different sides in pixels, such as 256 or 256,384,512, "
                f"or {SINGLE} or {MULTI}"
            )
        return scales
