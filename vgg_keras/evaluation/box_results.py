"""Describes what a test of localizers found, and which of it is right (arXiv:1409.1556, app. A)."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from vgg_keras.data import boxes
from vgg_keras.data.boxed_split import BoxedSplit
from vgg_keras.inference.protocol import CROP_AND_SQUASH, TrainedNet
from vgg_keras.training.objectives import MIN_IOU


@dataclasses.dataclass(frozen=True)
class ChosenClasses:
    """The classes of whose objects the boxes are predicted on each image of a split.

    Attributes:
        labels: (N, k) int32, the likeliest class first.
        posteriors: (N, k) float32, their posteriors for the whole image; 1 for a class that is known.
    """

    labels: np.ndarray
    posteriors: np.ndarray

    @classmethod
    def known(cls, labels: np.ndarray) -> "ChosenClasses":
        """Returns the true class of each image alone (the first protocol); labels: (N,) int32."""
        return cls(labels[:, np.newaxis], np.ones((len(labels), 1), np.float32))

    @classmethod
    def best(cls, posteriors: np.ndarray, count: int) -> "ChosenClasses":
        """Returns the likeliest classes of each image (the second protocol).

        Args:
            posteriors: (N, classes) float32.
            count: number of classes of each image.
        """
        labels = np.argsort(-posteriors, axis=1, kind="stable")[:, :count].astype(np.int32)
        return cls(labels, np.take_along_axis(posteriors, labels, axis=1))

    def missed(self, labels: np.ndarray) -> np.ndarray:
        """Returns on which images the true class is none of these, so that no box is right: (N,) bool.

        Args:
            labels: (N,) int, the true classes.
        """
        return (self.labels != np.asarray(labels)[:, np.newaxis]).all(axis=1)


@dataclasses.dataclass(frozen=True)
class BoxResult:
    """The boxes of one localizer, or of several whose boxes are merged, and the errors among them.

    Attributes:
        nets: net and training scale of each localizer.
        kinds: SCR or PCR of each localizer.
        test_scales: test scales Q of each localizer in pixels.
        methods: of each localizer DENSE, of the best classes; CENTER_CROP, of the known class; or SQUASH, of either.
        flip: whether the boxes of mirror images were averaged in.
        found: (M, k, 4) float32, the box of each class on each of the M images with boxes.
        overlaps: (M, k) float32, the largest intersection over union (IoU) of each box with an object of its class; 0
            for another class than the image's.
        seconds: wall time of inference in seconds, reading and decoding included.
    """

    nets: tuple[TrainedNet, ...]
    kinds: tuple[str, ...]
    test_scales: tuple[tuple[int, ...], ...]
    methods: tuple[str, ...]
    flip: bool
    found: np.ndarray
    overlaps: np.ndarray
    seconds: float

    @property
    def method(self) -> str:
        """The method of all localizers; CROP_AND_SQUASH if some have one, some the other."""
        return self.methods[0] if len(set(self.methods)) == 1 else CROP_AND_SQUASH

    @property
    def wrong(self) -> np.ndarray:
        """(2, M) bool: whether the first box of each image is wrong, and whether all of them are."""
        right = self.overlaps > MIN_IOU
        return ~np.stack([right[:, 0], right.any(axis=1)])

    def record(self) -> dict:
        """Returns the result as `evaluation.json` stores it; errors in percent."""
        mistakes, num_images = self.wrong.sum(axis=1), len(self.found)
        return {
            "nets": [trained.net for trained in self.nets],
            "train_scales": [trained.train_scale for trained in self.nets],
            "frozen_up_to": [trained.frozen_up_to for trained in self.nets],
            "box_regressions": list(self.kinds),
            "test_scales": [list(scales) for scales in self.test_scales],
            "method": self.method,
            "methods": list(self.methods),
            "flip": self.flip,
            "num_images": num_images,
            "classes_per_image": self.found.shape[1],
            "top1_error": 100 * float(mistakes[0]) / num_images,
            "top5_error": 100 * float(mistakes[1]) / num_images,
            "top1_mistakes": int(mistakes[0]),
            "top5_mistakes": int(mistakes[1]),
            "mean_iou": float(self.overlaps.max(axis=1).mean(dtype=np.float64)),
            "seconds": self.seconds,
            "images_per_second": num_images / self.seconds if self.seconds else 0.0,
        }


def largest_overlaps(found: np.ndarray, labels: np.ndarray, label: int, true_boxes: np.ndarray) -> np.ndarray:
    """Returns the largest intersection over union of each found box with an object of its class: (k,) float32.

    Args:
        found: (k, 4) float32, ymin, xmin, ymax, xmax.
        labels: (k,) int, the classes of the found boxes.
        label: the class of the objects; a box of another class has no overlap.
        true_boxes: (n, 4) float32, the boxes of the objects, n >= 1.
    """
    overlaps = boxes.intersection_over_union(found[:, np.newaxis], true_boxes).numpy().max(axis=1)
    return np.where(labels == label, overlaps, np.float32(0))


def overlaps_of_split(found: Sequence[np.ndarray], chosen: ChosenClasses, split: BoxedSplit) -> np.ndarray:
    """Returns `largest_overlaps` of every image with boxes: (M, k) float32.

    Args:
        found: (k, 4) float32 for each of the M images with boxes, in their order.
        chosen: the classes on each of the N images.
        split: the N images.
    """
    return np.stack(
        [
            largest_overlaps(one, chosen.labels[index], split.manifest.labels[index], split.boxes[index])
            for one, index in zip(found, split.boxed, strict=True)
        ]
    )
