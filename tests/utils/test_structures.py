"""Tests that a value that does not have its structure is named by its position, with what it should be."""

import math

import pytest

from vgg_keras.utils.structures import (
    NUMBER,
    SCALAR,
    TEXT,
    TRUTH,
    MapOf,
    Maybe,
    Nullable,
    either,
    find_problem,
    matching,
    number,
    one_of,
    whole,
)


@pytest.mark.parametrize(
    ("value", "structure"),
    [
        ("a", TEXT),
        (3, NUMBER),
        (3.5, NUMBER),
        (0, number(0, 1)),
        (7, whole(7)),
        (True, TRUTH),
        (True, SCALAR),
        (None, Nullable(TEXT)),
        ([], [TEXT]),
        ([1, "a"], (NUMBER, TEXT)),
        ({"a": 1, "other": []}, {"a": NUMBER, "b": Maybe(TEXT)}),
        ({"x": [1], "y": []}, MapOf([whole(1)])),
        ("256,512", matching(r"\d+,\d+", "a pair")),
        ("", either(matching(r"\d+", "digits"), one_of(""))),
    ],
)
def test_what_has_the_structure(value, structure):
    assert find_problem(value, structure) == ""


@pytest.mark.parametrize(
    ("value", "structure", "problem"),
    [
        (1, TEXT, "it is 1, should be a text"),
        (True, NUMBER, "it is true, should be a finite number"),
        ("3", NUMBER, 'it is "3", should be a finite number'),
        (math.nan, NUMBER, "it is NaN, should be a finite number"),
        (math.inf, number(0), "it is Infinity, should be a number of at least 0"),
        (2**63, whole(0), "it is 9223372036854775808, should be a whole number of at least 0"),
        (1.0, whole(0), "it is 1.0, should be a whole number of at least 0"),
        (True, whole(0), "it is true, should be a whole number of at least 0"),
        (1, TRUTH, "it is 1, should be true or false"),
        (1, one_of(True), "it is 1, should be one of true"),
        ("x", one_of("a", "b"), 'it is "x", should be one of "a", "b"'),
        (None, TEXT, "it is null, should be a text"),
        ([], {"a": TEXT}, "it is [], should be a dictionary"),
        ({}, [TEXT], "it is {}, should be a list"),
        ({}, {"a": TEXT}, "it has no a"),
        ({"a": None}, {"a": Maybe(TEXT)}, "a is null, should be a text"),
        ({"a": {"b": [{"c": 1}, {}]}}, {"a": {"b": [{"c": NUMBER}]}}, "a.b[1] has no c"),
        ({"a": [1, 2]}, {"a": (NUMBER,) * 3}, "a is [1, 2], should be a list of 3"),
        ({"x": 1, "y": "b"}, MapOf(NUMBER), 'y is "b", should be a finite number'),
        ("x" * 100, NUMBER, f'it is "{"x" * 59}..., should be a finite number'),
    ],
)
def test_what_does_not(value, structure, problem):
    assert find_problem(value, structure) == problem
