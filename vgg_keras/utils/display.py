"""Shows results to people: errors as text, tables in a terminal and in a notebook.

No other module makes tables with rich, which takes brackets in a string for its markup.
"""

import dataclasses
import io
from collections.abc import Sequence
from typing import Literal, TextIO

import rich.box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vgg_keras.utils import escaping

# Width in characters of a table that is not written to a terminal.
_TEXT_WIDTH = 200
TOP_K = 5


@dataclasses.dataclass(frozen=True)
class ShownTable:
    """A table of texts, which may hold any characters.

    Attributes:
        title: text above the table.
        columns: names of the columns.
        rows: cells of each row.
        totals: cells of further rows, below a line, or a blank one.
        numbers: whether all columns but the first hold numbers, which are flush right.
        boxed: whether lines are drawn around the table and between its columns.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    totals: Sequence[Sequence[str]] = ()
    numbers: bool = False
    boxed: bool = False

    def write(self, stream: TextIO) -> None:
        """Writes title and table to a stream: as wide as its terminal, or up to 200 characters wide in a file."""
        console = Console(file=stream, force_jupyter=False)
        (console if console.is_terminal else _plain_console(stream)).print(*self._parts())

    def text(self) -> str:
        """Returns the table as plain text."""
        stream = io.StringIO()
        _plain_console(stream).print(*self._parts())
        lines = [line.rstrip() for line in stream.getvalue().splitlines()]
        return "\n".join(filter(None, lines))

    def _parts(self) -> tuple[Text, Table]:
        """Returns title and table; a title of the table's own would be wrapped to its width."""
        table = Table(box=rich.box.HEAVY_HEAD if self.boxed else rich.box.SIMPLE_HEAD)
        for index, column in enumerate(self.columns):
            justify: Literal["left", "right"] = "right" if self.numbers and index else "left"
            table.add_column(_cell(column), justify=justify)
        for row in self.rows:
            table.add_row(*map(_cell, row))
        table.add_section()
        for row in self.totals:
            table.add_row(*map(_cell, row))
        return _cell(self.title), table

    def html(self) -> str:
        """Returns the table as HTML, without a style of its own."""

        def row(cells: Sequence[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{escaping.html(cell)}</{tag}>" for cell in cells) + "</tr>"

        body = "".join(row(cells, "td") for cells in (*self.rows, *self.totals))
        return (
            f"<table><caption>{escaping.html(self.title)}</caption><thead>{row(self.columns, 'th')}</thead>"
            f"<tbody>{body}</tbody></table>"
        )


def _cell(text: str) -> Text:
    """Returns a text for a cell, without markup and without characters that a terminal obeys."""
    return Text(escaping.visible(text))


def _plain_console(stream: TextIO) -> Console:
    # In a notebook rich would show the table as well, and Jupyter asks for colours (FORCE_COLOR).
    return Console(
        file=stream, width=_TEXT_WIDTH, no_color=True, highlight=False, force_jupyter=False, force_terminal=False
    )


class Shown:
    """Base of results that show themselves as a table, in a terminal and in a notebook.

    Dataclasses that derive from it are made with `repr=False`, or their own representation would replace the table.
    """

    def shown(self) -> ShownTable:
        """Returns the table that is shown."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self.shown().text()

    def _repr_html_(self) -> str:
        return self.shown().html()

    def _repr_pretty_(self, printer, cycle: bool) -> None:
        printer.text("..." if cycle else repr(self))


def has_top5_error(num_classes: int) -> bool:
    """Returns whether a top-5 error says anything: with five classes or fewer it is always zero."""
    return num_classes > TOP_K


def errors_text(top1_error: float, top5_error: float, num_classes: int) -> str:
    """Returns the errors in percent as text for people, such as "top-1 error 7.50%, top-5 error 2.50%".

    The top-5 error is left out where `has_top5_error` says so.
    """
    top1 = f"top-1 error {top1_error:.2f}%"
    return f"{top1}, top-5 error {top5_error:.2f}%" if has_top5_error(num_classes) else top1


def duration_text(seconds: float) -> str:
    """Returns a duration as text for people: "40 s", "12 min", "3 h 5 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
