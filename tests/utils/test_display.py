"""Tests how results show themselves."""

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


def test_html():
    assert Result()._repr_html_() == (
        "<table><caption>errors &lt;1%&gt; [bold] of a title that is longer than its table</caption>"
        "<thead><tr><th>net</th><th>error</th></tr></thead>"
        "<tbody><tr><td>A</td><td>1[red]</td></tr><tr><td>B</td><td>22</td></tr></tbody></table>"
    )
