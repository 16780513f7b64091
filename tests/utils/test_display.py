"""Tests how results show themselves."""

import io

import rich.console

from vgg_keras.utils.display import Shown, ShownTable

TITLE = "errors <1%> [bold] of a title that is longer than its table"
TABLE = ShownTable(TITLE, ("net", "error"), [("A", "1[red]"), ("B", "22")])


class Result(Shown):
    """A result of two rows."""

    def shown(self) -> ShownTable:
        return TABLE


def test_text():
    title, header, _, *rows = repr(Result()).splitlines()
    assert title == TABLE.title
    assert [line.split() for line in (header, *rows)] == [["net", "error"], ["A", "1[red]"], ["B", "22"]]


def test_sums_stand_below_and_numbers_flush_right():
    table = ShownTable("", ("class", "photos"), [("rose", "5")], totals=[("images", "1,005")], numbers=True)
    header, _, row, total = table.text().splitlines()
    assert [header.split(), row.split(), total.split()] == [["class", "photos"], ["rose", "5"], ["images", "1,005"]]
    assert len(header) == len(row) == len(total)
    assert table.html().endswith(
        "<tbody><tr><td>rose</td><td>5</td></tr><tr><td>images</td><td>1,005</td></tr></tbody></table>"
    )


def test_text_is_shown_once_in_a_notebook(monkeypatch):
    shown = []
    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")  # Jupyter sets it
    monkeypatch.setattr("rich.jupyter.display", lambda *parts: shown.append(parts))
    stream = io.StringIO()
    TABLE.write(stream)
    assert TITLE in stream.getvalue()
    assert repr(Result()).startswith(TITLE)
    assert "\x1b" not in repr(Result())
    assert shown == []


def test_html():
    assert Result()._repr_html_() == (
        "<table><caption>errors &lt;1%&gt; [bold] of a title that is longer than its table</caption>"
        "<thead><tr><th>net</th><th>error</th></tr></thead>"
        "<tbody><tr><td>A</td><td>1[red]</td></tr><tr><td>B</td><td>22</td></tr></tbody></table>"
    )
