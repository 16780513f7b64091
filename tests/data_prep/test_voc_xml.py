"""Tests the reading of annotations, sound, wrong, hostile and damaged at random."""

import io

import numpy as np
import pytest

from data_prep import voc_xml
from tests.helpers.annotations import annotation_xml
from tests.helpers.mutations import mutate

# As VOC's own files are: with parts inside an object, which have boxes too.
VOC_FILE = b"""<annotation>
  <folder>VOC2007</folder><filename>000001.jpg</filename>
  <size><width>353</width><height>500</height><depth>3</depth></size>
  <object><name>dog</name><pose>Left</pose><truncated>1</truncated><difficult>0</difficult>
    <bndbox><xmin>48</xmin><ymin>240</ymin><xmax>195</xmax><ymax>371</ymax></bndbox></object>
  <object><name>person</name><difficult>1</difficult>
    <bndbox><xmax>352.5</xmax><xmin>8</xmin><ymin> 12 </ymin><ymax>498</ymax></bndbox>
    <part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part></object>
</annotation>"""


def parse(content):
    return voc_xml.parse(io.BytesIO(content))


def test_a_file_of_voc():
    assert parse(VOC_FILE) == (
        (353, 500),
        [("dog", (240, 48, 371, 195), False, None), ("person", (12, 8, 498, 352.5), True, None)],
    )


@pytest.mark.parametrize("size", [None, (0, 0), (0, 50)])
def test_a_file_without_a_size(size):
    assert parse(annotation_xml([("a", 1, 2, 3, 4)], size)) == ((0, 0), [("a", (2, 1, 4, 3), False, None)])


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        (b"</annotation>", b"", "it is no XML: no element found: line 9, column 0"),
        (VOC_FILE, b"", "it is no XML: no element found"),
        (VOC_FILE, b"\xff\xfe\x00", "it is no XML: "),
        (b"<annotation>", b'<?xml version="1.0" encoding="no-such"?><annotation>', "it is no XML: unknown encoding"),
        (b"annotation>", b"html>", "it is a <html>, should be an <annotation>"),
        (b"<name>dog</name>", b"", "it has no object/name"),
        (b"dog", b" ", "the name of an object is '', should be"),
        (b"dog", b"d\ng", r"the name of an object is 'd\\ng', should be"),
        (b"<xmin>48</xmin>", b"", "it has no object/bndbox/xmin"),
        (b"48", b"", "its object/bndbox/xmin is '', should be a number of pixels"),
        (b"48", b"left", "its object/bndbox/xmin is 'left', should be a number of pixels"),
        (b"48", b"nan", "its object/bndbox/xmin is 'nan', should be a number of pixels"),
        (b"48", b"1e99", "its object/bndbox/xmin is '1e99', should be a number of pixels"),
        (b"353", b"353.5", "its size/width is 353.5, should be a whole number"),
        (b"353", b"-1", "its size/width is -1, should be a whole number"),
        (b"<width>353</width>", b"", "it has no annotation/size/width"),
        (b"48", b"4_8", "its object/bndbox/xmin is '4_8', should be a number of pixels"),
        (b"48", "٤٨".encode(), "its object/bndbox/xmin is '٤٨', should be a number of pixels"),
        (b"</bndbox>", b"</bndbox><bndbox/>", "it has several object/bndbox, should be one"),
        (b"<bndbox>", b"<bndbox><xmin>1</xmin>", "it has several object/bndbox/xmin, should be one"),
        (b"<object>", b"<object><name>cat</name>", "it has several object/name, should be one"),
        (b"<object>", b"<object><difficult>0</difficult><difficult>1</difficult>", "it has several object/difficult"),
        (b"<object>", b"<size/><size/><object>", "it has several annotation/size, should be one"),
        (b"<pose>Left</pose>", b"<actions><a>1</a><a>0</a></actions>", "it has several actions/a, should be one"),
        (b"<annotation>", b'<?xml version="1.0" encoding="gbk"?><annotation>', "it is no XML: multi-byte encodings"),
        (b"<difficult>1", b"<difficult>2", "its object/difficult is '2', should be 0 or 1"),
        (b"<difficult>1", b"<difficult>true", "its object/difficult is 'true', should be 0 or 1"),
        (b"dog", b"d" * 1_000_001, "it has more than 1,000,000 bytes"),
    ],
)
def test_wrong_files(before, after, problem):
    assert before in VOC_FILE
    with pytest.raises(ValueError, match=problem):
        parse(VOC_FILE.replace(before, after))


# Each of the nine names the one before ten times: together a billion letters.
LAUGHS = b"".join(b'<!ENTITY %c "%s">' % (98 + number, b"&%c;" % (97 + number) * 10) for number in range(9))


@pytest.mark.parametrize(
    "declarations",
    [
        b'[<!ENTITY a "aaaaaaaaaa">' + LAUGHS + b"]",
        b'[<!ENTITY j SYSTEM "file:///etc/passwd">]',
        b'SYSTEM "http://localhost/annotation.dtd"',
        b'[<!ATTLIST object kind CDATA "a">]',
    ],
)
def test_no_entity_is_expanded(declarations):
    content = b"<!DOCTYPE annotation " + declarations + b">" + VOC_FILE.replace(b"dog", b"&j;")
    with pytest.raises(ValueError, match=r"^it has a DOCTYPE, which annotations do not need$"):
        parse(content)
    with pytest.raises(ValueError, match="undefined entity"):
        parse(VOC_FILE.replace(b"dog", b"&j;"))


def test_deep_nesting_is_read():
    deep = b"<a>" * 100_000 + b"</a>" * 100_000
    assert parse(VOC_FILE.replace(b"</folder>", b"</folder>" + deep))[0] == (353, 500)


@pytest.mark.parametrize("count", [200, pytest.param(20_000, marks=pytest.mark.fuzz)])
def test_files_damaged_at_random(count):
    rng = np.random.default_rng(0)
    problems = [problem_of(mutate(VOC_FILE, rng)) for _ in range(count)]
    assert "" in problems
    assert not any("\n" in problem for problem in problems)


def problem_of(content):
    """Returns the message about a file, or "" for one that is read, whose numbers are then sound."""
    try:
        size, objects = parse(content)
    except ValueError as error:
        return str(error)
    assert all(isinstance(side, int) and side >= 0 for side in size)
    assert np.isfinite([one.box for one in objects]).all()
    return ""
