"""Data sets in the format of tensorflow-datasets, read without decoding."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds

from vgg_keras.data import transforms
from vgg_keras.data.labels import LABEL_NAMES
from vgg_keras.data.rgb_statistics import RgbMoments, RgbStatistics
from vgg_keras.utils.cli import UserError, reason

# Undecoded images in memory at a time for shuffling. The records are shuffled on disk already.
_SHUFFLE_BUFFER = 4096
# What data_prep and TFDS's ImageNet call it.
_FILE_NAME = "file_name"
# What TFDS calls the labels of an image that has several.
_LABELS = "labels"


@dataclasses.dataclass(frozen=True)
class ImageData:
    """An image classification data set in TFDS format.

    Attributes:
        builder: TFDS's reader.
        image_key: name of the image feature.
        label_key: name of the label feature.
        label_names: what people read, in the order of the class indices.
        name_key: name of the feature that holds the file's name, or "".
        multi_label: whether an image has any number of labels.
    """

    builder: tfds.core.DatasetBuilder
    image_key: str
    label_key: str
    label_names: Sequence[str]
    name_key: str = ""
    multi_label: bool = False

    @property
    def class_names(self) -> list[str]:
        """Unique names of the classes in the order of their indices."""
        return _class_label(self.builder.info.features[self.label_key]).names

    def require_split(self, split: str) -> None:
        """Checks that a split exists and holds images.

        Raises:
            UserError: there is no such split, or it is empty.
        """
        self.num_images(split)

    def num_images(self, split: str) -> int:
        """Returns the number of images of a split, such as "train" or "train[:90%]".

        Raises:
            UserError: there is no such split, or it is empty.
        """
        try:
            count = self.builder.info.splits[split].num_examples
        except (KeyError, ValueError) as error:
            available = ", ".join(self.builder.info.splits) or "none"
            raise UserError(f"{self.builder.data_dir} has no split {split!r}; it has {available}") from error
        if not count:
            raise UserError(f"{self.builder.data_dir}: split {split!r} is empty")
        return count

    def encoded(self, split: str, shuffle_seed: int | None = None) -> tf.data.Dataset:
        """Reads a split without decoding: {"image_bytes": () string, "label": () int32, "name": () string}.

        The order is reproducible; the name is that of the image's file, empty where the data set has none. With several
        labels "label" is (classes,) int32, 1 where the image has the label.

        Args:
            split: the split.
            shuffle_seed: seed of the order; None keeps the order of the records.

        Raises:
            UserError: there is no such split, or it is empty.
        """
        self.require_split(split)
        shuffled = shuffle_seed is not None
        config = tfds.ReadConfig(shuffle_seed=shuffle_seed, shuffle_reshuffle_each_iteration=False, try_autocache=False)
        keys = tuple(key for key in (self.image_key, self.label_key, self.name_key) if key)
        decoders = tfds.decode.PartialDecoding(dict.fromkeys(keys, True), {self.image_key: tfds.decode.SkipDecoding()})
        dataset = self.builder.as_dataset(split, shuffle_files=shuffled, read_config=config, decoders=decoders)
        if shuffled:
            dataset = dataset.shuffle(_SHUFFLE_BUFFER, seed=shuffle_seed, reshuffle_each_iteration=False)
        return dataset.map(
            lambda example: {
                "image_bytes": example[self.image_key],
                "label": self._label(example[self.label_key]),
                "name": example[self.name_key] if self.name_key else tf.constant(b""),
            }
        )

    def _label(self, label: tf.Tensor) -> tf.Tensor:
        if not self.multi_label:
            return tf.cast(label, tf.int32)
        given = tf.cast(label, tf.int32)[:, tf.newaxis] == tf.range(len(self.class_names))  # (labels, classes)
        return tf.cast(tf.reduce_any(given, axis=0), tf.int32)


def _class_label(feature: tfds.features.FeatureConnector) -> tfds.features.ClassLabel | None:
    """Returns the class label that a feature is, or is a sequence of, or None."""
    if isinstance(feature, tfds.features.Sequence):
        feature = feature.feature
    return feature if isinstance(feature, tfds.features.ClassLabel) else None


def _find_data_set(data_dir: Path) -> Path:
    found = [path.parent for path in sorted(data_dir.rglob("dataset_info.json"))]
    if len(found) != 1:
        what = (
            f"holds {len(found)} data sets ({', '.join(map(str, found))}); name one"
            if found
            else "holds no TFDS data set"
        )
        raise UserError(
            f"--data_dir={data_dir} {what}; python -m data_prep.flowers (imagenet, image_folder) writes one"
        )
    return found[0]


def open_data(data_dir: str, dataset: str = "", *, multi_label: bool = False) -> ImageData:
    """Opens a data set.

    Args:
        data_dir: a folder in TFDS format (or one with a single such folder somewhere inside); with `dataset`, TFDS's
            root.
        dataset: the name of a TFDS data set such as "tf_flowers", which is prepared first if it is not there yet.
        multi_label: whether images with several labels will do as well, such as those of TFDS's "voc".

    Raises:
        UserError: there is no such data set, or it is not one of image classification.
    """
    try:
        if dataset:
            builder = tfds.builder(dataset, data_dir=data_dir or None)
            builder.download_and_prepare()
        elif data_dir:
            builder = tfds.builder_from_directory(_find_data_set(Path(data_dir)))
        else:
            raise UserError("name the data: --data_dir=FOLDER, or --dataset=NAME for one of tensorflow-datasets")
    except UserError:
        raise
    except Exception as error:  # TFDS raises its own, the file system's and the network's errors
        raise UserError(f"cannot open the data set {dataset or data_dir}: {error}") from error
    features = builder.info.features
    images = [key for key, feature in features.items() if isinstance(feature, tfds.features.Image)]
    labels = [key for key, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)]
    several = not labels and multi_label
    if several:
        labels = [key for key, feature in features.items() if _class_label(feature)]
        # VOC has two such features: all labels, and those of objects that are not difficult.
        labels = [_LABELS] if _LABELS in labels else labels
    if len(images) != 1 or len(labels) != 1:
        raise UserError(
            f"{builder.data_dir}: needs one image and one class label a record, has {dict(features.items())}"
        )
    readable = Path(builder.data_dir) / LABEL_NAMES
    names = (
        readable.read_text(encoding="utf-8").splitlines()
        if readable.exists()
        else _class_label(features[labels[0]]).names
    )
    file_name = _FILE_NAME if _FILE_NAME in features else ""
    return ImageData(builder, images[0], labels[0], names, file_name, several)


@contextlib.contextmanager
def broken_records(data: ImageData) -> Iterator[None]:
    """Turns TensorFlow's errors about records that cannot be read into one that says how to find them.

    Raises:
        UserError: a record is damaged, missing, or holds no image.
    """
    try:
        yield
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError, tf.errors.NotFoundError) as error:
        folder = data.builder.data_dir
        raise UserError(
            f"{folder}: a record cannot be read ({reason(error)}); "
            f"python -m data_prep.verify --data_dir={folder} tells which"
        ) from error


def load_rgb_statistics(data: ImageData, split: str) -> RgbStatistics:
    """Returns the RGB statistics that lie beside the records, or computes them in one pass over a split.

    Raises:
        UserError: the file is damaged, or an image does not decode.
    """
    try:
        return RgbStatistics.load(Path(data.builder.data_dir))
    except FileNotFoundError:
        moments = RgbMoments()
    except ValueError as error:
        raise UserError(str(error)) from error
    images = data.encoded(split).map(lambda example: transforms.decode(example["image_bytes"]), tf.data.AUTOTUNE)
    for image in images.prefetch(tf.data.AUTOTUNE).as_numpy_iterator():
        moments += RgbMoments.measure(image)
    return RgbStatistics.from_moments(moments)
