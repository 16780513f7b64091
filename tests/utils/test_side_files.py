"""Tests that damaged side files are refused with one line, and that all readers use the one mechanism."""

import ast
import json
import os
import re

import numpy as np
import pytest

from tests.helpers import import_graph
from tests.helpers.paths import ROOT
from vgg_keras.utils import array_files, side_files
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.resumable_array import ResumableArray
from vgg_keras.utils.structures import NUMBER

STRUCTURE = {"a": NUMBER}


def refused(path, message, read=side_files.read_json):
    arguments = [path] if read is side_files.read_names else [path, STRUCTURE]
    with pytest.raises(UserError, match=rf"^{re.escape(str(path))}{message}; do this$") as caught:
        read(*arguments, "do this")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", " is damaged: it is empty"),
        (b'{"a": 1', r" is damaged: it is no JSON \(.*\)"),
        (b'{"a": 1, "a": 2}', r" is damaged: it is no JSON \(a key appears twice\)"),
        (b"[" * 100_000, r" is damaged: it is no JSON \(.*\)"),
        (b'{"a": ' + b"9" * 10_000 + b"}", r" is damaged: it is no JSON \(.*\)"),
        (b'{"a": 1e999}', " is damaged: a is Infinity, should be a finite number"),
        (b"[]", r" is damaged: it is \[\], should be a dictionary"),
        (b'{"a": "1"}', ' is damaged: a is "1", should be a finite number'),
        (b'{"a": 1, "\xff": 2}', " is damaged: it is not UTF-8 text, at byte 10"),
        (b"\x00\x01", r" is damaged: it is no JSON \(.*\)"),
    ],
)
def test_damaged_json(content, message, tmp_path):
    (tmp_path / "x.json").write_bytes(content)
    refused(tmp_path / "x.json", message)


def test_what_is_no_file(tmp_path):
    refused(tmp_path / "absent", " is missing")
    (tmp_path / "file").touch()
    refused(tmp_path / "file" / "x.json", " is missing")
    refused(tmp_path, " is damaged: it is a folder")
    refused(tmp_path / ("n" * 300), " cannot be read: File name too long")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", " is damaged: it is no regular file")
    (tmp_path / "loop").symlink_to("loop")
    refused(tmp_path / "loop", " cannot be read: .*")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    refused(tmp_path / "large", " is damaged: it has 1,099,511,627,776 bytes, far more than such a file can have")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    (tmp_path / "x.json").write_text("{}")

    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(tmp_path), "read_bytes", denied)
    refused(tmp_path / "x.json", " cannot be read: Permission denied")


