"""Reads annotations in the XML of PASCAL VOC, which ImageNet uses too, from files that nobody has checked."""

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from typing import IO, NamedTuple

from data_prep.objects import Box
from vgg_keras.utils.errors import reason
from vgg_keras.utils.escaping import shortened, visible

# Bytes of the largest file that is read. Those of VOC and ImageNet have less than 20 kB.
_MAX_BYTES = 1_000_000
# Names of the corners in the order of a `Box`.
_CORNERS = ("ymin", "xmin", "ymax", "xmax")
# Python's `float` takes more, such as "1_0" and digits of other scripts.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


class NamedObject(NamedTuple):
    """An object as an annotation describes it.

    Attributes:
        name: name of its class.
        box: its corners in pixels, as the file counts them.
        is_difficult: whether it is marked as difficult to recognize.
        actions: for a person whose actions the file tells, whether it does each of them, by the action's name; else
            None.
    """

    name: str
    box: Box
    is_difficult: bool
    actions: Mapping[str, bool] | None = None


class _HasDoctype(ValueError):
    """Error that a document declares a type."""


class _PlainTree(ElementTree.TreeBuilder):
    """Builds the tree of a document without declarations of its own.

    Entities, which a small file can nest until they fill the memory, or that name other files, are declared in a
    DOCTYPE alone. The parser calls `doctype` at its begin, before it reads the first declaration.
    """

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Refuses a document type.

        Raises:
            _HasDoctype: always.
        """
        raise _HasDoctype("it has a DOCTYPE, which annotations do not need")


def parse(file: IO[bytes]) -> tuple[tuple[int, int], list[NamedObject]]:
    """Reads an annotation.

    Args:
        file: the open XML file.

    Returns:
        The image's width and height in pixels, (0, 0) if the file does not give them, and its objects. Boxes may be
        empty, reversed or outside the image, since only that tells.

    Raises:
        ValueError: the file is no such XML; the message tells what is wrong with it.
    """
    content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(f"it has more than {_MAX_BYTES:,} bytes, which no annotation has")
    try:
        root = ElementTree.fromstring(content, ElementTree.XMLParser(target=_PlainTree()))
    except ElementTree.ParseError as error:
        raise ValueError(f"it is no XML: {reason(error)}") from error
    except _HasDoctype:
        raise
    except (LookupError, ValueError) as error:  # about an encoding that Python or its XML parser does not know
        raise ValueError(f"it is no XML: {reason(error)}; save it as UTF-8") from error
    if root.tag != "annotation":
        raise ValueError(f"it is a <{shortened(root.tag, 60)}>, should be an <annotation>")
    size = (0, 0) if _only(root, "size") is None else (_side(root, "width"), _side(root, "height"))
    return ((0, 0) if 0 in size else size), [_object(element) for element in root.findall("object")]


def _side(root: ElementTree.Element, name: str) -> int:
    side = _number(root, f"size/{name}")
    if side != int(side) or side < 0:
        raise ValueError(f"its size/{name} is {side:g}, should be a whole number")
    return int(side)


def _object(element: ElementTree.Element) -> NamedObject:
    name = _text(element, "name")
    if not name or visible(name) != name:
        raise ValueError(f"the name of an object is {name!r}, should be the text of a class's name")
    ymin, xmin, ymax, xmax = (_number(element, f"bndbox/{corner}") for corner in _CORNERS)
    # Many tools leave it out.
    difficult = "0" if _only(element, "difficult") is None else _text(element, "difficult")
    if difficult not in ("0", "1"):
        raise ValueError(f"its object/difficult is {shortened(difficult, 60)!r}, should be 0 or 1")
    return NamedObject(name, (ymin, xmin, ymax, xmax), difficult == "1", _actions(_only(element, "actions")))


def _actions(element: ElementTree.Element | None) -> Mapping[str, bool] | None:
    if element is None:
        return None
    actions = {}
    for one in element:
        if visible(one.tag) != one.tag or (one.text or "").strip() not in ("0", "1"):
            raise ValueError(
                f"its actions/{shortened(one.tag, 60)} is {shortened(one.text or '', 60)!r}, should be 0 or 1"
            )
        if one.tag in actions:
            raise ValueError(f"it has several actions/{shortened(one.tag, 60)}, should be one")
        actions[one.tag] = (one.text or "").strip() == "1"
    return actions


def _only(element: ElementTree.Element, path: str) -> ElementTree.Element | None:
    """Returns what lies under a path, or None; of several elements nobody could tell which one is right."""
    found, passed = element, element.tag
    for name in path.split("/"):
        passed, several = f"{passed}/{name}", found.findall(name)
        if len(several) > 1:
            raise ValueError(f"it has several {passed}, should be one")
        if not several:
            return None
        (found,) = several
    return found


def _text(element: ElementTree.Element, path: str) -> str:
    found = _only(element, path)
    if found is None:
        raise ValueError(f"it has no {element.tag}/{path}")
    return (found.text or "").strip()


def _number(element: ElementTree.Element, path: str) -> float:
    text = _text(element, path)
    number = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not abs(number) < 1e9:  # so that it is no NaN either
        raise ValueError(f"its {element.tag}/{path} is {shortened(text, 60)!r}, should be a number of pixels")
    return number
