"""Runs resumable inference over one split at one test scale (arXiv:1409.1556, sect. 3.2)."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from vgg_keras.data.manifest import SplitManifest
from vgg_keras.inference import views
from vgg_keras.inference.passes import PosteriorFunction, RefusedView
from vgg_keras.inference.views import ViewSpec
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.resumable_array import ResumableArray
from vgg_keras.utils.teamwork import Team
from vgg_keras.utils.work_items import Items

_FLOAT32_SLACK = 1e-3


def predict_split(
    path: Path,
    predictor: PosteriorFunction,
    manifest: SplitManifest,
    spec: ViewSpec,
    *,
    title: str,
    model_name: str,
    team: Team | None = None,
) -> ResumableArray:
    """Computes the rows of an array that are still missing, with a progress bar.

    Images whose views are in the same batches are computed together or not at all, so that the rows have the same bits
    after a kill, and on several workers.

    Args:
        path: the `.npy` file with a row for each image, the mean over its views; created if it is missing.
        predictor: the net on its devices.
        manifest: the images.
        spec: the views of each image.
        title: text in front of the progress bar.
        model_name: name of the model in messages.
        team: the workers that share the images; None: this process has all of them.

    Returns:
        The array.

    Raises:
        UserError: a record cannot be read, the model refuses an image, an output is not finite or not a posterior, or
            memory ran out.
    """

    def predict(batch: Mapping) -> np.ndarray:
        try:
            posteriors = predictor(batch["image"])
        except RefusedView as refused:
            index = int(batch["index"][refused.place])
            raise UserError(f"{model_name} refuses image {index} {manifest.names[index]}: {refused}") from refused
        _check_outputs(posteriors, model_name, sum_to_one=predictor.gives_posteriors)
        return posteriors

    def compute(outputs: ResumableArray, wanted: np.ndarray, advance: Callable[[], None]) -> None:
        batches = views.view_batches(manifest, wanted, spec)
        _store_means(outputs, batches, predict, num_views=spec.num_views, advance=advance, model_name=model_name)

    groups, weights = views.batch_groups(manifest, spec), views.weights(manifest, spec)
    items = Items.of_rows(title, len(manifest), groups=groups, weights=weights)
    return (team or Team()).fill(path, predictor.width, items, compute)


def _store_means(
    outputs: ResumableArray,
    batches: Iterable[Mapping],
    predict: Callable[[Mapping], np.ndarray],
    *,
    num_views: int,
    advance: Callable[[], None],
    model_name: str,
) -> None:
    """Stores, for every image in the batches whose row is missing, the mean of the net's outputs over its views."""
    missing = outputs.pending()
    unfinished: dict[int, tuple[np.ndarray, int]] = {}
    for batch in batches:
        try:
            posteriors = predict(batch)
        except tf.errors.ResourceExhaustedError as error:
            raise UserError(
                f"{model_name}: out of memory; give a smaller --batch_size, and it continues from here"
            ) from error
        for index, row in zip(batch["index"].numpy().tolist(), posteriors.astype(np.float64), strict=True):
            total, seen = unfinished.pop(index, (0.0, 0))
            if seen + 1 < num_views:
                unfinished[index] = total + row, seen + 1
            else:
                if missing[index]:
                    outputs.store(index, (total + row) / num_views)
                advance()


def _check_outputs(posteriors: np.ndarray, model_name: str, *, sum_to_one: bool) -> None:
    """Refuses outputs that are not finite, or that should be posteriors but lack the softmax."""
    if not np.isfinite(posteriors).all():
        raise UserError(f"{model_name} gives outputs that are not numbers: its training diverged")
    if not sum_to_one:
        return
    if posteriors.min() < 0 or np.abs(posteriors.sum(axis=1) - 1).max() > _FLOAT32_SLACK:
        raise UserError(
            f"{model_name} does not give posteriors (numbers from 0 to 1 with the sum 1): it must end in a softmax"
        )
