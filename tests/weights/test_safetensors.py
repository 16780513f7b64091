"""Tests the format safetensors."""

import json
import re
import struct

import numpy as np
import pytest

from tests.helpers.weight_files import save_safetensors, tiny_state
from vgg_keras.utils.errors import UserError
from vgg_keras.weights import formats, safetensors


def write(path, header, content=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)
    return path


def test_numbers_and_shapes(tmp_path):
    header = {
        "half": {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]},
        "brain": {"dtype": "BF16", "shape": [1, 2], "data_offsets": [4, 8]},
        "count": {"dtype": "I64", "shape": [], "data_offsets": [8, 16]},
        "__metadata__": {"format": "pt"},
    }
    # 1.5 and -2 as float16; 1 and -0.5 as bfloat16, the upper halves of 0x3F800000 and 0xBF000000.
    content = struct.pack("<HH", 0x3E00, 0xC000) + struct.pack("<HH", 0x3F80, 0xBF00) + struct.pack("<q", 7)
    tensors = safetensors.read_tensors(write(tmp_path / "t.safetensors", header, content))
    assert list(tensors) == ["half", "brain", "count"]
    assert tensors["half"].tolist() == [1.5, -2]
    assert (tensors["brain"].tolist(), tensors["brain"].dtype) == ([[1, -0.5]], np.float32)
    assert tensors["count"].tolist() == 7


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({"dtype": "F32", "shape": [2], "data_offsets": [0, 12]}, "w, of shape [2], does not fill the bytes 0 to 12"),
        ({"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}, "w, of shape [4], does not fill the bytes 0 to 16"),
        ({"dtype": "F32", "shape": [-1], "data_offsets": [8, 4]}, "w has the shape [-1] at the bytes 8 to 4"),
        ({"dtype": "F32", "shape": [1e9], "data_offsets": [0, 8]}, "w has the shape [1000000000.0]"),
        ({"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 2**66]}, "w, of shape [4611686018427387904, 4]"),
        ({"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}, "w has numbers of the kind F8_E4M3"),
        ({"shape": [2], "data_offsets": [0, 8]}, "'dtype'"),
        ("text", ""),
    ],
)
def test_descriptions_that_do_not_fit(described, message, tmp_path):
    path = write(tmp_path / "w.safetensors", {"w": described}, bytes(8))
    with pytest.raises(UserError, match=rf"w\.safetensors cannot be read as safetensors: {re.escape(message)}"):
        formats.read_weights(str(path), "A")


@pytest.mark.parametrize("header", [b"{", b"[1]", b"[" * 100_000, b"\xff\xff"])
def test_headers_that_are_damaged(header, tmp_path):
    with pytest.raises(UserError, match=r"w\.safetensors cannot be read as safetensors"):
        formats.read_weights(str(write(tmp_path / "w.safetensors", header, bytes(8))), "A")


def test_tensors_that_share_bytes(tmp_path):
    header = {str(index): {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]} for index in range(9)}
    with pytest.raises(UserError, match="its tensors overlap"):
        formats.read_weights(str(write(tmp_path / "w.safetensors", header, bytes(8))), "A")


def test_the_folder_of_a_hub(tmp_path):
    (tmp_path / "vgg11.tv_in1k").mkdir()
    save_safetensors(tiny_state(), tmp_path / "vgg11.tv_in1k" / "model.safetensors")
    source = formats.read_weights(str(tmp_path / "vgg11.tv_in1k"), "A")
    assert (source.name, source.net, source.input_size) == ("vgg11.tv_in1k", "A", 32)


def test_a_header_longer_than_the_file(tmp_path):
    save_safetensors(tiny_state(), tmp_path / "w.safetensors")
    content = (tmp_path / "w.safetensors").read_bytes()
    for name, damaged in (("long", struct.pack("<Q", 2**63) + content[8:]), ("cut", content[:100]), ("empty", b"")):
        (tmp_path / f"{name}.safetensors").write_bytes(damaged)
        with pytest.raises(UserError, match=rf"{name}\.safetensors cannot be read as safetensors"):
            formats.read_weights(str(tmp_path / f"{name}.safetensors"), "A")
