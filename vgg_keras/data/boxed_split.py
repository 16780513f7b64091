"""Lists the images of a split together with the boxes of their objects, without decoding the images."""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence

import numpy as np

from vgg_keras.data import shards
from vgg_keras.data.datasets import ImageData
from vgg_keras.data.manifest import SplitManifest
from vgg_keras.utils.words import counted


@dataclasses.dataclass(frozen=True)
class BoxedSplit:
    """The images of a split, or the first few of them, and the boxes of their objects; some images may have none.

    Attributes:
        manifest: the N images.
        boxes: for each image the boxes of the objects of its class, (n, 4) float32: ymin, xmin, ymax, xmax relative to
            the image; (0, 4) for an image without a box, which does not count in a test.
    """

    manifest: SplitManifest
    boxes: Sequence[np.ndarray]

    @classmethod
    def read(cls, data: ImageData, split: str, max_images: int = 0) -> "BoxedSplit":
        """Lists the images of a split and their boxes.

        Args:
            data: the data set.
            split: name of the split.
            max_images: number of images to list, from the first on; 0 lists all.

        Raises:
            UserError: the split is missing, empty, or without labels or boxes, or a record cannot be read.
        """
        data.require_split(split)
        data.require_boxes()
        manifest = SplitManifest.read(data, split, max_images)
        examples = data.encoded(split, boxes=True).take(len(manifest)).map(lambda example: example["boxes"])
        boxed = cls(manifest, list(shards.read(data, examples.as_numpy_iterator())))
        if not boxed.has_box.any():
            raise data.without_boxes(f"none of {counted(len(manifest), 'image')} of split {split!r}")
        return boxed

    @functools.cached_property
    def has_box(self) -> np.ndarray:
        """Whether each image has a box: (N,) bool."""
        return np.array([len(boxes) > 0 for boxes in self.boxes])

    @property
    def boxed(self) -> list[int]:
        """Indices of the images with a box."""
        return np.flatnonzero(self.has_box).tolist()

    def identity(self) -> dict:
        """Returns a JSON-ready description of the images with boxes, which differs if they or their boxes differ."""
        chosen = self.boxed
        manifest = dataclasses.replace(
            self.manifest,
            labels=self.manifest.labels[chosen],
            sizes=self.manifest.sizes[chosen],
            fingerprints=self.manifest.fingerprints[chosen],
            names=[self.manifest.names[index] for index in chosen],
        )
        content = hashlib.sha256()
        for index in chosen:
            content.update(len(self.boxes[index]).to_bytes(4, "little") + self.boxes[index].tobytes())
        return {**manifest.identity(), "sha256_of_boxes": content.hexdigest()}
