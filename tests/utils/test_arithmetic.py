"""Tests the arithmetic of whole numbers."""

import re

import pytest

from tests.helpers import import_graph
from tests.helpers.paths import ROOT
from vgg_keras.utils import arithmetic


def test_quotients_are_rounded_up():
    assert [arithmetic.ceil_divide(dividend, 3) for dividend in (0, 1, 3, 4)] == [0, 1, 1, 2]
    assert arithmetic.ceil_divide(10**30 + 1, 10**15) == 10**15 + 1


@pytest.mark.parametrize(
    ("text", "number"),
    # A superscript two, an Arabic three, and more digits than `int` takes.
    [
        *[("0", 0), ("0042", 42), ("9" * 18, 10**18 - 1)],
        *((text, None) for text in ("", "-1", "1.0", "1_0", " 1", "1\n", "\u00b2", "\u0663", "1" * 5000)),
    ],
)
def test_whole_numbers_are_decimal_digits_alone(text, number):
    assert arithmetic.parse_whole(text) == number


def test_nobody_takes_isdigit_for_the_digits_that_int_reads():
    modules = import_graph.find_modules(ROOT)
    found = [module for module, path in modules.items() if re.search(r"\.is(digit|numeric)\(", path.read_text("utf-8"))]
    assert found == []
