"""Offers a trained localizer, which tells where on photos objects are."""

from pathlib import Path

import keras
import numpy as np

from vgg_keras.data.pixel_boxes import PixelBox, to_pixels
from vgg_keras.inference import image_inputs
from vgg_keras.inference.image_inputs import ImageInput, ImageInputs
from vgg_keras.inference.loading import own_method
from vgg_keras.inference.localizer import KnownClassPredictor, Localizer
from vgg_keras.inference.object_finder import ObjectFinder
from vgg_keras.inference.predictions import Localization, label_index
from vgg_keras.inference.protocol import TestProtocol
from vgg_keras.models.architectures import PCR
from vgg_keras.utils.errors import UserError


class TrainedLocalizer:
    """A trained localizer that is shown photos; made by `load_localizer`, which reads the weights once.

    Args:
        path: a `.keras` file, or a run's folder.
        classifier: the same of the net that chooses the classes; None: there is none.
        test_scales: test scales Q, as `--test_scales` takes them.

    Attributes:
        path: the `.keras` file.
        labels: label names in the order of the class indices.
        squashes: whether it is shown whole photos, squashed to its input's size, as it was validated.

    Raises:
        UserError: a model is missing, damaged or of the wrong kind, or the two do not fit together.
    """

    path: Path
    labels: list[str]
    squashes: bool

    def __init__(self, path: Path, classifier: Path | None, test_scales: str):
        self._localizer = Localizer.load(path, TestProtocol(own_method(path), test_scales))
        self.path, self.labels = self._localizer.path, list(self._localizer.label_names)
        self.squashes = self._localizer.squashes
        self._predict_box = KnownClassPredictor(self._localizer)
        self._finder = ObjectFinder(self._localizer, classifier) if classifier else None

    @property
    def keras_model(self) -> keras.Model:
        """The Keras model, from (B, S, S, 3) float32, RGB 0..255, to boxes, as `vgg_keras.models.vgg.build` tells."""
        return self._localizer.net

    def find(self, images: ImageInputs, *, top: int = 5) -> Localization | list[Localization]:
        """Finds the objects of the likeliest classes on whole photos (arXiv:1409.1556, app. A.2).

        >>> import vgg_keras as vgg
        >>> localizer = vgg.load_localizer("runs/drawn_boxes", classifier="runs/drawn")
        >>> found = localizer.find("runs/drawn/samples/0.jpg", top=2)
        >>> len(found.labels), found.best.box.ymin >= 0
        (2, True)

        Args:
            images: one image or several: paths of files, folders and globs; encoded images; Pillow images; arrays of
                RGB levels 0..255, (H, W, 3).
            top: number of classes.

        Returns:
            The classes of the photo, the likeliest first, each with the box of its object; a list if several images
            were given.

        Raises:
            UserError: an image cannot be read, or the localizer was loaded without a classifier.
        """
        if self._finder is None:
            raise UserError(
                f"{self.path} tells where an object is, not what it is: load_localizer(..., classifier=...) names the "
                "net that chooses the classes"
            )
        if top < 1:
            raise UserError(f"top={top} must be at least 1")
        finder = self._finder
        found = [
            Localization(photo.file, image_inputs.of_named(photo, lambda pixels: finder(pixels, top)))
            for photo in image_inputs.read_images(images)
        ]
        return found[0] if image_inputs.is_single(images) else found

    def box(self, image: ImageInput, label: str | int | None = None, *, flip: bool = False) -> PixelBox:
        """Predicts the box of an object whose class is known from the photo's centre (app. A.2, the first protocol).

        A localizer that was validated on squashed photos is shown the whole photo, squashed.

        >>> import vgg_keras as vgg
        >>> vgg.load_localizer("runs/drawn_boxes").box("runs/drawn/samples/0.jpg", "daisy").ymin >= 0
        True

        Args:
            image: the photo, in any form that `find` takes.
            label: label name or index of the object's class; None for a localizer that gives one box for all classes
                (single-class regression).
            flip: whether the box is averaged with that of the mirrored photo.

        Returns:
            The box in pixels of the photo, which is turned upright by its EXIF orientation.

        Raises:
            UserError: the image cannot be read, there is no such class, or the localizer needs one.
        """
        index = self._index(label)

        def predict(photo: np.ndarray) -> PixelBox:
            self._localizer.require_fits(photo)
            return to_pixels(self._predict_box(photo, index, flip=flip), *photo.shape[:2])

        return image_inputs.of_named(image_inputs.single(image), predict)

    def _index(self, label: str | int | None) -> int:
        if label is None:
            if self._localizer.kind == PCR:
                raise UserError(f"{self.path} gives a box for each class: name the class with label=")
            return 0
        return label_index(label, self.labels)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}: {self._localizer.kind}, {len(self.labels)} classes)"
