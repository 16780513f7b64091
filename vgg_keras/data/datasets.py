"""Opens data sets in the format of tensorflow-datasets (TFDS) and reads them without decoding the images."""

import dataclasses
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds

from vgg_keras.data import shards, transforms
from vgg_keras.data.box_records import own_boxes
from vgg_keras.data.builders import open_builder
from vgg_keras.data.class_folders import SPLIT_NAMES
from vgg_keras.data.labels import LABEL_NAMES
from vgg_keras.data.record_features import (
    RecordFeatures,
    checked_labels,
    find_class_names,
    find_features,
    label_vector,
)
from vgg_keras.data.record_index import RecordIndex
from vgg_keras.data.rgb_statistics import FILE_NAME, RgbMoments, RgbStatistics
from vgg_keras.data.untuned import in_parallel, untuned
from vgg_keras.utils import cli, side_files
from vgg_keras.utils.display import Shown, ShownTable
from vgg_keras.utils.errors import UserError, did_you_mean
from vgg_keras.utils.options import PathLike


@dataclasses.dataclass(frozen=True, repr=False, kw_only=True)
class ImageData(Shown, RecordFeatures):
    """An image classification data set in TFDS format.

    Attributes:
        builder: TFDS's reader of the data set.
        label_names: human-readable names in the order of the class indices.
    """

    builder: tfds.core.DatasetBuilder
    label_names: Sequence[str]

    @property
    def has_boxes(self) -> bool:
        """Whether the records hold boxes of objects; single images may have none."""
        return bool(self.objects_key)

    @property
    def class_names(self) -> list[str]:
        """Unique names of the classes in the order of their indices."""
        return find_class_names(self.builder.info.features[self.label_key])

    def require_split(self, split: str) -> None:
        """Checks that a split exists and holds images, and that all its record files are there as a whole.

        Raises:
            UserError: the split is missing or empty, or a file of it is missing, cut or longer than it should be.
        """
        self.num_images(split)
        missing = shards.missing_shards(self, split)
        if missing:
            raise UserError(
                f"{self.builder.data_dir}: missing record files of split {split!r}: {len(missing)}, such as "
                f"{missing[0].name}; copy them there, or prepare the data set again"
            )
        other_size = shards.split_of_other_size(self, split)
        problem = shards.first_problem(self, [other_size]) if other_size else ""
        if problem:
            raise shards.broken(self, problem)

    def require_labels(self, split: str) -> None:
        """Checks that the first image of a split has a label; those of contests' test splits have none.

        Where images have several labels, one without any is none of a contest.

        Raises:
            UserError: the split is missing, empty or without labels, or its first record cannot be read.
        """
        with shards.broken_records(self):
            first = next(self.encoded(split).take(1).as_numpy_iterator())
        if not self.multi_label and first["label"] < 0:
            raise UserError(
                f"{self.builder.data_dir}: split {split!r} has no labels, so a net can neither learn from it nor be "
                f"tested on it; predict classifies photos without labels"
            )

    def require_boxes(self, *splits: str) -> None:
        """Checks that the records hold boxes of objects, and that some image of each split has one that counts.

        Raises:
            UserError: they hold none, or none in a split, or a record cannot be read.
        """
        if not self.has_boxes:
            raise UserError(
                f"{self.builder.data_dir} holds no boxes; prepare it from annotated photos, such as by data_prep.voc"
            )
        for split in splits:
            examples = shards.read(self, self.encoded(split, boxes=True).as_numpy_iterator())
            if not any(len(example["boxes"]) for example in examples):  # most often the first image has one
                raise self.without_boxes(f"no image of split {split!r}")

    def without_boxes(self, images: str) -> UserError:
        """Returns the error that images have no box that counts.

        Args:
            images: which they are, such as "no image of split 'train'".
        """
        return UserError(
            f"{self.builder.data_dir}: {images} has a box that counts: of an object of its class that is not marked as "
            "difficult"
        )

    def num_images(self, split: str) -> int:
        """Returns the number of images in a split, such as "train" or "train[:90%]".

        Raises:
            UserError: the split is missing or empty.
        """
        try:
            count = self.builder.info.splits[split].num_examples
        except (KeyError, ValueError) as error:
            available = list(self.builder.info.splits)
            raise UserError(
                f"{self.builder.data_dir} has no split {split!r}; it has {', '.join(available) or 'none'}"
                f"{_meant_split(split, available)}"
            ) from error
        if not count:
            raise UserError(f"{self.builder.data_dir}: split {split!r} is empty")
        return count

    def images(self, split: str) -> tf.data.Dataset:
        """Reads and decodes a split in the order of its records.

        Args:
            split: name of the split.

        Returns:
            A data set of pairs: the image, (H, W, 3) uint8, RGB, and its label, () int32.

        Raises:
            UserError: the split is missing or empty.
        """
        encoded = self.encoded(split)
        return encoded.map(lambda example: (transforms.decode(example["image_bytes"]), example["label"]))

    def shown(self) -> ShownTable:
        """Returns the number of images of each split as a table."""
        rows = [(split, f"{info.num_examples:,}") for split, info in self.builder.info.splits.items()]
        labels = ", ".join(self.label_names[:5]) + (", ..." if len(self.label_names) > 5 else "")
        title = f"{self.builder.data_dir}: {len(self.label_names):,} classes ({labels})"
        return ShownTable(title, ("split", "images"), rows)

    def encoded(self, split: str, *, labelled: bool = False, boxes: bool = False) -> tf.data.Dataset:
        """Reads a split without decoding its images, in the order of its records.

        Args:
            split: name of the split.
            labelled: whether an image without a label ends the reading with an error.
            boxes: whether the boxes are read too.

        Returns:
            A data set of {"image_bytes": () string, "label": () int32, -1 if unknown, "name": () string, the file's
            name, empty if the data set has none}. If `multi_label`, "label" is (classes,) int32, 1 for each label that
            the image has, -1 for those that only objects marked as difficult give it, else 0. If `box_key`, also
            {"box": (4,) float32, ymin, xmin, ymax and xmax of the object that the record is of}. With `boxes` also
            {"boxes": (n, 4) float32, "box_labels": (n,) int32}, ymin, xmin, ymax and xmax relative to the image, 0..1,
            and the class index, of the objects of the image's own label that are not marked as difficult; if
            `multi_label`, of all that are not.

        Raises:
            UserError: the split is missing or empty, or has no boxes and `boxes` is set.
        """
        self.require_split(split)
        config = tfds.ReadConfig(try_autocache=False)
        with cli.quiet_logs():
            dataset = self.builder.as_dataset(split, read_config=config, decoders=self._decoders(boxes))
        return dataset.map(lambda example: self._chosen(example, 0 if labelled else -1, boxes))

    def record_reader(
        self, split: str, *, labelled: bool = False, boxes: bool = False
    ) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """Returns the function that reads any record of a split, without decoding its image.

        Args:
            split: name of the split.
            labelled: whether an image without a label is an error.
            boxes: whether the boxes are read too.

        Returns:
            A function from a record's index in the split, () integer, to what `encoded` yields of it. It works inside
            `tf.data` and eagerly.

        Raises:
            UserError: the split is missing, empty or damaged, is not in TFRecord files, or has no boxes and `boxes` is
                set.
        """
        self.require_split(split)
        stored = self.builder.info.file_format
        if stored is not None and stored.value != "tfrecord":
            raise UserError(
                f"{self.builder.data_dir} is stored as {stored.value}; training reads TFRecord files: prepare the data "
                "set again with tensorflow-datasets' default format"
            )
        with shards.broken_records(self):
            index = RecordIndex.of_split(self, split)
        partial = self._decoders(boxes)
        features = partial.extract_features(self.builder.info.features)

        def read(record: tf.Tensor) -> dict[str, tf.Tensor]:
            example = features.deserialize_example(index.read(record), decoders=partial.decoders)
            return self._chosen(example, 0 if labelled else -1, boxes)

        return read

    def _decoders(self, boxes: bool) -> tfds.decode.PartialDecoding:
        """Returns which features of a record are read, and that the image stays encoded.

        Raises:
            UserError: there are no boxes, and they are asked for.
        """
        if boxes:
            self.require_boxes()
        objects_key = self.objects_key if boxes else ""
        keys = (self.image_key, self.label_key, self.certain_key, self.name_key, self.box_key, objects_key)
        return tfds.decode.PartialDecoding(
            {key: True for key in keys if key}, {self.image_key: tfds.decode.SkipDecoding()}
        )

    def _chosen(self, example: dict, smallest_label: int, boxes: bool) -> dict:
        count = len(self.class_names)
        if self.multi_label:
            label = label_vector(example, self.label_key, self.certain_key, count)
        else:
            label = checked_labels(example[self.label_key], smallest_label, count)
        chosen = {
            "image_bytes": example[self.image_key],
            "label": label,
            "name": example[self.name_key] if self.name_key else tf.constant(b""),
        }
        if self.box_key:
            chosen["box"] = example[self.box_key]
        if boxes:
            chosen |= own_boxes(example[self.objects_key], None if self.multi_label else label)
        return chosen


