"""Predicts the boxes of objects with a trained localizer (arXiv:1409.1556, app. A)."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from vgg_keras.data import boxes
from vgg_keras.inference import box_positions
from vgg_keras.inference.box_positions import PositionPredictor
from vgg_keras.inference.loading import EvaluatedModel, require_classes
from vgg_keras.inference.predictor import Predictor
from vgg_keras.inference.protocol import CENTER_CROP, DENSE, TestProtocol, TrainedNet
from vgg_keras.inference.views import ViewSpec, require_fits
from vgg_keras.models import metadata, probe, run_record, saving, vgg
from vgg_keras.models.architectures import PCR
from vgg_keras.models.preparation import SQUASH
from vgg_keras.utils import files
from vgg_keras.utils.errors import UserError


@dataclasses.dataclass(frozen=True)
class Localizer:
    """A loaded net that predicts boxes.

    Attributes:
        path: the `.keras` file.
        net: the model, from square crops (B, S, S, 3), RGB 0..255, to boxes, as `vgg.build` describes them.
        kind: SCR or PCR.
        trained: its net and training scale.
        squashes: whether it is shown whole images, squashed to its input's size, and not images that keep their shape.
        test_scales: test scales Q in pixels; of squashed images the size of its input.
        input_size: side of its crops in pixels.
        class_names: unique names of its classes in the order of their indices.
        label_names: human-readable names in the same order.
    """

    path: Path
    net: keras.Model
    kind: str
    trained: TrainedNet
    squashes: bool
    test_scales: tuple[int, ...]
    input_size: int
    class_names: Sequence[str]
    label_names: Sequence[str]

    @classmethod
    def load(cls, path: Path, protocol: TestProtocol, class_names: Sequence[str] | None = None) -> "Localizer":
        """Loads a localizer.

        Args:
            path: a `.keras` file or a run's folder, whose best model is loaded.
            protocol: the way in which it is tested, whose method is DENSE, CENTER_CROP or SQUASH.
            class_names: class names of the data set on which it is tested, in the order of their indices; None if it is
                shown photos of no known class.

        Raises:
            UserError: the model is missing or damaged, predicts classes, has other classes, or cannot be tested in this
                way.
        """
        path = run_record.find_model_file(path)
        saving.require_model_file(path)
        described = metadata.read(path, None)
        if not described.box_regression:
            raise UserError(f"{path} predicts classes, not boxes; train one with --task=localization")
        if class_names is not None:
            require_classes(path, len(described.class_names), described.class_names, class_names)
        net = saving.load_model(path)
        if not np.isfinite(probe.run(net, str(path)).outputs).all():
            raise UserError(f"{path} gives boxes that are not numbers: its training diverged")
        trained = TrainedNet(vgg.net_name(net) or net.name, described.train_scale, described.frozen_up_to)
        input_size = net.input_shape[1]
        test_scales = protocol.scales_for(trained, path, input_size)
        if min(test_scales) < input_size:
            raise UserError(f"--test_scales: {path} looks at {input_size}x{input_size} pixels; Q must not be smaller")
        names = described.class_names, described.known_label_names(len(described.class_names))
        squashes = protocol.method == SQUASH
        return cls(path, net, described.box_regression, trained, squashes, test_scales, input_size, *names)

    def specs(self, method: str, batch_size: int = 1) -> list[ViewSpec]:
        """Returns what the localizer is shown of an image at each test scale.

        Args:
            method: DENSE or CENTER_CROP, for a localizer that is shown images that keep their shape.
            batch_size: number of crops in a batch.
        """
        method = SQUASH if self.squashes else method
        return [ViewSpec(method, side, self.input_size, batch_size) for side in self.test_scales]

    def require_fits(self, photo: np.ndarray, batch_size: int = 32) -> None:
        """Checks that a photo, (H, W, 3), is not so long and thin that, rescaled, it would not fit into memory.

        Args:
            photo: the photo.
            batch_size: number of crops whose pixels it may have, if that is more than is always allowed.

        Raises:
            BadImage: it is.
        """
        for spec in self.specs(DENSE, batch_size):
            require_fits(photo, spec)

    def identity(self) -> dict:
        """Returns a JSON-ready description of everything in the model that a result depends on."""
        frozen = {"frozen_up_to": self.trained.frozen_up_to} if self.trained.frozen_up_to else {}
        return {
            "net": self.trained.net,
            "train_scale": self.trained.train_scale,
            **frozen,
            "box_regression": self.kind,
            "test_scales": list(self.test_scales),
            "input_size": self.input_size,
            "sha256": files.sha256(self.path),
        }

    def require_scorer(self, classifier: EvaluatedModel) -> None:
        """Checks that a classifier can score the boxes: that it has the same classes and the same input size.

        Of a localizer that is shown squashed images, a classifier chooses the classes alone, with an input of any size.

        Raises:
            UserError: it has others.
        """
        if classifier.input_size != self.input_size and not self.squashes:
            sizes = f"{classifier.input_size}x{classifier.input_size} pixels, {self.path} at {self.input_size}x"
            raise UserError(
                f"--classifier={classifier.path} looks at {sizes}{self.input_size}, so that its scores are of other "
                f"places than the boxes; name a classifier that was trained with --input_size={self.input_size}"
            )
        theirs, ours = list(classifier.metadata.class_names), list(self.class_names)
        if theirs != ours:
            pairs = itertools.zip_longest(theirs, ours, fillvalue="none")
            their, our = next(pair for pair in pairs if pair[0] != pair[1])
            raise UserError(
                f"--classifier={classifier.path} and {self.path} know other classes: {their!r} where the second has "
                f"{our!r}; name a classifier that was trained on the classes of the localizer"
            )

    def position_predictor(self, classifier: EvaluatedModel | None = None) -> PositionPredictor:
        """Returns the function that predicts boxes at all positions of an image.

        Args:
            classifier: the classifier that scores the boxes, of the same classes and the same input size; None: every
                score is 1.

        Raises:
            UserError: the classifier has other classes, or another input size.
        """
        if classifier:
            self.require_scorer(classifier)
        return PositionPredictor(self.net, self.kind, self.input_size, classifier.net if classifier else None)


@dataclasses.dataclass(frozen=True)
class Found:
    """An object that was found on an image.

    Attributes:
        label: its class.
        posterior: posterior of the class for the whole image, 0..1.
        box: (4,) float64, (ymin, xmin, ymax, xmax) relative to the image, at whose border it is cut.
    """

    label: int
    posterior: float
    box: np.ndarray


class KnownClassPredictor:
    """Predicts one box for an object of a known class from the centre crop (app. A.2, the first protocol).

    Of several test scales the boxes are averaged. A localizer of squashed images is shown the whole image.

    Args:
        localizer: the localizer.
    """

    def __init__(self, localizer: Localizer):
        self._localizer, self._predict = localizer, localizer.position_predictor()

    def __call__(self, image: np.ndarray, label: int, *, flip: bool = False) -> np.ndarray:
        """Predicts the box of an object.

        Args:
            image: (H, W, 3) uint8, RGB.
            label: the object's class.
            flip: whether the box is averaged with that of the mirrored crop.

        Returns:
            (4,) float64, (ymin, xmin, ymax, xmax) relative to the image, at whose border it is cut.
        """
        return self.boxes(image, flip=flip)[label if self._localizer.kind == PCR else 0]

    def boxes(self, image: np.ndarray, *, flip: bool = False) -> np.ndarray:
        """Predicts all boxes.

        Args:
            image: (H, W, 3), RGB 0..255.
            flip: whether the boxes are averaged with those of the mirrored crop.

        Returns:
            (n, 4) float64, (ymin, xmin, ymax, xmax) relative to the image, at whose border boxes are cut: a box for
            each class, or for SCR one.
        """
        labels, size = np.arange(self._localizer.net.output_shape[-1] // boxes.SIZE), image.shape[:2]
        predicted = [
            self._predict(spec.extract(image), labels, *spec.place(size), flip=flip)
            for spec in self._localizer.specs(CENTER_CROP)
        ]
        return box_positions.mean_boxes(np.concatenate(predicted), size)


class LikelyClassesPredictor:
    """Finds the objects of the likeliest classes on single images (app. A.2, the second protocol).

    The classes are those of the highest posteriors. The localizer is shown whole images, or squashed ones if it is one
    of these.

    Args:
        localizer: the localizer.
        chooser: computes the posteriors, with a classifier of the same classes, and of the same input size and test
            scales if images keep their shape.

    Raises:
        UserError: the classifier has other classes, or another input size.
    """

    def __init__(self, localizer: Localizer, chooser: Predictor):
        localizer.require_scorer(chooser.model)
        self._choose = chooser.posteriors
        self._predict = localizer.position_predictor(None if localizer.squashes else chooser.model)
        self._specs = localizer.specs(DENSE)

    def __call__(self, image: np.ndarray, top: int = 5) -> list[Found]:
        """Finds the objects on an image.

        Args:
            image: (H, W, 3) uint8, RGB.
            top: number of classes.

        Returns:
            An object of each of the likeliest classes, the likeliest first.

        Raises:
            BadImage: the image is so long and thin that, rescaled, it would not fit into memory.
        """
        posteriors, size = self._choose(image), image.shape[:2]
        labels = np.argsort(-posteriors, kind="stable")[:top]
        predicted = [self._predict(spec.extract(image), labels, *spec.place(size)) for spec in self._specs]
        joined = box_positions.JOIN[self._specs[0].method](np.concatenate(predicted), size)
        return [Found(int(label), float(posteriors[label]), box) for label, box in zip(labels, joined, strict=True)]
