"""Tests that a page shows texts of users as they are, and holds all that it shows."""

import re

import markupsafe
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from vgg_keras.reports import pictures
from vgg_keras.reports.page import Beside, Chart, Commands, Folded, Gallery, Page, Picture, Prose, Section, Table
from vgg_keras.utils.display import ShownTable

NASTY = '<script>alert("&")</script>\x1b[31m'
SHOWN = "&lt;script&gt;alert(&#34;&amp;&#34;)&lt;/script&gt;\\x1b[31m"


def page(*blocks):
    return Page("A run", "Lead.", [Section("One", blocks), Section("Two", [Prose("End.")])], "Footer.").render()


@pytest.mark.parametrize(
    "block",
    [
        Prose(NASTY),
        Table(ShownTable(NASTY, ("a", "b"), [("1", "2")])),
        Table(ShownTable("", (NASTY, "b"), [("1", "2")])),
        Table(ShownTable("", ("a", "b"), [("1", NASTY)])),
        Table(ShownTable("", ("a", "b"), [], totals=[("1", NASTY)])),
        Chart(markupsafe.Markup("<svg></svg>"), NASTY),
        Gallery([Picture("data:,", NASTY)]),
        Gallery([Picture("data:,", "picture", [NASTY])]),
        Commands([(NASTY, "ls")]),
        Commands([("List", NASTY)]),
        Folded(NASTY, []),
        Folded("more", [Prose(NASTY)]),
        Beside([Prose(NASTY)]),
    ],
)
def test_texts_of_users_are_shown_as_they_are(block):
    html = page(block)
    assert SHOWN in html
    assert "<script" not in html


def test_texts_of_users_in_titles():
    html = Page(NASTY, NASTY, [Section(NASTY, [])], NASTY).render()
    # The title of the window, the heading, the lead, the section's link and heading, the footer.
    assert html.count(SHOWN) == 6
    assert "<script" not in html


def test_sections_have_links():
    html = page()
    assert re.findall(r'<a href="#(section-\d)">(\w+)</a>', html) == [("section-1", "One"), ("section-2", "Two")]
    assert re.findall(r'<section id="(section-\d)">\s*<h2>(\w+)</h2>', html) == [
        ("section-1", "One"),
        ("section-2", "Two"),
    ]


def test_a_table_without_names_of_columns_has_no_head():
    assert "<thead>" not in page(Table(ShownTable("", ("", ""), [("a", "b")])))
    assert '<thead><tr><th scope="col">x</th>' in page(Table(ShownTable("", ("x", ""), [("a", "b")])))


def draw() -> Figure:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1], [0, 1], color="tab:red", label="a < b")
    figure.axes[0].set_title("$x < y & z")
    figure.axes[0].legend()
    return figure


def test_charts_have_the_colours_of_the_page_and_names_of_their_own():
    first, second = pictures.inline_svg(draw, "first"), pictures.inline_svg(draw, "second")
    assert first.startswith("<svg")
    assert "currentColor" in first
    assert "#010203" not in first
    assert "#d62728" in first  # tab:red
    assert "a &lt; b" in first
    names = [set(re.findall(r'\bid="([^"]*)"', svg)) for svg in (first, second)]
    assert names[0]
    assert not names[0] & names[1]
    for svg, own in zip((first, second), names, strict=True):
        assert set(re.findall(r'(?:href="#|url\(#)([^")]*)', svg)) <= own
    assert pictures.inline_svg(draw, "first") == first  # the same chart is the same text


def decoded(address, kind):
    import base64
    import io

    head, _, content = address.partition(",")
    assert head == f"data:image/{kind};base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_pictures_are_inside_their_addresses():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    np.testing.assert_array_equal(decoded(pictures.png(image), "png"), image)
    even = np.full((16, 24, 3), (200, 40, 90), np.uint8)
    assert np.abs(decoded(pictures.jpeg(even), "jpeg").astype(int) - even).max() <= 3