def _meant_split(split: str, available: Sequence[str]) -> str:
    """Returns the end of a message about a split that is missing: the one that was probably meant."""
    name = re.split(r"\W", split)[0]  # without a part such as [:90%]
    usual = SPLIT_NAMES.get(name.lower(), name)
    return "" if name in available else did_you_mean(usual, available)


def open_data(data_dir: PathLike, dataset: str = "", *, multi_label: bool = False) -> ImageData:
    """Opens an image classification data set.

    >>> import vgg_keras as vgg
    >>> data = vgg.open_data("runs/drawn/data")
    >>> data.num_images("train"), data.label_names[0]
    (1000, 'daisy')
    >>> image, label = next(iter(data.images("validation")))
    >>> image.dtype, image.shape[2]
    (tf.uint8, 3)

    Args:
        data_dir: a folder in TFDS format, or one that contains a single such folder at any depth; with `dataset`, the
            root folder of TFDS's data sets.
        dataset: name of a TFDS data set, such as "tf_flowers", which is downloaded and prepared if it is missing.
        multi_label: whether a data set with several labels for an image, such as TFDS's "voc", is accepted as well.

    Raises:
        UserError: the data set is missing or cannot be read, or has not exactly one image and one label feature.
    """
    builder = open_builder(os.fspath(data_dir), dataset)
    try:
        found = find_features(builder.info.features, multi_label=multi_label)
    except ValueError as error:
        raise UserError(f"{builder.data_dir}: {error}") from error
    names = _read_label_names(Path(builder.data_dir), find_class_names(builder.info.features[found.label_key]))
    return ImageData(builder=builder, label_names=names, **vars(found))


