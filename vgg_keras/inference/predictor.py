"""A model and its way of looking at one photo after the other."""

import functools

import keras
import numpy as np

from data_prep.image_preparation import BadImage
from vgg_keras.evaluation.published import DENSE
from vgg_keras.inference import views
from vgg_keras.inference.loading import ModelUnderTest, Protocol
from vgg_keras.inference.posteriors import PosteriorFunction, of_map
from vgg_keras.models import fully_convolutional
from vgg_keras.utils import devices
from vgg_keras.utils.cli import UserError


class Predictor:
    """A model as a function from photos to posteriors.

    Args:
        model: of `tested_models.inspect`.
        protocol: how photos are looked at; the model was inspected with it.
        batch_size: crops at a time.

    Raises:
        UserError: the model cannot be used in this way.
    """

    def __init__(self, model: ModelUnderTest, protocol: Protocol, batch_size: int = 32):
        if model.saved:
            raise UserError(f"{model.path} holds posteriors of an evaluation; photos need the model itself")
        self.model = model
        self.source = model.load()
        self._method, self._average, self._batch_size = protocol.method, protocol.average, batch_size
        strategy, _ = devices.make_strategy("one_device", one_process=True)
        net = self.map_net if protocol.method == DENSE else self.source
        self._function = PosteriorFunction(net, strategy, average=protocol.average, flip=protocol.flips())

    @functools.cached_property
    def map_net(self) -> keras.Model:
        """The model as a fully convolutional one.

        Raises:
            UserError: it cannot be converted.
        """
        return fully_convolutional.convert(self.source)

    def posteriors(self, photo: np.ndarray) -> np.ndarray:
        """Computes the posteriors of a photo: (H, W, 3) uint8 -> (classes,), the mean over scales and views.

        Raises:
            data_prep.images.BadImage: it is so long and thin that, rescaled, it would not fit into memory.
        """
        pixels = views.rescaled_pixels(photo.shape[:2], max(self.model.test_scales))
        if pixels > views.allowed_pixels(self.model.input_size, self._batch_size):
            raise BadImage(
                f"is too long and thin ({photo.shape[1]}x{photo.shape[0]}): with the smallest side "
                f"{max(self.model.test_scales)} it has {pixels / 1e6:,.1f} million pixels; crop it"
            )
        of_scales = []
        for side in self.model.test_scales:
            seen = views.views_of(photo, self._method, side, self.model.input_size)
            batches = [seen[start : start + self._batch_size] for start in range(0, len(seen), self._batch_size)]
            of_scales.append(np.concatenate([self._function(batch) for batch in batches]).mean(axis=0, dtype=float))
        return np.mean(of_scales, axis=0)

    def map_posterior(self, images: np.ndarray) -> np.ndarray:
        """Computes the posteriors of images as they are, from their maps: (B, H, W, 3) -> (B, classes) float32."""
        return of_map(self.map_net(images, training=False), self._average).numpy()
