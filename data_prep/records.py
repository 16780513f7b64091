"""Stores prepared images as the records of a TFDS data set.

Worker processes must not import this module, since it loads TensorFlow.
"""

import contextlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import tensorflow_datasets as tfds
from tensorflow_datasets.core import shuffle

from data_prep.sources import Source

# Size of the buffer that tensorflow-datasets sorts in memory before it uses the disk. Its default, 1000 MiB, is more
# than a whole run may use.
_SORT_BUFFER_BYTES = 64 << 20

# A key that is unique within the split, and a value for each feature.
Record = tuple[str, dict]


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Writer of records that are already at hand.

    `tfds.dataset_builders.store_as_tfds_dataset` would do the same, but cannot name the pair that `as_supervised=True`
    returns.
    """

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, source: Source, records: Mapping[str, Iterable[Record]], folder: Path) -> None:
        self.name = re.sub(r"\W+", "_", source.name.lower()).strip("_") or "images"
        self._source = source
        self._records = records
        super().__init__(data_dir=folder)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=self._source.class_names),
            "file_name": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=self._source.description,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator[Record]]:
        del dl_manager  # nothing is downloaded
        return {split: self._generate_examples(split) for split in self._records}

    def _generate_examples(self, split: str) -> Iterator[Record]:
        yield from self._records[split]


def store(source: Source, records: Mapping[str, Iterable[Record]], folder: Path) -> tuple[Path, dict[str, int]]:
    """Writes the records of a source in TFDS format, for `tfds.builder_from_directory`.

    `as_dataset(as_supervised=True)` gives pairs (image, label) of the result.

    Args:
        source: the source, for the data set's name, description and classes.
        records: the records of each split, with the values of the features "image", the encoded image, "label", the
            class index or -1, and "file_name".
        folder: an empty folder.

    Returns:
        The folder inside `folder` that holds the data set, and the number of record files of each split.
    """
    tfds.disable_progress_bar()
    shuffle.MAX_MEM_BUFFER_SIZE = _SORT_BUFFER_BYTES
    builder = _Builder(source, records, folder)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints messages about downloads, and there are none
        builder.download_and_prepare()
    return Path(builder.data_dir), {split: builder.info.splits[split].num_shards for split in records}
