"""Builds the module that a server runs: encoded photos -> class names and posteriors (arXiv:1409.1556, sect. 3.2)."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from vgg_keras.inference import posteriors
from vgg_keras.models import fully_convolutional
from vgg_keras.serving import photo_batches
from vgg_keras.serving.preprocessing import RequestPreprocessor
from vgg_keras.utils import keras_compat

CLASSIFY, DENSE_MAP, FEATURES = "serving_default", "dense", "features"
# The signature of a localizer.
BOXES = "boxes"


@dataclasses.dataclass(frozen=True)
class ServingConfig:
    """Settings of a served model.

    Attributes:
        preprocessor: the preprocessing that turns the images of a request into views.
        flip: whether each view is averaged with its mirror image.
        average: what is averaged over a class-score map, one of `protocol.AVERAGES`.
        temperature: temperature of the posteriors, see `posteriors.temper`.
        top: number of class names in an answer.
        dtype: dtype of the net's weights and outputs, "float32" or "bfloat16".
        batch_pixels: number of pixels in a batch of several photos of equal size; 1: one photo at a time.
    """

    preprocessor: RequestPreprocessor
    flip: bool
    average: str
    temperature: float = 1.0
    top: int = 5
    dtype: str = "float32"
    batch_pixels: int = photo_batches.BATCH_PIXELS


@dataclasses.dataclass(frozen=True)
class _Nets:
    """The net up to its class scores, and up to the input of its last layer, the outputs of FC7; both give maps."""

    scores: keras.Model
    descriptors: keras.Model


class ServedModel(tf.Module):
    """The module that is saved as a SavedModel, with its signatures.

    Args:
        source: the trained model, from square crops (B, S, S, 3) to posteriors (B, classes).
        config: settings of the served model.
        label_names: text file with a class name in each line, saved as an asset.

    Raises:
        UserError: the source cannot be made fully convolutional.
    """

    def __init__(self, source: keras.Model, config: ServingConfig, label_names: Path):
        super().__init__()
        self._config = config
        self._num_classes = source.output_shape[-1]
        net = fully_convolutional.convert(source, config.dtype)
        self._nets = _Nets(net, keras.Model(net.input, net.layers[-1].input))
        # TensorFlow tracks the variables of a Keras 3 model only indirectly, and then a server does not restore them
        # ("Could not find variable"). So they are listed here, and `_Nets` hides the model from the tracking.
        self.variables_of_net = [keras_compat.tf_variable(variable) for variable in net.variables]
        names = tf.lookup.TextFileInitializer(
            str(label_names),
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            vocab_size=self._num_classes,
        )
        self.names = tf.lookup.StaticHashTable(names, default_value="")

    def signatures(self) -> dict[str, Callable]:
        """Returns the signatures' functions by their names in the SavedModel."""
        return {CLASSIFY: self.classify, DENSE_MAP: self.dense, FEATURES: self.features}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def classify(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies encoded images by the same test as `evaluate`.

        Args:
            image_bytes: (B,) string, JPEG, PNG, GIF or BMP of any sizes.

        Returns:
            class_names (B, k) string, class_indices (B, k) int32 and probabilities (B, k) float32, the best first; and
            posterior (B, classes) float32.

        Raises:
            tf.errors.InvalidArgumentError: images do not decode, or are too large; the message names their indices.
        """
        averaged = self._predict_images(image_bytes, self._nets.scores, self._config.average)
        posterior = posteriors.temper(averaged, self._config.temperature)
        probabilities, indices = tf.math.top_k(posterior, min(self._config.top, self._num_classes))
        return {
            "class_names": self.names.lookup(tf.cast(indices, tf.int64)),
            "class_indices": indices,
            "probabilities": probabilities,
            "posterior": posterior,
        }

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32, name="images")])
    def dense(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Computes class-score maps and posteriors of decoded images, neither rescaled nor mirrored.

        Args:
            images: (B, H, W, 3) float32, RGB 0..255, H and W at least the net's input size.

        Returns:
            class_score_map (B, h, w, classes) and posterior (B, classes), float32.

        Raises:
            tf.errors.InvalidArgumentError: the images are smaller than the net's input.
        """
        smallest = self._config.preprocessor.crop_size
        message = tf.strings.format(f"images are {{}}; height and width must be {smallest} at least", tf.shape(images))
        tf.debugging.Assert(tf.reduce_min(tf.shape(images)[1:3]) >= smallest, [message])
        score_map = tf.cast(self._nets.scores(images, training=False), tf.float32)
        averaged = posteriors.average_score_map(score_map, self._config.average)
        return {"class_score_map": score_map, "posterior": posteriors.temper(averaged, self._config.temperature)}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def features(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Describes encoded images by the outputs of the penultimate layer (arXiv:1409.1556, appendix B).

        Args:
            image_bytes: (B,) string, JPEG, PNG, GIF or BMP of any sizes.

        Returns:
            features: (B, D) float32, rows of length 1; D is 4096 for the paper's nets.

        Raises:
            tf.errors.InvalidArgumentError: images do not decode, or are too large; the message names their indices.
        """
        descriptors = self._predict_images(image_bytes, self._nets.descriptors, posteriors.VALUES)
        return {"features": tf.math.l2_normalize(descriptors, axis=1)}

    def _predict_images(self, image_bytes: tf.Tensor, net: keras.Model, average: str) -> tf.Tensor:
        """Returns the mean of a net's outputs over each image's views and scales: (B,) string -> (B, C) float32."""
        preprocessor = self._config.preprocessor
        serialized, sizes = preprocessor.views(image_bytes)
        width, num_views = net.output_shape[-1], preprocessor.num_views

        def of_scale(scale: int) -> tf.Tensor:
            def load(indices: tf.Tensor) -> tf.Tensor:
                return tf.map_fn(
                    lambda one: tf.io.parse_tensor(one, tf.float32),
                    tf.gather(serialized[:, scale], indices),
                    fn_output_signature=tf.TensorSpec((num_views, None, None, 3), tf.float32),
                )

            def predict(views: tf.Tensor) -> tf.Tensor:
                views = tf.reshape(views, tf.concat([[-1], tf.shape(views)[2:]], axis=0))
                views = tf.ensure_shape(views, (None, None, None, 3))
                outputs = posteriors.predict_views(net, views, average=average, flip=self._config.flip)
                return tf.reduce_mean(tf.reshape(outputs, (-1, num_views, width)), axis=1)

            return photo_batches.predict_in_batches(
                load,
                predict,
                sizes[:, scale],
                num_views=num_views,
                width=width,
                batch_pixels=self._config.batch_pixels,
            )

        return tf.reduce_mean(tf.stack([of_scale(scale) for scale in range(len(preprocessor.test_scales))]), axis=0)
