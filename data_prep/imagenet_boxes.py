"""Reads ImageNet's box annotations: XML files, in tars as they are distributed or unpacked."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from data_prep import voc_xml
from data_prep.archives import open_tar, tar_files
from data_prep.objects import Annotation, NoteReader, Object
from vgg_keras.utils.console import progress_bar
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.shell import flag

# ILSVRC's boxes reach from 0 to the width and height of the image, so its corners are edges of pixels. A few of half a
# million are reversed or outside, or were drawn on a copy of another size; for their sake no image is left out.
ANNOTATE = NoteReader(first_pixel=0, strict=False)
# Names of the tars: ILSVRC2012_bbox_train_v2.tar.gz, ILSVRC2012_bbox_val_v3.tgz, and those of later years.
_TAR = re.compile(r".*bbox.*\.(tar|tar\.gz|tgz)", re.IGNORECASE)
_SYNSET = re.compile(r"n\d{8}")


def read_boxes(path: Path, label_of_image: Callable[[str], int | None], synsets: list[str]) -> dict[str, bytes]:
    """Reads box annotations.

    A box is taken if it is of its image's own class. Names that are no synset, which many annotations of dogs have in
    place of it, such as "Scottish_deerhound", stand for that class.

    Args:
        path: a tar of XML files, or of tars of them, or a folder that holds such tars or the XML files at any depth.
        label_of_image: function from an image's name without its suffix to its class index, or None if no image of
            ILSVRC-2012 has that name.
        synsets: the synsets in the order of the class indices.

    Returns:
        {name of an image without its suffix: the note for its piece, as ANNOTATE reads it}, without images that have no
        box of their class.

    Raises:
        UserError: there are no annotations, a tar is damaged, a file is no annotation, or an image has two that differ.
    """
    notes: dict[str, bytes] = {}
    num_files = 0
    with progress_bar("reading boxes", None, " files", leave=False) as bar:
        for where, name, file in _annotations(path):
            num_files += 1
            bar.update(1)
            label = label_of_image(name)
            if label is None:
                raise UserError(f"{where}: {name} is not the name of an image of ILSVRC-2012")
            try:
                size, objects = voc_xml.parse(file)
            except ValueError as error:
                raise UserError(f"{where}: {error}; fetch the annotations again") from error
            own = [Object(label, one.box) for one in objects if _is_of_class(one.name, synsets[label])]
            note = Annotation(f"{name}.xml", size, own).to_note() if own else b""
            if notes.setdefault(name, note) != note:
                raise UserError(
                    f"{where}: {name} has other boxes in another file; leave the annotations of one version alone in "
                    f"{flag('boxes', path)}"
                )
    if not num_files:
        raise UserError(f"{flag('boxes', path)} holds no XML files, nor tars of them with bbox in their names")
    return {name: note for name, note in notes.items() if note}


def _is_of_class(name: str, synset: str) -> bool:
    return name == synset or not _SYNSET.fullmatch(name)


def _annotations(path: Path) -> Iterator[tuple[str, str, IO[bytes]]]:
    """Yields where each annotation lies, its name without the suffix, and the open file."""
    if not path.is_dir():
        yield from _in_tar(path)
        return
    for file in sorted(path.rglob("*")):
        if _TAR.fullmatch(file.name) and file.is_file():
            yield from _in_tar(file)
        elif file.suffix == ".xml" and not file.name.startswith("."):
            with file.open("rb") as opened:
                yield str(file), file.stem, opened


def _in_tar(path: Path, fileobj=None) -> Iterator[tuple[str, str, IO[bytes]]]:
    with open_tar(path, fileobj) as tar:
        for member in tar_files(tar, path):
            inside = Path(f"{path}!{member.name}")
            opened = tar.extractfile(member)
            assert opened is not None  # it is a regular file
            if member.name.endswith(".tar"):
                yield from _in_tar(inside, opened)
            elif member.name.endswith(".xml"):
                yield str(inside), Path(member.name).stem, opened
