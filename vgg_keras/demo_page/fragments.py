"""Renders parts of the demo's page as HTML: bars, pictures and messages."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vgg_keras.reports import pictures, templates

STYLE = Path(__file__).parent / "style.css"


@dataclasses.dataclass(frozen=True)
class Bars:
    """The posteriors of a class, each a bar.

    Attributes:
        name: label name of the class.
        posteriors: the bars' lengths, 0..1, in the order of the methods by which they were computed.
    """

    name: str
    posteriors: Sequence[float]


@dataclasses.dataclass(frozen=True)
class HeatScale:
    """The colours of a heat map by themselves.

    Attributes:
        meaning: what the colours from 0 to 1 stand for.
    """

    meaning: str


def bars(caption: str, rows: Sequence[Bars], methods: Sequence[str] = ("",)) -> str:
    """Returns a table of posteriors as bars.

    Args:
        caption: line above the table.
        rows: the classes.
        methods: names of the methods that each row has a bar for; "" for a method that needs no name.
    """
    return _render("bars.html", caption=caption, rows=rows, methods=methods)


def picture(image: np.ndarray, description: str, caption: str = "", scale: HeatScale | None = None) -> str:
    """Returns a picture with a caption, which is its description if there is no other.

    Args:
        image: (H, W, 3) uint8.
        description: what it shows, for those who do not see it.
        caption: line below the picture.
        scale: the colours of a heat map; None: there are none.
    """
    address = pictures.jpeg(np.ascontiguousarray(image))
    return _render("picture.html", address=address, description=description, caption=caption, scale=scale)


def heading(title: str, description: str, notes: Sequence[str]) -> str:
    """Returns the head of the page.

    Args:
        title: its title.
        description: the model in a line.
        notes: lines on what is not shown, and why.
    """
    return _render("heading.html", title=title, description=description, notes=notes)


def message(text: str) -> str:
    """Returns a message about something that went wrong."""
    return _render("message.html", text=text)


def hint(text: str) -> str:
    """Returns a line that says what to do."""
    return _render("hint.html", text=text)


def _render(template: str, **values: object) -> str:
    return _ENVIRONMENT.get_template(template).render(**values)


_ENVIRONMENT = templates.environment(Path(__file__).parent)
