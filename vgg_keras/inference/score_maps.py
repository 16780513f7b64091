"""Computes where in a photo a model sees its classes: its class-score maps, enlarged to the photo.

A map is computed at the test scales at which the photo is labelled (arXiv:1409.1556, sect. 3.2), so that it shows what
the label was averaged from.
"""

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.data import transforms
from vgg_keras.models.architectures import TOTAL_STRIDE


@dataclasses.dataclass(frozen=True)
class PosteriorMap:
    """The posteriors at the positions of the class-score map of one image.

    Attributes:
        posteriors: (h, w, classes) float32, the softmax at each position.
        image_size: height and width of the image that the net was shown, in pixels.
        mirrored: whether that image was mirrored left to right.
    """

    posteriors: np.ndarray
    image_size: tuple[int, int]
    mirrored: bool


class PosteriorMaps:
    """Computes a model's posterior maps of photos, at all scales and for all mirror images that give a photo its label.

    Args:
        net: the model as a fully convolutional net (result of `fully_convolutional.convert`).
        test_scales: test scales Q in pixels, each at least `input_size`.
        input_size: side of the net's window in pixels.
        flip: whether mirror images are averaged in.
    """

    def __init__(self, net: keras.Model, test_scales: Sequence[int], input_size: int, *, flip: bool):
        self.test_scales = tuple(test_scales)
        self._net, self._input_size, self._flip = net, input_size, flip
        self._posteriors.get_concrete_function()  # as in `DistributedPredictor`

    def maps(self, photo: np.ndarray) -> list[PosteriorMap]:
        """Computes the posterior maps of a photo, (H, W, 3) with RGB 0..255, for each scale and mirror image."""
        found = []
        for side in self.test_scales:
            whole = transforms.rescale(photo, side)
            for mirrored in (False, True) if self._flip else (False,):
                seen = tf.reverse(whole, axis=[1]) if mirrored else whole
                posteriors = self._posteriors(seen[tf.newaxis])[0].numpy()
                found.append(PosteriorMap(posteriors, (whole.shape[0], whole.shape[1]), mirrored))
        return found

    # One trace serves photos of all shapes.
    @tf.function(autograph=False, input_signature=[tf.TensorSpec((1, None, None, 3), tf.float32)])
    def _posteriors(self, images: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(self._net(images, training=False))

    def heat_maps(self, photo: np.ndarray, classes: Sequence[int], size: tuple[int, int]) -> np.ndarray:
        """Computes how strongly each place of a photo speaks for some classes: the mean over scales and mirror images.

        Args:
            photo: (H, W, 3), RGB 0..255.
            classes: indices of the classes.
            size: height and width of the result in pixels, those of the picture of the photo over which it is drawn.

        Returns:
            (height, width, number of classes) float, 0..1.
        """
        enlarged = []
        for one in self.maps(photo):
            heat = enlarge_map(one.posteriors[..., list(classes)], one.image_size, size, self._input_size)
            enlarged.append(heat[:, ::-1] if one.mirrored else heat)
        return np.mean(enlarged, axis=0)


def enlarge_map(
    posteriors: np.ndarray, image_size: tuple[int, int], size: tuple[int, int], input_size: int
) -> np.ndarray:
    """Enlarges a map to a picture of the whole photo: (h, w, C) -> (H, W, C).

    Position (i, j) of the map sees the window of side `input_size` whose top left corner is at row 32 i and column 32 j
    of the image that the net was shown. Its value is put in the centre of the window; between the centres the values
    are interpolated bilinearly, and outside them the nearest one holds.

    Args:
        posteriors: (h, w, C).
        image_size: height and width of the image that the net was shown, in pixels.
        size: height H and width W of the picture, which shows that image at another size.
        input_size: side of the net's window in pixels.
    """
    rows, columns = (
        _interpolation(count, image_side, side, input_size)
        for count, image_side, side in zip(posteriors.shape[:2], image_size, size, strict=True)
    )
    return np.einsum("yi,ijc,xj->yxc", rows, posteriors, columns, optimize=True)


def _interpolation(count: int, image_side: int, side: int, input_size: int) -> np.ndarray:
    """Returns the share of each position along an axis in each pixel along the axis: (side, count), rows with sum 1."""
    pixels = (np.arange(side) + 0.5) * image_side / side
    positions = np.clip((pixels - input_size / 2) / TOTAL_STRIDE, 0, count - 1)
    return np.maximum(0, 1 - np.abs(positions[:, np.newaxis] - np.arange(count)))
