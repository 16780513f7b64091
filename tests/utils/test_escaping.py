"""Tests that texts of users enter each medium as texts, whatever they hold."""

import csv
import doctest
import html
import io
import os
import re

import pytest
from matplotlib.figure import Figure

from vgg_keras.utils import escaping
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.files import write_text

PLAIN = ("rose", "Blüte", "玫瑰 №1", "o'Brien", "woman\u200dheart", "🌹", "a b", "")


def test_the_examples():
    assert doctest.testmod(escaping).failed == 0


@pytest.mark.parametrize("text", PLAIN)
def test_plain_texts_stay_as_they_are(text):
    assert escaping.visible(text) == escaping.storable(text) == escaping.file_text(text) == text
    assert list(csv.reader(io.StringIO(escaping.csv_text(("name", "number"), [(text, -1)]))))[1] == [text, "-1"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\r\n\tb\x00\x7f\x9b", r"a\r\n\tb\x00\x7f\x9b"),
        ("a\u2028b\u2029c\x85", r"a\u2028b\u2029c\x85"),
        ("a\u202egpj.exe\u2066\u2069", r"a\u202egpj.exe\u2066\u2069"),
        (os.fsdecode(b"caf\xe9.jpg"), r"caf\xe9.jpg"),
        ("Bl\udcc3\udcbcte", "Blüte"),  # a name that a system of ASCII gave
        ("half\ud83d", r"half\ud83d"),
        ("a\ufffeb\uffff\ufdd0\U0001ffff", r"a\ufffeb\uffff\ufdd0\U0001ffff"),
    ],
)
def test_texts_that_a_terminal_would_obey(text, expected):
    assert escaping.visible(text) == expected
    assert escaping.visible(expected) == expected
    assert str(UserError(text)) == expected


def test_any_text_can_be_stored(tmp_path):
    write_text(tmp_path / "new" / "text.txt", "Blüte caf\udce9 \ud83d\n")
    assert (tmp_path / "new" / "text.txt").read_bytes() == "Blüte caf\\xe9 \\ud83d\n".encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", r"a\|b"),
        ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)>"),
        ("&lt; R&D", "&amp;lt; R&D"),
        ("[a](http://b)", r"[a\](http://b)"),
        ("![a][b]", r"\![a\][b]"),
        ("*a* `b` ~~c~~ $d$", r"\*a\* \`b\` \~\~c\~\~ \$d\$"),
        ("_a_ snake_case __init__", r"\_a\_ snake_case \_\_init\_\_"),
        ("a\nb\\", r"a\\nb\\"),
        ("[256;512] multi-crop & dense", "[256;512] multi-crop & dense"),
    ],
)
def test_markdown(text, expected):
    assert escaping.markdown(text) == expected


def test_markdown_as_a_site_shows_it():
    render = pytest.importorskip("markdown").markdown
    for text in ("<b>a</b>", "*a* __b__ snake_case", "[a](b) ![c](d)", "`a` ``b``", "&amp; &", "a\\b"):
        shown = render(f"x {escaping.markdown(text)}").replace("<p>x ", "").replace("</p>", "")
        assert html.unescape(shown) == text
        assert "<" not in shown
    for text in ("a`b", "`a", "a``", "a b", "<a>"):
        shown = render(f"x {escaping.markdown_code(text)}")
        assert html.unescape(re.sub("</?(p|code)>", "", shown)) == f"x {text}"
        assert "<code>" in shown


def test_html():
    assert escaping.html("<b>\"'&\n") == "&lt;b&gt;&quot;&#x27;&amp;\\n"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "＝", "＠"])
def test_no_cell_of_a_csv_is_a_formula(start):
    text = escaping.csv_text(("file", "count"), [(f"{start}cmd|' /C calc'!A0", -2), ('a,b\n"c"', 0.5)])
    assert text == f'file,count\n\'{start}cmd|\' /C calc\'!A0,-2\n"a,b\\n""c""",0.5\n'


@pytest.mark.parametrize("text", ["$a", "$a$", r"$\frac{$", "a^2_b", "$5\n$6"])
def test_figures_show_a_dollar(text):
    figure = Figure()
    figure.suptitle(escaping.figure_text(text))
    figure.savefig(io.BytesIO())  # matplotlib reads mathematics when it draws
    assert figure.get_suptitle().replace(r"\$", "$") == text
