"""Renders pages in HTML that are one file each: pictures and style are inside, and no address leads out of it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import markupsafe

from vgg_keras.reports import templates
from vgg_keras.utils.display import ShownTable

_TEMPLATE = "page.html"


@dataclasses.dataclass(frozen=True)
class Block:
    """A part of a section, which its own template renders.

    Attributes:
        template: name of the template in `blocks/`, which sees the block as `block`.
    """

    template: ClassVar[str]


@dataclasses.dataclass(frozen=True)
class Prose(Block):
    """A paragraph.

    Attributes:
        text: the paragraph's text.
    """

    template = "prose.html"
    text: str


@dataclasses.dataclass(frozen=True)
class Table(Block):
    """A table.

    Attributes:
        table: the table; its title is not shown if it is empty.
    """

    template = "table.html"
    table: ShownTable


@dataclasses.dataclass(frozen=True)
class Chart(Block):
    """A chart that takes the page's colours for its text and lines.

    Attributes:
        svg: an `<svg>` element, as `pictures.inline_svg` returns it.
        description: what the chart shows, for those who do not see it.
        wide: the least width in which it can be read, in pixels; on a narrower screen it scrolls.
    """

    template = "chart.html"
    svg: markupsafe.Markup
    description: str
    wide: int = 0


@dataclasses.dataclass(frozen=True)
class Beside(Block):
    """Blocks side by side where the page is wide enough, else one below the other.

    Attributes:
        blocks: the blocks.
    """

    template = "beside.html"
    blocks: Sequence[Block]


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture with a caption.

    Attributes:
        address: the picture itself as a "data:" address, as `pictures.jpeg` and `pictures.png` return it.
        description: what it shows, for those who do not see it.
        lines: lines of the caption below it.
    """

    address: str
    description: str
    lines: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Gallery(Block):
    """Pictures side by side, as many in a row as fit.

    Attributes:
        pictures: the pictures.
        side: width of a picture in pixels.
        sharp: whether enlarged pixels stay squares.
    """

    template = "gallery.html"
    pictures: Sequence[Picture]
    side: int = 160
    sharp: bool = False


@dataclasses.dataclass(frozen=True)
class Commands(Block):
    """Commands to be copied into a terminal.

    Attributes:
        commands: pairs of what a command is for, and the command.
    """

    template = "commands.html"
    commands: Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Folded(Block):
    """Blocks that the reader unfolds.

    Attributes:
        summary: the line that is always shown.
        blocks: what it unfolds to.
    """

    template = "folded.html"
    summary: str
    blocks: Sequence[Block]


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of a page.

    Attributes:
        title: its heading.
        blocks: its content.
    """

    title: str
    blocks: Sequence[Block]


@dataclasses.dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        title: heading of the page.
        lead: the result, in a sentence.
        sections: the sections; a list of them stands at the top.
        footer: line at the end.
    """

    title: str
    lead: str
    sections: Sequence[Section]
    footer: str

    def render(self) -> str:
        """Returns the page as HTML."""
        return _ENVIRONMENT.get_template(_TEMPLATE).render(page=self)


_ENVIRONMENT = templates.environment(Path(__file__).parent, Path(__file__).parent / "blocks")