def _read_label_names(folder: Path, class_names: Sequence[str]) -> Sequence[str]:
    """Returns the readable names beside the records, or the names of the classes if there are none."""
    path = folder / LABEL_NAMES
    if not path.exists():
        return class_names
    way_out = "restore it from a copy, or remove it, and the names of the classes are shown"
    names = side_files.read_names(path, way_out)
    if len(names) != len(class_names):
        raise UserError(f"{path} names {len(names)} classes, the data set has {len(class_names)}; {way_out}")
    return names


def load_rgb_statistics(data: ImageData, split: str) -> RgbStatistics:
    """Loads the RGB statistics beside the records, or, if there are none, computes them in one pass over a split.

    Args:
        data: the data set.
        split: name of the split.

    Raises:
        UserError: the file of statistics is damaged, or the split is missing or empty.
        tf.errors.OpError: an image does not decode, or a record is damaged.
    """
    folder = Path(data.builder.data_dir)
    if (folder / FILE_NAME).exists():
        return RgbStatistics.load(folder)
    moments = RgbMoments()
    images = in_parallel(data.encoded(split), lambda example: transforms.decode(example["image_bytes"]))
    for image in untuned(images).as_numpy_iterator():
        moments += RgbMoments.measure(image)
    return RgbStatistics.from_moments(moments)
