"""Calls the signatures of an exported SavedModel in this process."""

import io
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from vgg_keras.data import transforms
from vgg_keras.data.labels import LABEL_NAMES
from vgg_keras.data.photo_decoding import BadImage
from vgg_keras.serving import export_record
from vgg_keras.serving.servable import CLASSIFY, DENSE_MAP, FEATURES
from vgg_keras.utils.errors import UserError, reason
from vgg_keras.utils.paths import without_wildcards
from vgg_keras.utils.side_files import damaged, read_names

_WAY_OUT = "export the model again"


class ExportedSignatures:
    """The signatures of a version, as functions of decoded photos.

    Args:
        version: folder of the version.
        num_classes: number of the model's classes.

    Raises:
        UserError: the SavedModel or its label names cannot be read.
    """

    def __init__(self, version: Path, num_classes: int):
        export_record.require_whole(version)
        try:
            with without_wildcards(version) as plain:
                self._loaded = tf.saved_model.load(str(plain))
        except Exception as error:  # TensorFlow and the file system raise errors of many kinds
            raise UserError(f"{version} is no SavedModel that can be loaded: {reason(error)}; {_WAY_OUT}") from error
        missing = {CLASSIFY, DENSE_MAP, FEATURES} - set(self._loaded.signatures)
        if missing:
            raise damaged(version, f"it has no signature {', '.join(sorted(missing))}", _WAY_OUT)
        labels = version / "assets" / LABEL_NAMES
        self.label_names = read_names(labels, _WAY_OUT)
        if len(self.label_names) != num_classes:
            raise UserError(f"{labels} names {len(self.label_names)} classes, the model has {num_classes}; {_WAY_OUT}")

    def posterior(self, photo: np.ndarray) -> np.ndarray:
        """Classifies a photo: (H, W, 3) uint8 -> (classes,) float32.

        Raises:
            BadImage: the model refuses the photo, for example since it has too many pixels.
        """
        return self._call_encoded(CLASSIFY, photo, "posterior")

    def features(self, photo: np.ndarray) -> np.ndarray:
        """Describes a photo by the penultimate layer: (H, W, 3) uint8 -> (D,) float32, of length 1.

        Raises:
            BadImage: the model refuses the photo.
        """
        return self._call_encoded(FEATURES, photo, "features")

    def score_map(self, photo: np.ndarray, smallest_side: int) -> np.ndarray:
        """Computes the class-score map of a photo: (H, W, 3) uint8 -> (h, w, classes) float32, logits.

        Args:
            photo: the photo.
            smallest_side: test scale Q in pixels.
        """
        image = transforms.rescale(photo, smallest_side)[tf.newaxis]
        return self._loaded.signatures[DENSE_MAP](images=image)["class_score_map"][0].numpy()

    def _call_encoded(self, signature: str, photo: np.ndarray, output: str) -> np.ndarray:
        encoded = io.BytesIO()
        Image.fromarray(photo).save(encoded, format="PNG", compress_level=1)
        try:
            answer = self._loaded.signatures[signature](image_bytes=tf.constant([encoded.getvalue()]))
        except tf.errors.InvalidArgumentError as error:
            raise BadImage(f"the exported model refuses it: {reason(error)}") from error
        return answer[output][0].numpy()
