"""Tests where flag files are found, and what is wrong with them."""

import pytest

from vgg_keras.training.config import TrainConfig
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.flagfiles import shipped_configs
from vgg_keras.utils.options import parse


def test_flag_files_beside_the_including_one_come_first(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "base.cfg").write_text("--net=B  # a comment, and it's not closed\n\n--data_dir='a b'\n")
    (tmp_path / "mine" / "run.cfg").write_text("--flagfile=base.cfg\n--output_dir=x\n")
    monkeypatch.chdir(tmp_path)
    options = parse(["--flagfile", "mine/run.cfg"], TrainConfig)
    assert (options.net, options.data_dir) == ("B", "a b")


def test_missing_and_circular_flag_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"flag file nowhere\.cfg not found; looked for nowhere\.cfg, "):
        parse(["--flagfile=nowhere.cfg"], TrainConfig)
    (tmp_path / "loop.cfg").write_text("--flagfile=loop.cfg\n")
    with pytest.raises(UserError, match=r"loop\.cfg includes itself"):
        parse(["--flagfile=loop.cfg"], TrainConfig)


def test_the_shipped_configs_are_known_by_their_names():
    assert {"configs/vgg16.cfg", "configs/tables/table3_vgg16.cfg"} <= set(shipped_configs())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"--net=\xe4", "is damaged: it is not UTF-8 text, at byte 6"),
        (b"--data_dir=it's", "cannot be read: No closing quotation"),
    ],
)
def test_flag_files_that_cannot_be_read(content, message, tmp_path):
    (tmp_path / "x.cfg").write_bytes(content)
    (tmp_path / "outer.cfg").write_text("--flagfile=x.cfg\n")
    for name in ("x.cfg", "outer.cfg"):
        with pytest.raises(UserError, match=rf"x\.cfg {message}"):
            parse([f"--flagfile={tmp_path / name}"], TrainConfig)


def test_what_is_no_flag_file(tmp_path):
    for flag, message in (
        ("--flagfile=", "--flagfile is empty"),
        ("--flagfile", "--flagfile is empty"),
        (f"--flagfile={tmp_path}", "is a folder; name a file in it"),
        ("--flagfile=~nobody_of_this_name/x", "not found"),
    ):
        with pytest.raises(UserError, match=message):
            parse([flag], TrainConfig)


def test_a_byte_order_mark_and_lines_of_windows(tmp_path):
    (tmp_path / "x.cfg").write_bytes(b"\xef\xbb\xbf--net=B\r\n--output_dir=x\r\n")
    assert parse([f"--flagfile={tmp_path / 'x.cfg'}"], TrainConfig).net == "B"
