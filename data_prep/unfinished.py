"""Keeps the folder of an unfinished data set, so that the next run of the same command goes on from it.

The file `plan.json` is the first that is written into that folder, and the last that is removed from it: it tells the
folder from one that somebody else made, which is never touched. Only what this package writes is ever removed.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from data_prep import preparation_record
from data_prep.archives import UNPACKED
from data_prep.parts import finished_part
from data_prep.plan import VERSION, Plan, Section, data_folder, parts_folder, tasks_folder
from data_prep.task_files import Place, take_left
from vgg_keras.utils import console, files, locks, paths
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.files import write_text
from vgg_keras.utils.options import Options

_PLAN = "plan.json"
_SUFFIX = ".incomplete"
# The digits of the identity of an archive with which the name of its unpacked file begins.
_DIGITS = "[0-9a-f]" * 12
# All that is written into the folder beside the lock and the plan, as patterns.
_CONTENT = (
    *(of(Path()).name for of in (data_folder, parts_folder, tasks_folder)),
    *(f"{hidden}{_DIGITS}-*{UNPACKED}" for hidden in ("", ".")),
)
# What may lie there before the plan is written, of a process that was killed at its begin.
_BEFORE_PLAN = {locks.NAME, files.temporary_path(Path(_PLAN)).name}


def working_folder(output_dir: Path) -> Path:
    """Returns the folder of the unfinished data set, which is made beside the finished one."""
    return output_dir.with_name(output_dir.name + _SUFFIX)


def require_usable(output_dir: Path, options: Options) -> None:
    """Checks that the folder of the unfinished data set is missing, empty, or one that this package made.

    Args:
        output_dir: the folder of the finished data set.
        options: the flags, which name the source.

    Raises:
        UserError: something else stands there, or the source lies in it.
    """
    folder = working_folder(output_dir)
    what = f"the working folder of --output_dir={output_dir}"
    for name, path in options.named_paths(""):
        if paths.lies_in(path, folder):
            raise UserError(f"--{name}={path} lies in {folder}, {what}: move it, or choose another --output_dir")
    if kind := _foreign_kind(folder):
        raise UserError(f"{folder} {kind}, and is needed as {what}: move it away, or choose another --output_dir")


def _foreign_kind(folder: Path) -> str:
    """Returns what stands in the place of the folder and may not be taken over, in words; "" if nothing does."""
    if not os.path.lexists(folder):
        return ""
    if (kind := files.other_kind(folder, follow_links=False)) != "a folder":
        return f"is {kind or 'a file'}"
    for path in (data_folder(folder), parts_folder(folder), tasks_folder(folder)):
        if os.path.lexists(path) and files.other_kind(path, follow_links=False) != "a folder":
            return f"holds {path.name}, which is no folder"
    if _read_description(folder) or not {path.name for path in folder.iterdir()} - _BEFORE_PLAN:
        return ""
    return f"was not made by this package (it holds no {_PLAN} that it wrote)"


def find_finished(plan: Plan) -> list[Section]:
    """Returns the sections that are finished, judged by what lies in the folder."""
    return [part for part in plan.sections if finished_part(part.path, part.result_path, part.digest)]


def _find_all_finished(plan: Plan) -> list[Section]:
    """Returns the sections that are finished, and moves those to their places that workers of other machines left."""
    take_left(plan.tasks_folder, (Place(part.path, part.result_path, part.digest) for part in plan.sections))
    return find_finished(plan)


def check_flags(plan: Plan, options: Options) -> None:
    """Refuses to go on in the folder of a data set that was begun with other flags, if finished parts would be lost.

    Raises:
        UserError: a flag has another value than then, and a finished part is none of this plan.
    """
    before = _read_description(plan.folder).get("flags")
    if not isinstance(before, dict):
        return
    differences = preparation_record.flag_differences(before, _flags(options), options.defaults())
    kept = {section.result_path for section in find_finished(plan)}
    lost = [path for path in parts_folder(plan.folder).glob("[!.]*.json") if path not in kept]
    if differences and lost:
        raise UserError(
            f"{plan.folder} holds finished parts of a data set that was begun with other flags "
            f"({'; '.join(differences)}): give those flags to go on with it, or remove that folder to start over, or "
            "choose another --output_dir"
        )


def take_over(plan: Plan, options: Options) -> list[Section]:
    """Prepares the folder of an unfinished data set, and says what of an earlier run is kept or why nothing is.

    A section is kept if it would become the same again, so that a repaired photo costs the section that it lies in.

    Args:
        plan: the data set.
        options: the flags, which are recorded for `check_flags`.

    Returns:
        The sections that are kept.
    """
    finished = _find_all_finished(plan)
    if finished:
        images, total = (sum(map(len, sections)) for sections in (finished, plan.sections))
        console.say(
            f"{plan.folder}: {len(finished):,} of {len(plan.sections):,} parts, with {images:,} of {total:,} images, "
            "are kept from the run that was ended; going on"
        )
    elif (before := _read_description(plan.folder)) and (reasons := _differences(before, plan)):
        console.say(f"{plan.folder}: removed, since nothing of it fits: {'; '.join(reasons)}")
        _remove_content(plan.folder)
    write_text(plan.folder / _PLAN, json.dumps(_description(plan, options), indent=2) + "\n")
    keep = {path for section in finished for path in (section.path, section.result_path)}
    for folder in (data_folder(plan.folder), parts_folder(plan.folder)):
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path not in keep:
                path.unlink()
    return finished


def _flags(options: Options) -> dict[str, Any]:
    return preparation_record.content_flags(options) | preparation_record.source_flags(options)


def _description(plan: Plan, options: Options) -> dict[str, Any]:
    return {**plan.description, "flags": _flags(options), "splits": plan.listings}


def clear_remains(plan: Plan, options: Options) -> None:
    """Removes what a run left that was killed when the data set was finished."""
    if not _foreign_kind(plan.folder) and _read_description(plan.folder) == _description(plan, options):
        with locks.locked(plan.folder, remove_if_empty=True):
            clear(plan.folder)


def _read_description(folder: Path) -> Mapping:
    """Returns the plan that this package wrote into a folder, or {} if there is none."""
    path = folder / _PLAN
    if path.is_symlink() or not path.is_file():
        return {}
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return description if isinstance(description, dict) and VERSION in description else {}


def _differences(before: Mapping, plan: Plan) -> list[str]:
    """Returns what has changed, in words."""
    changed = {name: now for name, now in plan.description.items() if before.get(name) != now}
    reasons = [f"{name} was {before.get(name)} and is {now}" for name, now in changed.items()]
    return reasons + preparation_record.image_differences(before.get("splits", {}), plan.listings)


@contextlib.contextmanager
def kept_on_failure(plan: Plan, options: Options) -> Iterator[None]:
    """Says, if an error or an interrupt ends the context, what is kept; removes the folder if that is nothing.

    Raises:
        UserError: the folder is of a data set that was begun with other flags, and stays as it is.
    """
    check_flags(plan, options)
    try:
        yield
    except BaseException as error:
        finished = _find_all_finished(plan)
        if finished:
            images = sum(map(len, finished))
            console.warn(
                f"{plan.folder}: {images:,} of {sum(map(len, plan.sections)):,} images are finished and kept; give the "
                "same command to go on from there, or remove that folder to start over"
            )
        else:
            clear(plan.folder)
            if not isinstance(error, Exception):  # an error's own message tells what to do
                console.warn(f"{plan.folder}: removed, since nothing was finished; the same command starts over")
        raise


def clear(folder: Path) -> None:
    """Removes all that this package wrote into the folder of an unfinished data set, but the lock."""
    _remove_content(folder)
    (folder / _PLAN).unlink(missing_ok=True)


def _remove_content(folder: Path) -> None:
    """Removes what was written after the plan."""
    for path in (path for pattern in _CONTENT for path in folder.glob(pattern)):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def unpacked_bytes(folder: Path) -> int:
    """Returns the bytes of the archives that an earlier run has unpacked in the folder."""
    return sum(path.stat().st_size for path in folder.glob(f"*{UNPACKED}"))
