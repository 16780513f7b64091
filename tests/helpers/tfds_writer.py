"""Writes records by TFDS's own builder: the independent implementation of what `data_prep` writes."""

import contextlib
import io
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version("1.0.0")
    # dataset_info.json names the module of the builder.
    __module__ = "data_prep.records"

    def __init__(self, name, class_names, images, folder, further):
        self.name, self._further = name, further
        self._class_names, self._images = class_names, images
        super().__init__(data_dir=folder)

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=self._class_names),
            "file_name": tfds.features.Text(),
            **self._further,
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Test.",
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager):
        del dl_manager
        return {split: self._generate_examples(split) for split in self._images}

    def _generate_examples(self, split):
        for key, image_bytes, label, *further in self._images[split]:
            yield key, dict(zip(self._further, further, strict=True), image=image_bytes, label=label, file_name=key)


def write_with_tfds(name, class_names, images, folder, further=None) -> Path:
    """Writes a data set with TFDS, and returns its folder.

    Args:
        name: name of the data set.
        class_names: names of the classes.
        images: {split: [(key, image bytes, label, values of further features)]}.
        folder: the root folder of TFDS's data sets.
        further: {name: feature} of the features beside image, label and file_name.
    """
    builder = _Builder(name, class_names, images, folder, further or {})
    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare()
    return Path(builder.data_dir)


def records_of(path) -> list[bytes]:
    """Returns the records of a file, with the features in alphabetical order.

    The protobuf library leaves the order of a map's entries to chance, so that TFDS's bytes differ from process to
    process; by their names is the order that it calls deterministic.
    """
    examples = (tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path)))
    return [example.SerializeToString(deterministic=True) for example in examples]
