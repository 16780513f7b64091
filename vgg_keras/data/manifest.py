"""Lists the images of a split without decoding them: labels, sizes and file names."""

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from vgg_keras.data import transforms
from vgg_keras.data.datasets import ImageData
from vgg_keras.data.shards import broken_records
from vgg_keras.data.tracing import as_written
from vgg_keras.data.untuned import in_parallel, untuned
from vgg_keras.utils.console import progress_bar
from vgg_keras.utils.errors import UserError

_READ_BATCH = 256
_NUM_FINGERPRINTS = 2**63 - 1


@dataclasses.dataclass(frozen=True)
class SplitManifest:
    """The images of a split, or the first few of them, without their pixels.

    Attributes:
        data: the data set.
        split: name of the split.
        labels: (N,) int32, class indices; for a multi-label data set (N, classes) int32, 1 for each label that an image
            has, -1 for those that only difficult objects give it, else 0.
        sizes: (N, 2) int32, heights and widths in pixels.
        names: file names; empty strings if the data set has none.
        fingerprints: (N,) int64, a hash of each image's encoded bytes.
        boxes: (N, 4) float32, ymin, xmin, ymax and xmax of the object that each record is of, relative to the image;
            None if the records are of images as a whole.
        windows: (N, 4) int32, top, left, height and width in pixels of the part of each image that is meant, whose
            sizes are then `sizes`; None: the whole images.
    """

    data: ImageData
    split: str
    labels: np.ndarray
    sizes: np.ndarray
    names: Sequence[str]
    fingerprints: np.ndarray
    boxes: np.ndarray | None = None
    windows: np.ndarray | None = None

    @classmethod
    def read(cls, data: ImageData, split: str, max_images: int = 0) -> "SplitManifest":
        """Lists the images of a split in one pass over its records, with a progress bar.

        Args:
            data: the data set.
            split: name of the split.
            max_images: number of images to list, from the first on; 0 lists all.

        Raises:
            UserError: the split is missing, empty or without labels, or a record cannot be read.
        """
        data.require_split(split)
        data.require_labels(split)
        count = min(max_images or data.num_images(split), data.num_images(split))

        @as_written
        def describe(example: dict) -> tuple[tf.Tensor, ...]:
            image, box = example["image_bytes"], [example["box"]] if data.box_key else []
            fingerprint = tf.strings.to_hash_bucket_fast(image, _NUM_FINGERPRINTS)
            return example["label"], transforms.encoded_size(image), example["name"], fingerprint, *box

        images = in_parallel(data.encoded(split).take(count), describe)
        batches = []
        with broken_records(data), progress_bar("labels and sizes", count, " images", leave=False) as bar:
            for batch in untuned(images.batch(_READ_BATCH)).as_numpy_iterator():
                batches.append(batch)
                bar.update(len(batch[0]))
        labels, sizes, names, fingerprints, *boxes = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        if not data.multi_label and labels.min() < 0:
            raise UserError(f"{data.builder.data_dir}: split {split!r} has no labels, so it cannot be evaluated")
        decoded = [name.decode(errors="backslashreplace") for name in names.tolist()]
        return cls(data, split, labels, sizes, decoded, fingerprints, *boxes)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def has_labels(self) -> bool:
        """Whether some image has a label; those of the test splits of contests with several labels have none."""
        return bool((self.labels > 0).any()) if self.data.multi_label else bool((self.labels >= 0).any())

    def cut_to_boxes(self) -> "SplitManifest":
        """Returns the same records, of each of which only the part of the image inside its box is meant.

        Raises:
            UserError: the records have no boxes.
        """
        if self.boxes is None:
            raise UserError(
                f"{self.data.builder.data_dir}: its records are of images, not of objects with a box; "
                "data_prep.voc --task=actions writes such ones"
            )
        edges = np.round(self.boxes * np.tile(self.sizes, 2)).astype(np.int32)  # of the rows and columns inside the box
        start = np.minimum(edges[:, :2], self.sizes - 1)
        windows = np.concatenate([start, np.maximum(edges[:, 2:] - start, 1)], axis=1)
        return dataclasses.replace(self, sizes=windows[:, 2:], windows=windows)

    def identity(self) -> dict:
        """Returns a JSON-ready description, which differs if the classes, the labels or the images differ."""
        class_names = self.data.class_names
        content = "\n".join(class_names).encode()
        # The sizes are those of the parts that are meant.
        for array in (self.labels, self.sizes, self.fingerprints, self.boxes):
            content += b"" if array is None else array.tobytes()
        return {
            "data_set": self.data.builder.name,
            "split": self.split,
            "num_images": len(self),
            "num_classes": len(class_names),
            "sha256_of_classes_labels_images": hashlib.sha256(content).hexdigest(),
        }
