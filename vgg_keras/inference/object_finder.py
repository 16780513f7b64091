"""Finds objects on photos, and names their classes (arXiv:1409.1556, app. A.2)."""

from pathlib import Path

import numpy as np

from vgg_keras.data.pixel_boxes import to_pixels
from vgg_keras.inference.loading import load_for_inference, own_method
from vgg_keras.inference.localizer import LikelyClassesPredictor, Localizer
from vgg_keras.inference.predictions import LocatedLabel
from vgg_keras.inference.predictor import Predictor
from vgg_keras.inference.protocol import DENSE, TestProtocol


class ObjectFinder:
    """Finds the objects of the likeliest classes on photos of any size, by the second protocol of app. A.2.

    Beside a localizer of squashed photos, the classifier is shown what it was validated on.

    Args:
        localizer: the localizer.
        classifier: a `.keras` file or a run's folder: the net that chooses and scores the classes.
        batch_size: number of crops whose pixels a whole photo may have, if that is more than is always allowed.

    Raises:
        UserError: the classifier is missing, damaged or none, or does not fit the localizer.
    """

    def __init__(self, localizer: Localizer, classifier: Path, batch_size: int = 32):
        squashes = localizer.squashes
        method, scales = (own_method(classifier), ()) if squashes else (DENSE, localizer.test_scales)
        protocol = TestProtocol(method, ",".join(map(str, scales)), flip=False)
        model = load_for_inference(classifier, protocol, scores_boxes=True, scaled=False)
        # Before the localizer's scales are compared with the classifier's input size.
        localizer.require_scorer(model)
        self._find = LikelyClassesPredictor(localizer, Predictor(model.at_scales(protocol), protocol, batch_size))
        self._label_names = localizer.label_names

    def __call__(self, photo: np.ndarray, top: int = 5) -> list[LocatedLabel]:
        """Finds the objects on a photo.

        Args:
            photo: (H, W, 3) uint8, RGB.
            top: number of classes.

        Returns:
            The likeliest classes, the likeliest first, each with the box of its object.

        Raises:
            BadImage: the photo is so long and thin that, rescaled, it would not fit into memory.
        """
        height, width = photo.shape[:2]
        return [
            LocatedLabel(self._label_names[one.label], one.label, one.posterior, to_pixels(one.box, height, width))
            for one in self._find(photo, top)
        ]
