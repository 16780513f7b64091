"""Finds the data set that the user names, and tells what to do where there is none."""

from pathlib import Path

import tensorflow_datasets as tfds

from vgg_keras.data.class_folders import find_sources, list_folder
from vgg_keras.utils import paths
from vgg_keras.utils.errors import UserError, did_you_mean
from vgg_keras.utils.shell import command


def open_builder(data_dir: str, dataset: str = "") -> tfds.core.DatasetBuilder:
    """Opens a data set of tensorflow-datasets (TFDS), whose examples are on disk afterwards.

    Args:
        data_dir: a folder in TFDS format, or one that contains a single such folder at any depth; with `dataset`, the
            root folder of TFDS's data sets, or "" for TFDS's own.
        dataset: name of a TFDS data set, which is downloaded and prepared if it is missing.

    Raises:
        UserError: the data set is missing or cannot be read.
    """
    if not dataset and not data_dir:
        raise UserError("name the data: --data_dir=FOLDER, or --dataset=NAME for one of tensorflow-datasets")
    try:
        if not dataset:
            return _described(tfds.builder_from_directory(_find_data_set(data_dir)))
        builder = tfds.builder(dataset, data_dir=paths.expand(f"--data_dir={data_dir}", data_dir) or None)
        builder.download_and_prepare()
        return _described(builder)
    except UserError:
        raise
    except tfds.core.DatasetNotFoundError as error:
        raise _not_found(dataset) from error
    except Exception as error:  # TFDS raises errors of its own, of the file system and of the network
        in_one_line = " ".join(str(error).split())
        raise UserError(f"cannot open the data set {dataset or data_dir}: {in_one_line}") from error


def _described(builder: tfds.core.DatasetBuilder) -> tfds.core.DatasetBuilder:
    """Returns a builder whose description of the files is sound; TFDS itself reads most of it only when it is needed.

    Raises:
        ValueError: the lengths of a split's files contradict each other; TFDS raises errors of other kinds.
    """
    if not isinstance(builder.info.features, tfds.features.FeaturesDict):
        raise ValueError(f"its features are {builder.info.features}, should be a dictionary")
    for name, info in builder.info.splits.items():
        lengths = list(info.shard_lengths)
        if len(lengths) != len(info.filepaths) or any(length < 0 for length in lengths):
            raise ValueError(f"split {name!r} has {len(info.filepaths)} files, but the lengths {lengths}")
        if info.num_examples != sum(lengths):
            raise ValueError(f"split {name!r} has {info.num_examples} images, but files of {sum(lengths)}")
    return builder


def _not_found(dataset: str) -> UserError:
    """Returns the error about a data set that TFDS does not know."""
    if Path(dataset).is_dir():
        return UserError(f"--dataset={dataset} is a folder; give it as --data_dir={dataset}")
    name = dataset.partition(":")[0].partition("/")[0]
    known = tfds.list_builders(with_community_datasets=False)
    return UserError(f"--dataset={dataset}: tensorflow-datasets has no data set {name}{did_you_mean(name, known)}")


def _find_data_set(data_dir: str) -> Path:
    """Returns the only folder in TFDS format at or below a folder."""
    folder = paths.existing_folder("data_dir", data_dir, "name the folder of a data set")
    found = [path.parent for path in sorted(folder.rglob("dataset_info.json"))]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(map(str, found))
        raise UserError(f"--data_dir={folder} holds {len(found)} data sets ({names}); give one of them as --data_dir")
    annotated = [path.parent for path in sorted(folder.rglob("JPEGImages")) if (path.parent / "Annotations").is_dir()]
    verb = "data_prep.voc" if annotated else "data_prep.image_folder"
    sources = annotated or [source.path for source in find_sources(list_folder(folder))]
    if len(sources) == 1:
        raise UserError(
            f"--data_dir={folder} holds photos, and no data set yet; make one, and give its folder as --data_dir:  "
            f"{_prepare_command(verb, sources[0])}"
        )
    raise UserError(
        f"--data_dir={folder} holds no TFDS data set; python -m data_prep.flowers (imagenet, image_folder, voc) writes "
        "one"
    )


def _prepare_command(verb: str, source_dir: Path) -> str:
    """Returns the command that makes a data set of a folder of photos."""
    name = source_dir.resolve().name
    output_dir = Path("data", name)
    if output_dir.exists():  # such as the photos themselves
        output_dir = Path("data", f"{name}_records")
    return command(verb, source_dir=source_dir, output_dir=output_dir)
