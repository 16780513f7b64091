"""Records of which flags and images a data set was prepared, so that the same command finds it finished."""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.parts import PartResult, contents_digest
from data_prep.plan import Plan, SplitPlan
from vgg_keras.utils import console, side_files
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import Options, PathLike, flag_fields
from vgg_keras.utils.shell import flag
from vgg_keras.utils.structures import SCALAR, TEXT, MapOf, Maybe, whole

RECORD = "preparation.json"
# Flags that change nothing about the records: images that are left out lie in a file of their own.
_WITHOUT_EFFECT = ("num_workers", "beam_runner", "beam_options", "skip_bad_images", "as_is")
_STRUCTURE = {
    "flags": MapOf(SCALAR),
    "images": MapOf({"images": whole(1), "sha256": TEXT, "origin": TEXT}),
    "files": MapOf(whole(0)),
    # Of each split, by which photos are recognized that were copied without their times; earlier versions did not
    # record it.
    "contents": Maybe(MapOf({"names_and_sizes": TEXT, "sha256": TEXT})),
}


def is_prepared(folder: PathLike) -> bool:
    """Returns whether a folder holds a finished data set with a record of its preparation."""
    return os.path.exists(Path(folder) / RECORD)  # unlike the method of Path, it takes paths that are too long


def content_flags(options: Options) -> dict[str, Any]:
    """Returns the values of the flags that decide on the records, without those that are paths.

    The images themselves tell whether the source is the same, wherever it lies.
    """
    names = [field.name for field in flag_fields(type(options)) if not field.metadata["path"]]
    return {name: getattr(options, name) for name in names if name not in _WITHOUT_EFFECT}


def source_flags(options: Options) -> dict[str, str]:
    """Returns the absolute paths of the flags that name the source; "" for a flag that is not given."""
    fields = [field for field in flag_fields(type(options)) if field.metadata["path"] and not field.metadata["output"]]
    given = {field.name: getattr(options, field.name) for field in fields}
    return {name: str(Path(value).resolve()) if value else "" for name, value in given.items()}


def flag_differences(before: Mapping[str, Any], now: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """Returns in words which flags differ, each with its old and its new value.

    Args:
        before: values by name, as an earlier run recorded them.
        now: values by name.
        defaults: values of the flags that the earlier run did not know.
    """
    before = {name: defaults[name] for name in now if name in defaults} | dict(before)

    def shown(flags: Mapping[str, Any], name: str) -> str:
        return flag(name, flags[name]) if name in flags else f"no --{name}"

    names = dict.fromkeys([*now, *before])
    return [
        f"{shown(before, name)} then, {shown(now, name)} now" for name in names if before.get(name) != now.get(name)
    ]


def image_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Returns in words which splits have other images or other boxes, given `Plan.listings` of both."""
    changed = [split for split in {**now, **before} if before.get(split) != now.get(split)]

    def images(listings: Mapping[str, Any], split: str) -> dict[str, Any]:
        return {name: value for name, value in listings.get(split, {}).items() if name != "boxes"}

    return [
        f"the {'boxes' if images(before, split) == images(now, split) else 'images'} of {split} have changed"
        for split in changed
    ]


def write(plan: Plan, options: Options, results: Mapping[str, Sequence[PartResult]]) -> None:
    """Writes the record into the folder that becomes the data set, when all its other files are there.

    Args:
        plan: the data set.
        options: the flags.
        results: what the parts of each split hold, in the order of the records.
    """
    contents = {
        split.name: {
            "names_and_sizes": split.split.pieces.digest(marks=False),
            "sha256": _joined(result.contents for result in results[split.name]),
        }
        for split in plan.splits
        if all(result.contents for result in results[split.name])
    }
    files = {path.name: path.stat().st_size for path in sorted(plan.data_folder.iterdir())}
    content = {"flags": content_flags(options), "images": plan.listings, "files": files, "contents": contents}
    side_files.write_json(plan.data_folder / RECORD, content)


def _joined(digests: Iterable[str]) -> str:
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _same_contents(split: SplitPlan, before: Mapping[str, str], scratch: Path) -> bool:
    """Returns whether the images of a split, whose times have changed, have the contents on record.

    Args:
        split: the images.
        before: what the record holds of their contents.
        scratch: existing folder in which an archive may be unpacked.
    """
    if before.get("names_and_sizes") != split.split.pieces.digest(marks=False):
        return False
    read = split.split.make_reader(scratch)
    sections = console.progress_bar(
        f"{split.name}: other times; comparing contents", len(split.sections), " parts", iterable=split.sections
    )
    return before["sha256"] == _joined(contents_digest(split.part(section, read)) for section in sections)


def _changed_images(folder: Path, record: Mapping[str, Any], plan: Plan) -> list[str]:
    """Returns in words which splits have other images than those of which a data set was made."""
    reasons = []
    contents, splits = record.get("contents", {}), {split.name: split for split in plan.splits}
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name[:20]}.") as scratch:
        for name in {**plan.listings, **record["images"]}:
            before, now = record["images"].get(name, {}), plan.listings.get(name, {})
            # The contents can tell of the images alone that they are the same.
            known = name in splits and name in contents and before.get("boxes") == now.get("boxes")
            if before != now and not (known and _same_contents(splits[name], contents[name], Path(scratch))):
                reasons += image_differences({name: before}, {name: now})
    return reasons


def read(folder: Path) -> dict[str, Any]:
    """Reads the record of a finished data set.

    Raises:
        UserError: it is missing or damaged.
    """
    return side_files.read_json(folder / RECORD, _STRUCTURE, f"remove {folder}, and prepare the data set again")


def check_same(folder: Path, plan: Plan, options: Options, *, left_out: bool) -> None:
    """Checks that a finished data set is the one that a command would write.

    The versions of the package and of Pillow do not count: they may change bytes, but no image.

    Args:
        folder: the data set.
        plan: what the command would write.
        options: the flags of the command.
        left_out: whether images were left out of the data set, as only --skip_bad_images allows.

    Raises:
        UserError: the flags or the images differ, or files of the data set are missing or have other sizes.
    """
    way_out = "remove it, or choose another --output_dir"
    record = read(folder)
    reasons = flag_differences(record["flags"], content_flags(options), options.defaults())
    if record["images"] != plan.listings:
        reasons += _changed_images(folder, record, plan)
    if left_out and not getattr(options, "skip_bad_images", False):
        reasons.append("--skip_bad_images then, which left images out, --noskip_bad_images now")
    if reasons:
        raise UserError(f"--output_dir={folder} holds another data set ({'; '.join(reasons)}); {way_out}")
    for name, size in record["files"].items():
        if not (folder / name).is_file() or (folder / name).stat().st_size != size:
            raise UserError(f"{folder / name} is missing, or does not have its {size:,} bytes; {way_out}")
