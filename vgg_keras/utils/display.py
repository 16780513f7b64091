"""Shows results to people: errors as text, tables in a terminal and in a notebook."""

import dataclasses
import html
import io
from collections.abc import Sequence

import rich.box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

_TEXT_WIDTH = 200
TOP_K = 5


@dataclasses.dataclass(frozen=True)
class ShownTable:
    """A table of texts.

    Attributes:
        title: text above the table.
        columns: names of the columns.
        rows: cells of each row.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def console_table(self) -> Group:
        """Returns title and table for the console; a title of the table's own would be wrapped to its width."""
        table = Table(*self.columns, box=rich.box.SIMPLE_HEAD)
        for cells in self.rows:
            table.add_row(*map(Text, cells))  # as they are: brackets in a string are rich's markup
        return Group(Text(self.title), table)

    def text(self) -> str:
        """Returns the table as plain text."""
        stream = io.StringIO()
        Console(file=stream, width=_TEXT_WIDTH, no_color=True, highlight=False).print(self.console_table())
        lines = [line.rstrip() for line in stream.getvalue().splitlines()]
        return "\n".join(filter(None, lines))

    def html(self) -> str:
        """Returns the table as HTML, without a style of its own."""

        def row(cells: Sequence[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        body = "".join(row(cells, "td") for cells in self.rows)
        return (
            f"<table><caption>{html.escape(self.title)}</caption><thead>{row(self.columns, 'th')}</thead>"
            f"<tbody>{body}</tbody></table>"
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
