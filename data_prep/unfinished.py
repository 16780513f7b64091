"""Keeps the folder of an unfinished data set, so that the next run of the same command goes on from it."""

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from data_prep.archives import UNPACKED
from data_prep.parts import finished_part
from data_prep.plan import Plan, Section, data_folder, parts_folder
from vgg_keras.utils import console, locks
from vgg_keras.utils.files import write_text

_PLAN = "plan.json"


def find_finished(plan: Plan) -> list[Section]:
    """Returns the sections that are finished, judged by what lies in the folder."""
    return [part for part in plan.sections if finished_part(part.path, part.result_path, part.digest)]


def take_over(plan: Plan) -> list[Section]:
    """Prepares the folder of an unfinished data set, and says what of an earlier run is kept or why nothing is.

    A section is kept if it would become the same again, so that a repaired photo costs the section that it lies in.

    Returns:
        The sections that are kept.
    """
    finished = find_finished(plan)
    if finished:
        images, total = (sum(map(len, sections)) for sections in (finished, plan.sections))
        console.say(
            f"{plan.folder}: {len(finished):,} of {len(plan.sections):,} parts, with {images:,} of {total:,} images, "
            "are kept from the run that was ended; going on"
        )
    elif _is_filled(plan.folder) and (reasons := _differences(_read_description(plan.folder), plan.description)):
        console.say(f"{plan.folder}: removed, since nothing of it fits: {'; '.join(reasons)}")
        clear(plan.folder)
    keep = {path for section in finished for path in (section.path, section.result_path)}
    for folder in (data_folder(plan.folder), parts_folder(plan.folder)):
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path not in keep:
                path.unlink()
    write_text(plan.folder / _PLAN, json.dumps(plan.description, indent=2) + "\n")
    return finished


def _is_filled(folder: Path) -> bool:
    """Returns whether a folder holds more than the lock of this process."""
    return folder.is_dir() and any(path.name != locks.NAME for path in folder.iterdir())


def _read_description(folder: Path) -> Mapping:
    try:
        description = json.loads((folder / _PLAN).read_text(encoding="utf-8"))
        return description if isinstance(description, dict) else {}
    except (OSError, ValueError):
        return {}


def _differences(before: Mapping, now: Mapping) -> list[str]:
    """Returns what has changed, in words."""
    if not before:
        return ["it is of another version"]
    names = [name for name in now if name != "splits" and before.get(name) != now[name]]
    reasons = [f"{name} was {before.get(name)} and is {now[name]}" for name in names]
    listed = before.get("splits", {})
    changed = [split for split, listing in now["splits"].items() if listed.get(split) != listing]
    return reasons + [f"the images of {split} have changed" for split in changed]


@contextlib.contextmanager
def kept_on_failure(plan: Plan) -> Iterator[None]:
    """Says, if an error or an interrupt ends the context, what is kept; removes the folder if that is nothing."""
    try:
        yield
    except BaseException as error:
        finished = find_finished(plan)
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
    """Removes all that is in the folder of an unfinished data set, but the lock of the process that holds it."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != locks.NAME:
            path.unlink(missing_ok=True)


def unpacked_bytes(folder: Path) -> int:
    """Returns the bytes of the archives that an earlier run has unpacked in the folder."""
    return sum(path.stat().st_size for path in folder.glob(f"*{UNPACKED}"))
