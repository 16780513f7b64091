"""Checks that a folder of photos has its class folders where they are expected, and explains what it holds instead."""

from collections.abc import Callable, Iterable

from data_prep.sources import some_names
from vgg_keras.data.class_folders import (
    DEAD_LINKS,
    HIDDEN,
    INNER_LINKS,
    LOOPS,
    SPLIT_NAMES,
    Folder,
    find_sources,
    is_too_high,
    split_folders,
)
from vgg_keras.utils.errors import UserError, near_name
from vgg_keras.utils.escaping import file_text, visible
from vgg_keras.utils.shell import command, flag


def _photos(number: int) -> str:
    return f"{number:,} photo{'' if number == 1 else 's'}"


def find_splits(folder: Folder, note: Callable[[str], None]) -> dict[str, Folder]:
    """Returns the folder of each split; that of an undivided set is the folder itself, under "train".

    A test folder without class folders, as contests have them, is left out.

    Args:
        folder: the folder that the user names.
        note: function that shows a message about what is left out.

    Raises:
        UserError: two folders have names of the same split, or there is no training split.
    """
    found = split_folders(folder)
    if not found:
        return {"train": folder}
    for split, several in found.items():
        if len(several) > 1:
            names = " and ".join(inside.name for inside in several)
            raise UserError(f"{folder.path}: {names} both name the {split} split; put their photos into one of them")
    splits = {split: inside for split, (inside,) in found.items()}
    if "train" not in splits:
        names = " and ".join(inside.name for inside in splits.values())
        raise UserError(f"{folder.path} holds {names}, but no folder train; put the training photos there")
    if "test" in splits and not splits["test"].classes:
        test = splits.pop("test")
        note(f"{test.path}: left out, since its {_photos(test.num_photos)} lie in no class folders")
    if "validation" not in splits:
        note(f"{folder.path}: no folder of validation photos, so some of {splits['train'].path} are taken")
    beside = [inside.name for inside in folder.classes if inside.name.lower() not in SPLIT_NAMES]
    if beside:
        note(f"{folder.path}: left out {some_names(beside)}, since these are no splits")
    return splits


def note_what_is_left_out(folder: Folder, note: Callable[[str], None]) -> None:
    """Shows a message about each kind of things that lie in an undivided folder and are not taken.

    Args:
        folder: the folder that holds the class folders.
        note: function that shows a message.
    """
    kinds = {
        "files that are not images by name": [
            path for inside in folder.folders for part in inside.walk() for path in part.others
        ],
        "photos beside the class folders": folder.photos if folder.folders else (),
    }
    for kind in (HIDDEN, INNER_LINKS, LOOPS, DEAD_LINKS):
        kinds[kind] = [path for part in folder.walk() for path in part.left_out.get(kind, ())]
    for what, paths in kinds.items():
        if paths:
            example = paths[0].relative_to(folder.path)
            note(f"{folder.path}: passed over {what}: {len(paths):,}, such as {example}")


def note_escaped_names(folder: Folder, note: Callable[[str], None]) -> None:
    """Shows a message about photos whose names hold what no file of text can, and are therefore stored with escapes.

    Args:
        folder: the folder that holds the class folders.
        note: function that shows a message.
    """
    names = [photo.relative_to(folder.path).as_posix() for inside in folder.folders for photo in inside.all_photos()]
    escaped = [visible(name) for name in names if visible(name) != file_text(name)]
    if escaped:
        note(f"{folder.path}: names that are not text are stored with escapes: {len(escaped):,}, such as {escaped[0]}")


