"""Builds the module that a server runs for a localizer: encoded photos -> boxes (arXiv:1409.1556, app. A.2)."""

import functools
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from vgg_keras.data import boxes, transforms
from vgg_keras.models import fully_convolutional
from vgg_keras.models.box_regression import boxes_of_center_crop
from vgg_keras.serving import photo_batches
from vgg_keras.serving.preprocessing import RequestPreprocessor
from vgg_keras.serving.servable import BOXES
from vgg_keras.utils import keras_compat


class ServedLocalizer(tf.Module):
    """The module that is saved as a SavedModel, with its signature.

    Args:
        source: the trained localizer, from square crops (B, S, S, 3) to boxes.
        preprocessor: the preprocessing that turns the images of a request into whole images at each test scale (DENSE),
            or into squashed ones (SQUASH), which are their own centre crops.
        label_names: text file with a label name in each line, saved as an asset; the boxes of a localizer that has one
            for each class are in their order.
        dtype: dtype of the net's weights and outputs, "float32" or "bfloat16".
        flip: whether the boxes are averaged with those of the mirrored crops.

    Raises:
        UserError: the source cannot be made fully convolutional.
    """

    def __init__(
        self, source: keras.Model, preprocessor: RequestPreprocessor, label_names: Path, dtype: str, *, flip: bool
    ):
        super().__init__()
        self._ways = (False, True) if flip else (False,)
        self._preprocessor, self._num_boxes = preprocessor, source.output_shape[-1] // boxes.SIZE
        net = fully_convolutional.convert(source, dtype)
        # The partial function hides the model from TensorFlow's tracking; see `ServedModel`.
        self._predict = functools.partial(net, training=False)
        self.variables_of_net = [keras_compat.tf_variable(variable) for variable in net.variables]
        self.label_names = tf.saved_model.Asset(str(label_names))

    def signatures(self) -> dict[str, Callable]:
        """Returns the signatures' functions by their names in the SavedModel."""
        return {BOXES: self.boxes}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def boxes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Predicts the boxes on encoded images from centre crops, or the squashed images, averaged over all views.

        Args:
            image_bytes: (B,) string, JPEG, PNG, GIF or BMP of any sizes.

        Returns:
            boxes: (B, n, 4) float32, (ymin, xmin, ymax, xmax) relative to the image, at whose border they are cut: a
            box for each class (PCR), or one (SCR).

        Raises:
            tf.errors.InvalidArgumentError: images do not decode, or are too large; the message names their indices.
        """
        serialized, sizes = self._preprocessor.views(image_bytes)
        scales = range(len(self._preprocessor.test_scales))
        found = [
            self._boxes_at_scale(serialized[:, scale], sizes[:, scale], mirrored=mirrored)
            for scale in scales
            for mirrored in self._ways
        ]
        return {"boxes": tf.clip_by_value(tf.reduce_mean(tf.stack(found), axis=0), 0.0, 1.0)}

    def _boxes_at_scale(self, serialized: tf.Tensor, sizes: tf.Tensor, *, mirrored: bool) -> tf.Tensor:
        """Returns the boxes of the images, (B, n, 4), given them at one scale, (B,) string, and their (B, 2) sizes."""
        crop_size = self._preprocessor.crop_size

        def crop(one: tf.Tensor) -> tf.Tensor:
            whole = tf.ensure_shape(tf.io.parse_tensor(one, tf.float32), (1, None, None, 3))[0]
            view = transforms.center_crop(whole, crop_size)[tf.newaxis]
            return tf.reverse(view, axis=[2]) if mirrored else view

        def load(indices: tf.Tensor) -> tf.Tensor:
            signature = tf.TensorSpec((1, crop_size, crop_size, 3), tf.float32)
            return tf.map_fn(crop, tf.gather(serialized, indices), fn_output_signature=signature)

        def predict(views: tf.Tensor) -> tf.Tensor:
            outputs = tf.cast(self._predict(views[:, 0]), tf.float32)
            return tf.reshape(outputs, (-1, boxes.SIZE * self._num_boxes))

        # The crops are of equal size, whatever the images are.
        outputs = photo_batches.predict_in_batches(
            load, predict, tf.fill(tf.shape(sizes), crop_size), num_views=1, width=boxes.SIZE * self._num_boxes
        )
        return tf.map_fn(
            lambda one: boxes_of_center_crop(one[0], one[1], crop_size, mirrored=mirrored),
            (outputs, sizes),
            fn_output_signature=tf.TensorSpec((self._num_boxes, boxes.SIZE), tf.float32),
        )
