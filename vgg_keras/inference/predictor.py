"""Computes the posteriors of photos, one photo at a time."""

import functools

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.data import transforms
from vgg_keras.inference.explanations import Explainer
from vgg_keras.inference.loading import EvaluatedModel
from vgg_keras.inference.posteriors import DistributedPredictor, average_score_map, temper
from vgg_keras.inference.protocol import DENSE, TestProtocol
from vgg_keras.inference.score_maps import PosteriorMaps
from vgg_keras.inference.views import ViewSpec, require_fits
from vgg_keras.models import fully_convolutional, vgg
from vgg_keras.utils import devices


class Predictor:
    """Computes the posteriors of photos of any size, averaged over views and test scales.

    Args:
        model: the model, loaded with the same protocol.
        protocol: what the model is shown of each photo.
        batch_size: number of crops in a batch.
        map_net: the model as a fully convolutional net, if the caller has it already.

    Raises:
        UserError: the method is DENSE, and the model cannot be made fully convolutional.
    """

    def __init__(
        self,
        model: EvaluatedModel,
        protocol: TestProtocol,
        batch_size: int = 32,
        map_net: keras.Model | None = None,
    ):
        self.model, self._given_map_net = model, map_net
        self._average, self._flip = protocol.average, protocol.flips()
        self._temperature = protocol.temperature
        self._specs = [ViewSpec(protocol.method, side, model.input_size, batch_size) for side in model.test_scales]
        strategy, _ = devices.make_strategy("one_device")
        net = self.map_net if protocol.method == DENSE else model.net
        self._predict = DistributedPredictor(net, strategy, average=protocol.average, flip=self._flip)

    @functools.cached_property
    def map_net(self) -> keras.Model:
        """The model as a fully convolutional net.

        Raises:
            UserError: the model cannot be converted.
        """
        return self._given_map_net or fully_convolutional.convert(self.model.net)

    @functools.cached_property
    def maps(self) -> PosteriorMaps:
        """The model's posterior maps of photos, at the same scales and with the same mirror images as their labels.

        Raises:
            UserError: the model cannot be made fully convolutional.
        """
        return PosteriorMaps(self.map_net, self.model.test_scales, self.model.input_size, flip=self._flip)

    @functools.cached_property
    def explainer(self) -> Explainer:
        """Explains the labels of photos, at the same scales and with the same mirror images.

        Raises:
            UserError: the model cannot be made fully convolutional.
        """
        empty = vgg.subtracted_mean_rgb(self.model.net)
        return Explainer(self.map_net, self.model.test_scales, self._flip, empty)

    def posteriors(self, photo: np.ndarray) -> np.ndarray:
        """Computes the posteriors of a photo: (H, W, 3) uint8 -> (classes,) float64, the mean over scales and views.

        Raises:
            BadImage: the photo is so long and thin that, rescaled, it would not fit into memory.
        """
        for spec in self._specs:
            require_fits(photo, spec)
        mean = np.mean([self._scale_posteriors(photo, spec) for spec in self._specs], axis=0)
        return temper(tf.constant(mean), self._temperature).numpy()

    def score_map(self, photo: np.ndarray) -> np.ndarray:
        """Computes the class-score map of a photo at the first test scale: (H, W, 3) uint8 -> (h, w, classes) float32.

        Raises:
            BadImage: the photo is so long and thin that, rescaled, it would not fit into memory.
            UserError: the model cannot be made fully convolutional.
        """
        for spec in self._specs:
            require_fits(photo, spec)
        whole = transforms.rescale(photo, self.model.test_scales[0])
        return self.map_net(whole[tf.newaxis], training=False)[0].numpy().astype(np.float32)

    def _scale_posteriors(self, photo: np.ndarray, spec: ViewSpec) -> np.ndarray:
        views = spec.extract(photo)
        batches = [views[start : start + spec.batch_size] for start in range(0, len(views), spec.batch_size)]
        return np.concatenate([self._predict(batch) for batch in batches]).mean(axis=0, dtype=float)

    def map_posteriors(self, images: np.ndarray) -> np.ndarray:
        """Computes the posteriors of images, neither rescaled nor mirrored, from their class-score maps.

        Args:
            images: (B, H, W, 3) float32, RGB 0..255.

        Returns:
            (B, classes) float32.

        Raises:
            UserError: the model cannot be made fully convolutional.
        """
        averaged = average_score_map(self.map_net(images, training=False), self._average)
        return temper(averaged, self._temperature).numpy()
