"""Models converted for other runtimes against the SavedModel: agreement, size and latency on real photos."""

import dataclasses
import time
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf
from rich.table import Table

from vgg_keras.data import transforms
from vgg_keras.serving.agreement import TOLERANCES, Agreement
from vgg_keras.utils import cli
from vgg_keras.utils.cli import UserError

# Whole numbers of 8 bits may turn a close decision; more than these turned mean that something else is wrong.
_INT8_SAME_TOP1 = 0.75


@dataclasses.dataclass(frozen=True)
class Converted:
    """A converted model.

    Attributes:
        name: of its format.
        size: of its file or folder, bytes.
        run: images (1, H, W, 3) float32, RGB 0..255 -> posteriors (1, classes).
        whole: whether it takes images of any size, or the centre crop alone.
        exact: whether it must give the same posteriors.
    """

    name: str
    size: int
    run: Callable[[np.ndarray], np.ndarray]
    whole: bool
    exact: bool = True


def compare(
    reference: Converted, converted: Sequence[Converted], photos: Sequence[bytes], smallest_side: int, crop_size: int
) -> None:
    """Compares models with the SavedModel on photos, and prints agreement, size and latency.

    Raises:
        UserError: one of them does not agree.
    """
    whole = [transforms.rescale(transforms.decode(photo), smallest_side) for photo in photos]
    center = [transforms.center_crop(image, crop_size)[tf.newaxis].numpy() for image in whole]
    whole = [image[tf.newaxis].numpy() for image in whole]
    table = Table("format", "MB", "photos", "looks at", "ms a photo", "same top-1", "largest diff.")
    for images in (whole, center):
        compared = [model for model in converted if model.whole == (images is whole)]
        if not compared:
            continue
        expected, milliseconds = _timed(reference, images)
        seen = "the whole" if images is whole else f"the centre, {crop_size}x{crop_size}"
        table.add_row(reference.name, f"{reference.size / 1e6:.1f}", str(len(images)), seen, f"{milliseconds:.0f}")
        for model in compared:
            answers, milliseconds = _timed(model, images)
            found = Agreement.of(answers, expected)
            table.add_row(
                model.name, f"{model.size / 1e6:.1f}", str(len(images)), seen, f"{milliseconds:.0f}",
                f"{found.same_top1} of {found.num_photos}", f"{found.largest_difference:.1e}",
            )  # fmt: skip
            _require_agreement(model, found)
    cli.print_table(table)


def _require_agreement(model: Converted, found: Agreement) -> None:
    # Written so that a NaN fails too.
    if model.exact and not found.largest_difference <= TOLERANCES["float32"]:
        raise UserError(f"{model.name} against the SavedModel: {found}; nothing was exported")
    if not found.same_top1 >= _INT8_SAME_TOP1 * found.num_photos:
        raise UserError(f"{model.name} against the SavedModel: {found}; nothing was exported. Calibrate on more photos")


def _timed(model: Converted, images: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
    """Returns the posteriors of all images, and the median of the milliseconds an image took."""
    answers, seconds = [], []
    model.run(images[0])  # the first one also pays for what is done once
    for image in images:
        start = time.perf_counter()
        answers.append(model.run(image)[0])
        seconds.append(time.perf_counter() - start)
    return np.stack(answers), 1000 * float(np.median(seconds))
