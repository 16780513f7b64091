"""Defines what every loaded model can do, whether it is a `.keras` file or an exported SavedModel."""

import abc
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from vgg_keras.api.explanation import Explanation
from vgg_keras.api.score_map import ScoreMap
from vgg_keras.inference import image_inputs
from vgg_keras.inference.image_inputs import ImageInput, ImageInputs, NamedPhoto
from vgg_keras.inference.predictions import Prediction, best_labels
from vgg_keras.inference.protocol import GRAD_CAM
from vgg_keras.utils.errors import UserError


class TrainedModel(abc.ABC):
    """A trained model that is shown photos; made by `load`, which reads the weights once.

    Attributes:
        path: the `.keras` file, or the folder of the exported version.
        labels: label names in the order of the class indices.
        input_size: side of the net's input in pixels, the smallest test scale.
    """

    path: Path
    labels: list[str]
    input_size: int

    def classify(
        self,
        images: ImageInputs,
        *,
        method: str | None = None,
        test_scales: str | int | Sequence[int] = "",
        top: int = 5,
    ) -> Prediction | list[Prediction]:
        """Classifies photos by the paper's test protocol (arXiv:1409.1556, sect. 3.2).

        >>> import vgg_keras as vgg
        >>> model = vgg.load("runs/drawn")
        >>> model.classify("runs/drawn/samples/0.jpg", top=2).labels[0].index in range(5)
        True
        >>> len(model.classify("runs/drawn/samples", method="center_crop"))
        8

        Args:
            images: one image or several: paths of files, folders and globs; encoded images; Pillow images; arrays of
                RGB levels 0..255, (H, W, 3).
            method: what the net is shown of a photo: "dense", the whole, with its mirror image; "multi_crop", a 5x5
                grid of crops and their mirror images; "center_crop", the centre; "squash", the whole, resized to the
                net's input whatever its shape. None: "squash" if the model was validated so, else "dense"; or that of
                the export.
            test_scales: test scales Q, the smaller sides in pixels to which photos are rescaled: 256 or (256, 288);
                "single" or "multi": those of the paper for the model's training scale; "" means "single", or those of
                the export.
            top: number of labels of each photo.

        Returns:
            The labels of the photo; a list if several images were given.

        Raises:
            UserError: an image cannot be read, or the model cannot be shown images in this way.
        """
        if top < 1:
            raise UserError(f"top={top} must be at least 1")
        files: list[str] = []

        def noted_photos() -> Iterator[NamedPhoto]:
            for photo in image_inputs.read_images(images):
                files.append(photo.file)
                yield photo

        rows = self._posteriors(noted_photos(), method, scales_text(test_scales))
        found = [Prediction(file, best_labels(row, self.labels, top)) for file, row in zip(files, rows, strict=True)]
        return found[0] if image_inputs.is_single(images) else found

    def posteriors(
        self, images: ImageInputs, *, method: str | None = None, test_scales: str | int | Sequence[int] = ""
    ) -> np.ndarray:
        """Computes posteriors: takes the arguments of `classify`; returns (classes,), or (N, classes), float 0..1.

        >>> import vgg_keras as vgg
        >>> vgg.load("runs/drawn").posteriors("runs/drawn/samples").shape
        (8, 5)
        """
        rows = self._posteriors(image_inputs.read_images(images), method, scales_text(test_scales))
        return rows[0] if image_inputs.is_single(images) else rows

    @abc.abstractmethod
    def _posteriors(self, photos: Iterable[NamedPhoto], method: str | None, test_scales: str) -> np.ndarray:
        """Returns (N, classes)."""

    @abc.abstractmethod
    def scales(self, test_scales: str | int | Sequence[int] = "") -> tuple[int, ...]:
        """Returns the test scales Q in pixels that `classify` rescales photos to.

        >>> import vgg_keras as vgg
        >>> vgg.load("runs/drawn").scales()
        (36,)

        Args:
            test_scales: as `classify` takes them: "single" and "multi" are those of the paper.

        Raises:
            UserError: the model cannot be shown photos at these scales.
        """

    @abc.abstractmethod
    def score_map(self, image: ImageInput, *, test_scale: int | None = None) -> ScoreMap:
        """Computes the class-score map of a photo: the scores of all classes for each position of the net's window.

        >>> import vgg_keras as vgg
        >>> found = vgg.load("runs/drawn").score_map("runs/drawn/samples/0.jpg", test_scale=96)
        >>> found.scores.shape[2]
        5

        Args:
            image: the photo, in any form that `classify` takes.
            test_scale: test scale Q, the smaller side in pixels to which the photo is rescaled; None: the model's.

        Raises:
            UserError: the image cannot be read, or the model cannot be made fully convolutional.
        """

    def explain_prediction(
        self,
        image: ImageInput,
        *,
        label: str | int | None = None,
        method: str = GRAD_CAM,
        layer: str = "",
        test_scales: str | int | Sequence[int] = "",
    ) -> Explanation:
        """Computes which parts of a photo speak for a class, where the net sees the whole photo at all test scales.

        >>> import vgg_keras as vgg
        >>> found = vgg.load("runs/drawn").explain_prediction("runs/drawn/samples/0.jpg", method="grad_cam")
        >>> found.values.shape == found.photo.shape[:2]
        True

        Args:
            image: the photo, in any form that `classify` takes.
            label: label name or index of the class; None: the likeliest.
            method: "grad_cam": the channels of a layer, weighted by the gradients of the class's score; "occlusion":
                how far the posterior falls when a grey square hides a place; "integrated_gradients": each pixel's part
                of the score. See `vgg_keras.inference.explanations`.
            layer: for "grad_cam": name of a layer before the FC layers; "": the last convolution.
            test_scales: test scales Q, as `classify` takes them.

        Raises:
            UserError: the image cannot be read, there is no such class, method or layer, or the model is an export,
                which has no gradients, or cannot be made fully convolutional.
        """
        return self._explain(image_inputs.single(image), label, method, layer, scales_text(test_scales))

    def _explain(
        self, photo: NamedPhoto, label: str | int | None, method: str, layer: str, test_scales: str
    ) -> Explanation:
        """Returns the explanation of a photo; not for an export, which has no gradients."""
        raise UserError(f"{self.path} is an export; load the .keras file or the run that it was made from")

    @abc.abstractmethod
    def features(
        self, images: ImageInputs, layers: Sequence[str] = ("fc7",), *, test_scales: str | int | Sequence[int] = ""
    ) -> dict[str, np.ndarray]:
        """Computes descriptors: a layer's outputs, averaged over the photo, its mirror image and the test scales.

        >>> import vgg_keras as vgg
        >>> features = vgg.load("runs/drawn").features("runs/drawn/samples", layers=["fc7", "block5_pool"])
        >>> {layer: array.shape for layer, array in features.items()}
        {'fc7': (8, 256), 'block5_pool': (8, 32)}

        Args:
            images: one image or several, in any form that `classify` takes.
            layers: names of the layers, such as "fc7", the penultimate one (arXiv:1409.1556, appendix B).
            test_scales: test scales Q, as `classify` takes them.

        Returns:
            {layer: (N, channels) float32, rows of length 1}; for one image (channels,).

        Raises:
            UserError: an image cannot be read, or the model has no such layer.
        """

    @property
    @abc.abstractmethod
    def keras_model(self) -> keras.Model:
        """The Keras model, from (B, S, S, 3) float32, RGB 0..255, to posteriors (B, classes).

        Raises:
            UserError: an exported model has none.
        """

    def __repr__(self) -> str:
        shown = ", ".join(self.labels[:5]) + (", ..." if len(self.labels) > 5 else "")
        return f"{type(self).__name__}({str(self.path)!r}: {len(self.labels)} classes: {shown})"


def scales_text(test_scales: str | int | Sequence[int]) -> str:
    """Returns test scales as `--test_scales` takes them: "256,288"."""
    if isinstance(test_scales, str):
        return test_scales
    sides = [test_scales] if isinstance(test_scales, (int, np.integer)) else test_scales
    return ",".join(map(str, sides))
