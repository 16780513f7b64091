"""A pass: every image of a split through one net at one scale, begun or gone on with (arXiv:1409.1556, sect. 3.2)."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import tensorflow as tf
import tqdm

from vgg_keras.inference import views
from vgg_keras.inference.posteriors import PosteriorFunction
from vgg_keras.inference.views import ImagesUnderTest
from vgg_keras.utils.cli import UserError, progress_bar
from vgg_keras.utils.resumable_array import Rows

_FLOAT32_SLACK = 1e-3


def fill(
    rows: Rows,
    function: Callable[[], PosteriorFunction],
    images: ImagesUnderTest,
    *,
    method: str,
    smallest_side: int,
    crop_size: int,
    batch_size: int,
    title: str,
    what: str,
) -> None:
    """Computes the rows that are still to be computed, with a progress bar.

    Args:
        rows: where they go.
        function: returns the net; asked for only if a row is missing.
        images: the images.
        method: of `views.NUM_VIEWS`.
        smallest_side: the test scale Q, pixels.
        crop_size: side of the crops, the net's input.
        batch_size: crops at a time, of all devices together.
        title: what the bar says.
        what: the model's name for messages.

    Raises:
        UserError: a record or the model cannot be used, or memory ran out.
    """
    pending = rows.pending()
    if not pending.any():
        return
    net, total = function(), len(images.survey)
    rows.start_clock()
    batches = views.view_batches(
        images.data,
        images.split,
        images.survey,
        pending,
        method=method,
        smallest_side=smallest_side,
        crop_size=crop_size,
        batch_size=batch_size,
    )
    with progress_bar(title, total, " images", initial=total - int(pending.sum())) as bar:
        _compute(rows, batches, net, num_views=views.NUM_VIEWS[method], bar=bar, what=what)


def _compute(
    rows: Rows,
    batches: Iterable[Mapping],
    function: PosteriorFunction,
    *,
    num_views: int,
    bar: tqdm.tqdm,
    what: str,
) -> None:
    """Fills the rows of all images in the batches with the means over their views.

    Args:
        rows: where the posteriors go.
        batches: what `views.view_batches` yields.
        function: the net.
        num_views: views of each image.
        bar: counts the finished images.
        what: the model's name for messages.

    Raises:
        UserError: the model's outputs are not posteriors, or memory ran out.
    """
    unfinished: dict[int, tuple[np.ndarray, int]] = {}
    for batch in batches:
        try:
            posteriors = function(batch["image"])
        except tf.errors.ResourceExhaustedError as error:
            raise UserError(f"{what}: out of memory; give a smaller --batch_size, and it goes on from here") from error
        _check(posteriors, what, sum_to_one=function.gives_posteriors)
        for index, row in zip(batch["index"].numpy().tolist(), posteriors.astype(np.float64), strict=True):
            total, seen = unfinished.pop(index, (0.0, 0))
            if seen + 1 < num_views:
                unfinished[index] = total + row, seen + 1
            else:
                rows.store(index, (total + row) / num_views)
                bar.update()
    rows.flush()


def _check(posteriors: np.ndarray, what: str, *, sum_to_one: bool) -> None:
    """Refuses outputs that are not numbers, or that are class scores without a softmax."""
    if not np.isfinite(posteriors).all():
        raise UserError(f"{what} gives outputs that are not numbers: its training diverged")
    if not sum_to_one:
        return
    if posteriors.min() < 0 or np.abs(posteriors.sum(axis=1) - 1).max() > _FLOAT32_SLACK:
        raise UserError(
            f"{what} does not give posteriors (numbers from 0 to 1 with the sum 1): it must end in a softmax"
        )