def check_class_names(names: Iterable[str], origin: str) -> None:
    """Checks that names can be those of classes: that they are text which every terminal and file shows as it is.

    Args:
        names: names of folders.
        origin: the folder or archive that holds them, for messages.

    Raises:
        UserError: a name holds control characters, line breaks, characters that reorder others, or bytes that are not
            UTF-8.
    """
    refused = sorted(visible(name) for name in names if visible(name) != name)
    if refused:
        raise UserError(
            f"{origin}: {len(refused)} class folder{'s' * (len(refused) > 1)} cannot name a class, since "
            f"control characters or bytes that are not UTF-8 are in the name: {some_names(refused)}; rename "
            f"{'them' if len(refused) > 1 else 'it'}"
        )


def _describe(class_folder: Folder) -> str:
    """Returns the name of a class folder, its number of photos, and the folders that they lie in."""
    inside = [folder.name for folder in class_folder.classes]
    where = f" in {'the folders' if len(inside) > 1 else 'the folder'} {some_names(inside)}" if inside else ""
    return f"{class_folder.name} ({_photos(class_folder.num_photos)}{where})"


def _way_out(folder: Folder, divided: bool) -> str:
    """Returns what to do about a folder whose class folders lie too far down."""
    inside = {part.name.lower() for class_folder in folder.classes for part in class_folder.classes}
    if inside and inside <= SPLIT_NAMES.keys():
        example = folder.path / "train" / folder.classes[0].name
        return f"put the folders of the splits above those of the classes, as in {example}"
    if divided:
        return f"move the class folders up into {folder.path}"
    sources = [flag("source_dir", source.path) for source in find_sources(folder)]
    if sources:
        return f"use {'one of ' if len(sources) > 1 else ''}{some_names(sources)}"
    return "put the photos of each class directly into its folder"


def check_level(folder: Folder, *, divided: bool, as_is: bool) -> None:
    """Checks that the folders directly in an undivided folder are those of the classes.

    Args:
        folder: the folder that should hold the class folders.
        divided: whether it is the folder of a split.
        as_is: whether a folder is accepted that looks one level too high.

    Raises:
        UserError: the photos lie directly in the folder, there is one class alone, or the class folders seem to lie
            further down.
    """
    where = str(folder.path) if divided else flag("source_dir", folder.path)
    classes = folder.classes
    if not classes and folder.photos:
        above = "" if divided else f"; if it is itself a class folder, use {flag('source_dir', folder.path.parent)}"
        raise UserError(f"{where}: its {_photos(len(folder.photos))} lie in no class folders{above}")
    if as_is or not classes or not is_too_high(folder):
        return
    if {"JPEGImages", "Annotations"} <= {inside.name for inside in folder.folders}:
        way_out = command("data_prep.voc", source_dir=folder.path, output_dir="DATA_SET")
        raise UserError(f"{where} has PASCAL VOC's layout; use {way_out}, which stores its boxes too")
    described = some_names([_describe(class_folder) for class_folder in classes])
    if len(classes) == 1 and not classes[0].classes:
        raise UserError(
            f"{where} holds one class alone, {described}; add a folder of photos for each other class, or take it as "
            "it is with --as_is"
        )
    count = "one class" if len(classes) == 1 else f"{len(classes)} classes"
    raise UserError(
        f"{where} looks one level too high: it would become {count}, {described}; {_way_out(folder, divided)}, or take "
        "it as it is with --as_is"
    )


def check_same_classes(train: Folder, other: Folder) -> None:
    """Checks that two splits have class folders of the same names.

    Args:
        train: the folder of the training split.
        other: the folder of another split.

    Raises:
        UserError: the names differ; the message tells which, and which resemble each other.
    """
    names, other_names = ({inside.name for inside in split.folders} for split in (train, other))
    if names == other_names:
        return
    missing = sorted(names - other_names)
    unknown = [
        f"{name} (near {similar})" if (similar := near_name(name, missing)) else name
        for name in sorted(other_names - names)
    ]
    only = [f"only {split.name} has {some_names(some)}" for split, some in ((other, unknown), (train, missing)) if some]
    raise UserError(
        f"{other.path} and {train.path} differ in classes: {'; '.join(only)}; "
        "each split needs a folder of the same name for each class"
    )
