"""Describes a data set in Croissant, the JSON-LD of MLCommons by which catalogues and search engines know data sets.

TensorFlow Datasets reads such files and writes none. The file names what the folder holds: record files, splits,
fields, classes. Croissant's own reader, `mlcroissant`, checks it and loads the classes, but not the records, since it
knows no TFRecord files. What is not known, such as the licence, is left out, for the owner of the photos to add.

https://docs.mlcommons.org/croissant/docs/croissant-spec-1.0.html
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from data_prep import records
from data_prep.sources import Source
from vgg_keras.data.labels import CLASS_NAMES, LABEL_NAMES
from vgg_keras.utils import files

FILE = "croissant.json"
# The prefixes and the terms of Croissant 1.0 that are used below.
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    **{
        term: f"cr:{term}"
        for term in (
            *("column", "extract", "field", "fileObject", "fileProperty", "fileSet", "includes", "key", "recordSet"),
            *("references", "repeated", "source", "subField"),
        )
    },
}
_SPLIT_TYPES = {"train": "cr:TrainingSplit", "validation": "cr:ValidationSplit", "test": "cr:TestSplit"}
_HOW_TO_READ = "The records are tf.train.Example messages in TFRecord files; tfds.builder_from_directory reads them."
_BOX = "(ymin, xmin, ymax, xmax), relative to the image"
_CLASSES, _SPLITS = "classes", "splits"

# A field of the records: its type, whether it holds several values, and its description.
_Field = tuple[str, bool, str]


def write(source: Source, shard_lengths: Mapping[str, Sequence[int]], folder: Path) -> None:
    """Writes the description beside the record files.

    Args:
        source: the source, for the data set's name, description and classes.
        shard_lengths: for each split the numbers of records of its files.
        folder: the folder of the data set, with its label files.
    """
    content = describe(source, {split: sum(lengths) for split, lengths in shard_lengths.items()}, folder)
    files.write_text(folder / FILE, json.dumps(content, indent=2, ensure_ascii=True) + "\n")


def write_if_missing(source: Source, folder: Path) -> None:
    """Writes the description of a finished data set that has none: it was removed, or an earlier version wrote it.

    Args:
        source: the source, for the data set's name, description and classes.
        folder: the folder of the data set.
    """
    if not (folder / FILE).exists():
        found = tfds.builder_from_directory(str(folder)).info.splits
        write(source, {split: found[split].shard_lengths for split in source.splits}, folder)


def problems(folder: Path, num_records: Mapping[str, int]) -> list[str]:
    """Returns what is wrong with the description of a data set, a line for each; nothing if it has none.

    What its owner has added, such as a licence, is no problem.

    Args:
        folder: the folder of the data set.
        num_records: number of records of each split.
    """
    path = folder / FILE
    if not path.exists():
        return []
    again = f"remove {path}, and run data_prep again, which writes it anew"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        (splits,) = (one for one in content["recordSet"] if one["@id"] == _SPLITS)
        listed = {row[f"{_SPLITS}/name"]: row[f"{_SPLITS}/num_records"] for row in splits["data"]}
        sums = {one["@id"]: one["sha256"] for one in content["distribution"] if "sha256" in one}
    except (ValueError, LookupError, TypeError):
        return [f"{path} is damaged: it is no description in Croissant; {again}"]
    found = [
        f"{path} has another SHA-256 of {name} than the file; {again}"
        for name, sha256 in sums.items()
        if not (folder / name).is_file() or files.sha256(folder / name) != sha256
    ]
    if listed != dict(num_records):
        found.append(f"{path} lists the splits {listed}, the data set has {dict(num_records)}; {again}")
    return found


def describe(source: Source, num_records: Mapping[str, int], folder: Path) -> dict[str, Any]:
    """Returns the description as JSON-LD; the same for the same data set, whenever and wherever it was written.

    Args:
        source: the source.
        num_records: number of records of each split.
        folder: the folder of the data set, with its label files.
    """
    name = records.dataset_name(source)
    labels = [
        {"@type": "cr:FileObject", "@id": file, "name": file, "contentUrl": file, "encodingFormat": kind,
         "sha256": files.sha256(folder / file)}
        for file, kind in ((LABEL_NAMES, "text/plain"), (CLASS_NAMES, "application/json"))
    ]  # fmt: skip
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": name,
        "description": f"{source.description} {_HOW_TO_READ}".strip(),
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "version": records.VERSION,
        "distribution": [*labels, *(_record_files(name, split) for split in num_records)],
        "recordSet": [
            _classes(),
            _splits(num_records),
            *(_record_set(split, count, _fields(source)) for split, count in num_records.items()),
        ],
    }


def _record_files(name: str, split: str) -> dict:
    """Describes the record files of a split, without checksums, for which all of them would be read again."""
    return {
        "@type": "cr:FileSet",
        "@id": _files_of(split),
        "name": _files_of(split),
        "description": f"The record files of {split}.",
        "encodingFormat": "application/x-tfrecord",
        "includes": f"{name}-{split}.tfrecord-*",
    }


def _files_of(split: str) -> str:
    return f"{split}-records"


def _classes() -> dict:
    """Describes the classes by the lines of the file of label names."""
    fields = {"index": ("sc:Integer", "lineNumbers"), "name": ("sc:Text", "lines")}
    return {
        "@type": "cr:RecordSet",
        "@id": _CLASSES,
        "name": _CLASSES,
        "description": "The classes, in the order of their indices from 0 on.",
        "key": {"@id": f"{_CLASSES}/index"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{_CLASSES}/{field}",
                "name": field,
                "dataType": kind,
                "source": {"fileObject": {"@id": LABEL_NAMES}, "extract": {"fileProperty": of_file}},
            }
            for field, (kind, of_file) in fields.items()
        ],
    }


def _splits(num_records: Mapping[str, int]) -> dict:
    kinds = {"name": "sc:Text", "url": "sc:URL", "num_records": "sc:Integer"}
    key = f"{_SPLITS}/{{}}".format
    return {
        "@type": "cr:RecordSet",
        "@id": _SPLITS,
        "name": _SPLITS,
        "dataType": "cr:Split",
        "description": "The splits; there is a record set for each.",
        "key": {"@id": key("name")},
        "field": [
            {"@type": "cr:Field", "@id": key(field), "name": field, "dataType": kind} for field, kind in kinds.items()
        ],
        "data": [
            {key("name"): split, key("url"): _SPLIT_TYPES.get(split, ""), key("num_records"): count}
            for split, count in num_records.items()
        ],
    }


def _fields(source: Source) -> dict[str, _Field]:
    """Returns the fields of the records, by their names in `records.features`."""
    labels: dict[str, _Field] = {"label": ("sc:Integer", False, "The index of the class.")}
    if source.multi_label:
        labels = {
            "labels": ("sc:Integer", True, "The indices of the classes."),
            "labels_no_difficult": ("sc:Integer", True, "Those of objects that are not difficult."),
        }
    objects: dict[str, _Field] = {
        "objects/bbox": ("cr:BoundingBox", True, f"The boxes of the objects, {_BOX}."),
        "objects/label": ("sc:Integer", True, "The indices of the objects' classes."),
        "objects/is_difficult": ("sc:Boolean", True, "Whether the objects are difficult."),
    }
    return {
        "image": ("sc:ImageObject", False, "The encoded photo: JPEG or PNG."),
        **labels,
        "file_name": ("sc:Text", False, "The file of the photo, relative to the folder of the source."),
        **(objects if source.has_boxes else {}),
        **({"box": ("cr:BoundingBox", False, f"The box of the object, {_BOX}.")} if source.one_object else {}),
    }


def _record_set(split: str, count: int, fields: Mapping[str, _Field]) -> dict:
    return {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "description": f"{count:,} records. {_HOW_TO_READ}",
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{split}/{column}",
                "name": column.replace("/", "_"),
                "description": text,
                "dataType": kind,
                **({"repeated": True} if several else {}),
                "source": {"fileSet": {"@id": _files_of(split)}, "extract": {"column": column}},
            }
            for column, (kind, several, text) in fields.items()
        ],
    }
