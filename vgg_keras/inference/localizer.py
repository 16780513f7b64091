"""Predicts the boxes of objects with a trained localiser (arXiv:1409.1556, app. A)."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.data import boxes, transforms
from vgg_keras.inference import box_merging
from vgg_keras.inference.loading import EvaluatedModel
from vgg_keras.inference.protocol import TestProtocol, TrainedNet
from vgg_keras.models import fully_convolutional, metadata, run_record, saving, vgg
from vgg_keras.models.architectures import PCR, TOTAL_STRIDE
from vgg_keras.models.box_regression import boxes_of_classes
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
        test_scales: test scales Q in pixels.
        input_size: side of its crops in pixels.
        class_names: names of its classes in the order of their indices.
    """

    path: Path
    net: keras.Model
    kind: str
    trained: TrainedNet
    test_scales: tuple[int, ...]
    input_size: int
    class_names: Sequence[str]

    @classmethod
    def load(cls, path: Path, protocol: TestProtocol) -> "Localizer":
        """Loads a localiser.

        Args:
            path: a `.keras` file or a run's folder, whose best model is loaded.
            protocol: the way in which it is tested.

        Raises:
            UserError: the model is missing or damaged, predicts classes, or cannot be tested in this way.
        """
        path = run_record.find_model_file(path)
        described = metadata.read(path, None)
        if not described.box_regression:
            raise UserError(f"{path} predicts classes, not boxes; train one with --task=localization")
        net = saving.load_model(path)
        trained = TrainedNet(vgg.net_name(net) or net.name, described.train_scale, described.frozen_up_to)
        input_size = net.input_shape[1]
        test_scales = protocol.scales_for(trained, path, input_size)
        if min(test_scales) < input_size:
            raise UserError(f"--test_scales: {path} looks at {input_size}x{input_size} pixels; Q must not be smaller")
        names = described.class_names
        return cls(path, net, described.box_regression, trained, test_scales, input_size, names)

    def identity(self) -> dict:
        """Returns a JSON-ready description of everything in the model that a result depends on."""
        return {
            "net": self.trained.net,
            "train_scale": self.trained.train_scale,
            "box_regression": self.kind,
            "test_scales": list(self.test_scales),
            "input_size": self.input_size,
            "sha256": files.sha256(self.path),
        }


class CenterPredictor:
    """Predicts one box for an object of a known class from the centre crop (app. A.2, the first protocol).

    Of several test scales the boxes are averaged.

    Args:
        localizer: the localiser.
    """

    def __init__(self, localizer: Localizer):
        self._localizer = localizer
        self._run = tf.function(localizer.net, reduce_retracing=True)

    def __call__(self, image: np.ndarray, label: int) -> np.ndarray:
        """Predicts the box of an object.

        Args:
            image: (H, W, 3) uint8, RGB.
            label: the object's class.

        Returns:
            (4,) float64, (ymin, xmin, ymax, xmax) relative to the image.
        """
        crop_size, found = self._localizer.input_size, []
        for side in self._localizer.test_scales:
            whole = transforms.rescale(image, side)
            size = tf.shape(whole)[:2]
            outputs = self._run(transforms.center_crop(whole, crop_size)[tf.newaxis])
            box = boxes.from_center(boxes_of_classes(outputs, tf.constant([label]), self._localizer.kind))
            found.append(boxes.from_crop(box, size, transforms.center_offset(size, crop_size), crop_size)[0].numpy())
        return np.mean(np.asarray(found, np.float64), axis=0)


@dataclasses.dataclass(frozen=True)
class Found:
    """An object that was found on an image.

    Attributes:
        label: its class.
        posterior: posterior of the class for the whole image, 0..1.
        box: (4,) float64, (ymin, xmin, ymax, xmax) relative to the image.
    """

    label: int
    posterior: float
    box: np.ndarray


class DensePredictor:
    """Finds the objects of the likeliest classes on whole images (app. A.2, the second protocol).

    The localiser and a classifier, both fully convolutional, are applied to the whole image at each scale. The boxes
    that the localiser predicts at all positions and scales are merged greedily, and scored by the classifier's
    posteriors at the positions that they come from.

    Args:
        localizer: the localiser.
        classifier: the classifier, of the same classes and the same input size.
        max_mismatch: largest `box_merging.mismatch` at which two boxes are merged.

    Raises:
        UserError: the classifier has other classes, or another input size.
    """

    def __init__(
        self, localizer: Localizer, classifier: EvaluatedModel, max_mismatch: float = box_merging.MAX_MISMATCH
    ):
        if classifier.input_size != localizer.input_size:
            raise UserError(
                f"{classifier.path} looks at {classifier.input_size} pixels, {localizer.path} at "
                f"{localizer.input_size}: their maps have other positions"
            )
        if list(classifier.metadata.class_names) != list(localizer.class_names):
            raise UserError(f"{classifier.path} and {localizer.path} know other classes")
        self._localizer, self._max_mismatch = localizer, max_mismatch
        # The shape of the images differs; without this hint every shape would be traced anew.
        self._boxes = tf.function(fully_convolutional.convert(localizer.net), reduce_retracing=True)
        self._scores = tf.function(fully_convolutional.convert(classifier.net), reduce_retracing=True)

    def __call__(self, image: np.ndarray, top: int = 5) -> list[Found]:
        """Finds the objects on an image.

        Args:
            image: (H, W, 3) uint8, RGB.
            top: number of classes.

        Returns:
            An object of each of the likeliest classes, the likeliest first.
        """
        height, width = image.shape[:2]
        all_boxes, all_posteriors, of_image = [], [], []
        for side in self._localizer.test_scales:
            whole = transforms.rescale(image, side)
            score_map = self._scores(whole[tf.newaxis])[0]
            of_image.append(tf.nn.softmax(tf.reduce_mean(score_map, axis=(0, 1))).numpy())
            all_posteriors.append(tf.reshape(tf.nn.softmax(score_map), (-1, score_map.shape[-1])).numpy())
            all_boxes.append(self._map_boxes(whole))
        predicted, posteriors = np.concatenate(all_boxes), np.concatenate(all_posteriors)
        mean = np.mean(of_image, axis=0)
        # Isotropic units, in which the distances of OverFeat's measure are the same along both axes.
        unit = np.array([height, width, height, width]) / min(height, width)
        found = []
        for label in np.argsort(-mean, kind="stable")[:top].tolist():
            of_class = predicted[:, label if self._localizer.kind == PCR else 0] * unit
            merged, _ = box_merging.merge(of_class, posteriors[:, label] + 1e-9, self._max_mismatch)
            found.append(Found(label, float(mean[label]), merged[0] / unit))
        return found

    def _map_boxes(self, whole: tf.Tensor) -> np.ndarray:
        """Returns the boxes at all positions of an image: (positions, 1 or classes, 4), relative to the image."""
        outputs = self._boxes(whole[tf.newaxis])[0]
        rows, columns = outputs.shape[:2]
        predicted = boxes.from_center(tf.reshape(outputs, (rows * columns, -1, boxes.SIZE)))
        grid = tf.stack(tf.meshgrid(tf.range(rows), tf.range(columns), indexing="ij"), axis=-1)
        offsets = tf.reshape(TOTAL_STRIDE * grid, (-1, 1, 2))
        size = tf.cast(tf.shape(whole)[:2], tf.float32)
        moved = predicted * float(self._localizer.input_size) + tf.cast(tf.tile(offsets, (1, 1, 2)), tf.float32)
        return (moved / tf.tile(size, [2])).numpy()
