"""A trained model as a versioned SavedModel, checked against its source before it gets its name."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from data_prep.labels import CLASS_INDICES, LABEL_NAMES
from vgg_keras import checkpoints, fully_convolutional, transforms
from vgg_keras.command_line import UserError, reason

# Largest difference in posterior between the source model and what is reloaded. Both compute in float32, along
# different paths; 1e-4 is far above their rounding and far below anything that changes a decision.
_TOLERANCE = 1e-4


class _Served(tf.Module):
    """What the SavedModel holds: the fully convolutional net and its signature."""

    def __init__(self, model: keras.Model):
        super().__init__()
        self.model = model

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32, name="images")])
    def serve(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Dense evaluation of images of any (one) size, RGB 0..255 (arXiv:1409.1556, sect. 3.2)."""
        score_map = self.model(images, training=False)
        scores = tf.reduce_mean(score_map, axis=(1, 2))
        return {"class_score_map": score_map, "posterior": tf.nn.softmax(scores)}


def sample_photos(model_path: Path, check_images: str) -> list[np.ndarray]:
    """Decodes the photos on which an export is checked.

    Args:
        model_path: the model; its run's folder holds `samples/`.
        check_images: a folder or a glob of photos to take instead, or "".

    Returns:
        (H, W, 3) uint8 arrays.

    Raises:
        UserError: there are none, or one does not decode.
    """
    if check_images:
        place = Path(check_images)
        found = place.iterdir() if place.is_dir() else place.parent.glob(place.name)
    else:
        found = (model_path.parent / "samples").glob("*")
    paths = sorted(path for path in found if path.is_file() and not path.name.startswith("."))
    if not paths:
        raise UserError(f"no photos to check the export on beside {model_path}; name some with --check_images=FOLDER")
    return [_decode(path) for path in paths]


def _decode(path: Path) -> np.ndarray:
    try:
        return transforms.decode(path.read_bytes()).numpy()
    except tf.errors.InvalidArgumentError as error:
        raise UserError(f"{path} does not decode: {reason(error)}") from error


def export(model_path: Path, output_dir: Path, photos: Sequence[np.ndarray]) -> Path:
    """Writes a model as the next version below a folder, in the layout that TensorFlow Serving watches.

    The version is written under a name that no server loads, loaded again, compared with the source, then renamed.

    Args:
        model_path: a `.keras` file.
        output_dir: the folder of versions.
        photos: (H, W, 3) uint8, what the two are compared on.

    Returns:
        The version's folder.

    Raises:
        UserError: the model cannot be converted, or the reloaded one does not agree with it.
    """
    source = checkpoints.load_model(model_path)
    converted = fully_convolutional.convert(source)
    output_dir.mkdir(parents=True, exist_ok=True)
    version = max((int(path.name) for path in output_dir.iterdir() if path.name.isdigit()), default=0) + 1
    temporary = output_dir / f".{version}.incomplete"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        served = _Served(converted)
        tf.saved_model.save(served, str(temporary), signatures={"serving_default": served.serve})
        _copy_labels(model_path.parent, temporary / "assets.extra")
        check_agreement(source, temporary, photos)
        os.rename(temporary, output_dir / str(version))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return output_dir / str(version)


def _copy_labels(run: Path, extra: Path) -> None:
    extra.mkdir()
    for name in (LABEL_NAMES, CLASS_INDICES):
        if (run / name).exists():
            shutil.copy(run / name, extra / name)


def check_agreement(source: keras.Model, saved_model: Path, photos: Sequence[np.ndarray]) -> float:
    """Compares a SavedModel with the model that it was made of.

    On the centre crop of each photo the posteriors must be the source's; on the whole photo, enlarged where it is
    smaller than the net's input, the posterior must be that of the mean over its class-score map.

    Returns:
        The largest difference in posterior.

    Raises:
        UserError: they differ.
    """
    serve = tf.saved_model.load(str(saved_model)).signatures["serving_default"]
    size = source.input_shape[1]
    largest = 0.0
    for photo in photos:
        whole = transforms.rescale(tf.constant(photo), max(size, min(photo.shape[:2])))
        crop = transforms.center_crop(whole, size)[tf.newaxis]
        expected = source(crop, training=False).numpy()
        largest = max(largest, float(np.abs(serve(images=crop)["posterior"].numpy() - expected).max()))
        dense = serve(images=whole[tf.newaxis])
        scores = dense["class_score_map"].numpy().mean(axis=(1, 2))
        posterior = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        largest = max(largest, float(np.abs(dense["posterior"].numpy() - posterior).max()))
    # Written so that a NaN fails too.
    if not largest <= _TOLERANCE:
        raise UserError(
            f"the exported model differs from {source.name} by {largest:g} in posterior; nothing was exported"
        )
    print(f"the exported model agrees with the trained one on {len(photos)} photos to {largest:.1e} in posterior")
    return largest