def test_a_byte_order_mark_is_dropped(tmp_path):
    (tmp_path / "x.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert side_files.read_json(tmp_path / "x.json", STRUCTURE, "") == {"a": 1}


def test_the_checksum_finds_every_changed_value(tmp_path):
    path, content = tmp_path / "x.json", {"a": 1, "b": (0.1, "ü", None), "c": {"2": True}}
    side_files.write_json(path, content)
    read = side_files.read_json(path, STRUCTURE, "")
    assert read == {"a": 1, "b": [0.1, "ü", None], "c": {"2": True}}  # without the checksum
    text = path.read_text()
    for before, after in (("0.1", "0.2"), ('"a": 1', '"a": 2'), ("true", "false"), ('"2"', '"3"')):
        path.write_text(text.replace(before, after, 1))
        refused(path, " is damaged: its content does not have its checksum")
    # The order of keys and the layout do not matter, and neither does a file that was written without.
    path.write_text(json.dumps(dict(reversed(json.loads(text).items()))))
    assert side_files.read_json(path, STRUCTURE, "") == read


def test_lines_of_json(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2}\n{"a": 3, "b\xff')
    assert side_files.read_json_lines(path, STRUCTURE, "") == [{"a": 1}, {"a": 2}]
    path.write_bytes(b'{"a": 1}\n{"a": \n{"a": 3}\n')
    refused(path, r", line 2, is damaged: it is no JSON \(.*\)", side_files.read_json_lines)
    path.write_bytes(b'{"a": 1}\n\n')
    refused(path, ", line 2, is damaged: it is empty", side_files.read_json_lines)
    path.write_bytes(b'{"a": 1}\n{"a": 2}\n{"a": "3"}\n')
    refused(path, ', line 3, is damaged: a is "3", should be .*', side_files.read_json_lines)


def test_names(tmp_path):
    path = tmp_path / "names.txt"
    path.write_bytes("a b\r\nein\u2028Wort\r\n".encode())
    assert side_files.read_names(path, "") == ["a b", "ein\u2028Wort"]
    path.write_bytes(b"")
    assert side_files.read_names(path, "") == []
    path.write_bytes(b"a\n\nb\n")
    refused(path, " is damaged: line 2 holds no name", side_files.read_names)
    path.write_bytes(b"a\nb\xe4\n")
    refused(path, " is damaged: it is not UTF-8 text, at byte 3", side_files.read_names)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'"])
def test_damaged_arrays(content, tmp_path):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.npz is damaged: it is no file of arrays \(.*\); do this$"):
        array_files.read_arrays(tmp_path / "x.npz", "do this")
    with pytest.raises(UserError, match=r"x\.npz is damaged: it is no array \(.*\); do this$"):
        array_files.open_rows(tmp_path / "x.npz", (2, 3), "do this")


def test_arrays_of_another_kind(tmp_path):
    np.savez(tmp_path / "objects.npz", x=np.array([{}], object))
    with pytest.raises(UserError, match=r"objects\.npz is damaged: it is no file of arrays \(.*pickle"):
        array_files.read_arrays(tmp_path / "objects.npz", "do this")
    for array in (np.zeros((3, 2), np.float32), np.zeros((2, 3)), np.zeros((2, 3), ">f4")):
        np.save(tmp_path / "x.npy", array)
        with pytest.raises(UserError, match=r"x\.npy is of other images"):
            array_files.open_rows(tmp_path / "x.npy", (2, 3), "do this")
    np.save(tmp_path / "x.npy", np.array([{}], object))
    with pytest.raises(UserError, match=r"x\.npy is damaged: it is no array"):
        array_files.open_rows(tmp_path / "x.npy", (2, 3), "do this")


# Readers that take text of another origin than a side file, or check what they read in another way.
ELSEWHERE = {
    "vgg_keras.utils.side_files": "the mechanism itself",
    "vgg_keras.utils.array_files": "the mechanism itself",
    "vgg_keras.utils.verb_list": "reads the package's own sources",
    "vgg_keras.utils.devices": "reads /proc/cpuinfo",
    "vgg_keras.utils.keras_compat": "reads the configuration of a model, in load_model, which explains all errors",
    "vgg_keras.data.imagenet": "reads a file of the package",
    "vgg_keras.models.metadata": "adds a member to a file that was just written",
    "vgg_keras.demo_page.serving": "reads a file of the package",
    "vgg_keras.serving.model_card": "reads a file of the package",
    "vgg_keras.serving.client": "reads the answers of a server",
    "vgg_keras.training.config": "reads flags",
    "vgg_keras.training.progress": "reads a checkpoint, whose errors `restore` explains",
    "vgg_keras.utils.channel": "reads what other workers send",
    "vgg_keras.utils.cluster": "reads an environment variable",
    "vgg_keras.utils.connection": "reads what other workers send",
    "vgg_keras.utils.file_bounds": "reads members of files of weights, whose readers explain all errors",
    "vgg_keras.utils.hardware": "reads what the system tells of its memory",
    "vgg_keras.utils.locks": "leaves a file that no lock wrote as it is",
    "data_prep.beam_options": "reads a flag",
    "data_prep.task_files": "reads what the process that leads sends to its workers, and what they send back",
    "data_prep.croissant": "names what is damaged in its own file, to which its owner may have added",
    "data_prep.parts": "takes a damaged part for an unfinished one",
    "vgg_keras.utils.resumable_array": "maps the checksums of its rows, whatever they are",
    "data_prep.objects": "reads what the process that leads the workers sends",
    "data_prep.voc_action_sets": "reads lists of persons of another origin",
    "data_prep.voc_layout": "reads image sets, which are lists of names of another origin",
    "data_prep.workers": "reads what its own worker processes send",
    "data_prep.unfinished": "refuses a folder without a plan of its own",
    "data_prep.imagenet": "reads a file of tensorflow-datasets",
}
METHODS, FUNCTIONS = {"read_text", "open_memmap"}, {"loads", "load", "loadtxt", "genfromtxt", "fromfile", "memmap"}


def reads(path) -> bool:
    """Returns whether a module calls `json.loads`, `np.load`, `.read_text` or the like."""
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    named = [(getattr(call.value, "id", ""), call.attr) for call in calls if isinstance(call, ast.Attribute)]
    return any(
        (owner != "side_files" and name in METHODS) or (owner in ("json", "np", "pickle") and name in FUNCTIONS)
        for owner, name in named
    )


def test_no_module_reads_a_side_file_in_another_way():
    modules = import_graph.find_modules(ROOT)
    users = {module for module, path in modules.items() if reads(path) and not module.startswith("benchmarks")}
    assert sorted(users - ELSEWHERE.keys()) == []
    assert sorted(ELSEWHERE.keys() - users) == []


def test_a_row_that_was_damaged_is_computed_again(tmp_path):
    path = tmp_path / "rows.npy"
    rows = ResumableArray(path, 4, 3)
    assert rows.pending().all()
    for index in range(3):
        rows.store(index, np.array([index, 0.5, 0.25]))
    rows.flush()
    content = bytearray(path.read_bytes())
    content[-2 * 3 * 4 - 2] ^= 1  # in the last number of the second row
    path.write_bytes(content)
    again = ResumableArray(path, 4, 3)
    assert again.pending().tolist() == [False, True, False, True]
    np.testing.assert_array_equal(again.values()[[0, 2]], [[0, 0.5, 0.25], [2, 0.5, 0.25]])
    (tmp_path / "rows.json").write_text('{"seconds": "1"}')
    with pytest.raises(
        UserError, match=r'rows\.json is damaged: seconds is "1".*; remove it, and it is computed again'
    ):
        ResumableArray(path, 4, 3)
