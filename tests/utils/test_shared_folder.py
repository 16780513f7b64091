"""Tests that a folder which the workers do not share is found; they are threads here."""

from pathlib import Path

from tests.helpers.workers import make_clusters, run_workers
from vgg_keras.utils import shared_folder


def _stop_lines(bodies):
    clusters = make_clusters(len(bodies))
    errors = run_workers(clusters, bodies)
    return [str(error).replace(f"{clusters[0].tasks[1]}: ", "") if error else "" for error in errors]


def test_a_shared_folder_is_recognised_under_another_path(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    folders = [tmp_path / "runs" / "mine", tmp_path / "link" / "mine"]
    bodies = [lambda channel, folder=folder: shared_folder.require_shared_folder(channel, folder) for folder in folders]
    assert _stop_lines(bodies) == ["", ""]
    assert list(folders[0].iterdir()) == []


def test_a_folder_that_is_not_shared_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(shared_folder, "FILE_SYSTEM_DELAY", 0.1)
    (tmp_path / "b").mkdir()
    folders: list[Path] = [tmp_path / "a", tmp_path / "b"]
    bodies = [lambda channel, folder=folder: shared_folder.require_shared_folder(channel, folder) for folder in folders]
    line = f"--output_dir={tmp_path / 'b'} is not the chief's: it must be on a file system that all workers share"
    assert _stop_lines(bodies) == [line, line]
    assert list((tmp_path / "a").iterdir()) == []
