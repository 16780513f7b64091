"""Tests that a run resumes from its newest whole checkpoint, with history and best model, and is never begun anew."""

import dataclasses
import errno
import gc
import hashlib
import json
import logging
import shutil
import tempfile
import threading
from unittest.mock import Mock

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.nets import small
from tests.helpers.paths import TINY_CONFIG
from tests.helpers.runs import assert_same_weights, history
from vgg_keras.models import checkpoint_files, run_record
from vgg_keras.models.run_record import read_history
from vgg_keras.tasks import training
from vgg_keras.training import checkpoints, resuming
from vgg_keras.training.config import TrainConfig
from vgg_keras.training.optimizers import OptimizerConfig, make_optimizer
from vgg_keras.training.progress import Progress
from vgg_keras.training.schedules import Plateau
from vgg_keras.utils import console, files, stopping
from vgg_keras.utils.errors import UserError, explain
from vgg_keras.utils.options import parse

pytestmark = pytest.mark.generations


def test_what_a_killed_process_left_of_a_checkpoint_is_removed(tmp_path):
    for name in ("ckpt-1.index", "ckpt-1.data-00000-of-00001", "ckpt-2.data-00000-of-00001"):
        (tmp_path / name).touch()
    for folder in ("ckpt-3_temp", "ckpt-5_temp", "my_temp"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "part-00000-of-00001.index").touch()
    for name in (
        ".ckpt-6.incomplete.json",
        ".best-6.incomplete.keras",
        ".checkpoint.incomplete",
        "ckpt-6.index.tempstate7",
    ):
        (tmp_path / name).touch()
    # Files of the user, whatever their names resemble.
    users = (
        "ckpt-5_temp/notes",
        ".notes.incomplete.txt",
        "mine.data-00000-of-00001",
        "ckpt-07.data-00000-of-00001",
        "a.tempstate",
    )
    for name in users:
        (tmp_path / name).touch()
    # What is left of a checkpoint that was whole once stays: the missing file may come back from a copy.
    for name in ("ckpt-4.data-00000-of-00001", "ckpt-4.json"):
        (tmp_path / name).touch()
    checkpoint_files.remove_unfinished(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {
        "ckpt-1.data-00000-of-00001",
        "ckpt-1.index",
        "ckpt-4.data-00000-of-00001",
        "ckpt-4.json",
        "my_temp/part-00000-of-00001.index",
        *users,
    }
    assert not (tmp_path / "ckpt-3_temp").exists()


def _checkpoints(run, value, **arguments):
    model = small(width_multiplier=1 / 64)
    model.set_weights([np.full_like(weights, value) for weights in model.get_weights()])
    optimizer = make_optimizer(OptimizerConfig("sgd", 1e-3), model.trainable_variables)
    progress = Progress(Plateau(patience=5))
    return checkpoints.Checkpoints(run, model, [optimizer], progress, **arguments), model, progress


def _save(saved, progress, write_best=None):
    """Saves a checkpoint, and waits until it is on the disk."""
    with saved.writer:
        saved.save(progress, write_best)


def _restore(run, saved=None):
    """Restores a run's newest whole checkpoint, and its folder to that moment; returns the progress."""
    saved = saved or _checkpoints(run, 0.0)[0]
    progress = saved.restore(resuming.choose(run))
    saved.mend()
    return progress


def test_checkpoints_keep_the_names_by_which_earlier_versions_saved_them(tmp_path):
    saved, _, progress = _checkpoints(tmp_path, 1.0)
    _save(saved, progress)
    names = {name.partition("/")[0] for name, _ in tf.train.list_variables(str(tmp_path / "checkpoints" / "ckpt-0"))}
    assert names == {"model", "optimizers", "progress", "_CHECKPOINTABLE_OBJECT_GRAPH"}
    assert tf.train.latest_checkpoint(str(tmp_path / "checkpoints")) == str(tmp_path / "checkpoints" / "ckpt-0")


def test_what_is_saved_already_is_not_written_again(tmp_path):
    saved, _, progress = _checkpoints(tmp_path, 1.0)
    _save(saved, progress)
    path = tmp_path / "checkpoints" / "ckpt-0.index"
    before = path.stat().st_mtime_ns
    _save(saved, progress)
    restored, *_ = _checkpoints(tmp_path, 0.0)
    _save(restored, _restore(tmp_path, restored))
    assert path.stat().st_mtime_ns == before
    _save(saved, dataclasses.replace(progress, epoch=1))
    assert path.stat().st_mtime_ns > before


@pytest.mark.parametrize("name", ["run [1]", "run*", "what?", "a\\b"])
def test_a_folder_may_have_a_name_that_tensorflow_takes_for_a_pattern(name, tmp_path):
    saved, _, progress = _checkpoints(tmp_path / name, 0.25)
    _save(saved, progress)
    restored, model, _ = _checkpoints(tmp_path / name, 0.0)
    assert _restore(tmp_path / name, restored) == progress
    assert all((weights == 0.25).all() for weights in model.get_weights())


@pytest.fixture
def slow_disk(monkeypatch):
    """An event for which every file waits before it is written."""
    event, write = threading.Event(), files.write_atomically

    def write_later(path, content):
        event.wait()
        write(path, content)

    monkeypatch.setattr(files, "write_atomically", write_later)
    return event


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path, slow_disk):
    saved, model, progress = _checkpoints(tmp_path, 0.25)
    with saved.writer:
        saved.save(progress)
        assert saved.saved_step == 0
        assert list(tmp_path.rglob("*ckpt*")) == []
        model.set_weights([np.full_like(weights, 7.0) for weights in model.get_weights()])
        slow_disk.set()
    restored, model, _ = _checkpoints(tmp_path, 0.0)
    assert _restore(tmp_path, restored) == progress
    assert all((weights == 0.25).all() for weights in model.get_weights())


def test_a_run_learns_only_of_checkpoints_that_are_on_the_disk(tmp_path, slow_disk):
    saved, _, progress = _checkpoints(tmp_path, 1.0)
    with saved.writer:
        saved.save(dataclasses.replace(progress, global_step=8))
        assert saved.saved_step == 0
        slow_disk.set()
    assert saved.saved_step == 8


def test_a_checkpoint_that_is_abandoned_leaves_nothing(tmp_path, slow_disk):
    saved, _, progress = _checkpoints(tmp_path, 1.0)

    def save_and_stop():
        with saved.writer:
            saved.save(progress)
            threading.Timer(0.1, slow_disk.set).start()
            raise stopping.Stopped(15)

    with pytest.raises(stopping.Stopped):
        save_and_stop()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert saved.saved_step == 0


def test_a_full_disk_ends_the_run(tmp_path, drawn_data, monkeypatch):
    write = files.write_atomically

    def write_or_fail(path, content):
        if path.name == "ckpt-3.index":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, content)

    monkeypatch.setattr(files, "write_atomically", write_or_fail)
    with pytest.raises(OSError, match="No space left on device") as caught:
        training.train_model(_options(tmp_path / "run", drawn_data))
    assert explain(caught.value).startswith("the disk is full")
    # The next checkpoint, of step 6, has waited for that of step 3, if the error was not seen before.
    assert checkpoint_files.newest_whole(tmp_path / "run" / "checkpoints") == (0, [])


def test_a_worker_that_is_not_the_chief_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    saved, _, progress = _checkpoints(tmp_path, 1.0, chief=False)
    _save(saved, dataclasses.replace(progress, global_step=8))
    assert saved.saved_step == 8
    assert list(tmp_path.iterdir()) == []


_SCORES = {f"{split}_{key}": 2.0 for split in ("training", "validation") for key in ("loss", "top1_error")}
_ENTRY = {"complete": True, "learning_rate": 0.01, "seconds": 1.0, "images_per_second": 8.0, **_SCORES}


@pytest.fixture
def tensorflow_log(caplog):
    """The warnings of TensorFlow."""
    logger = logging.getLogger("tensorflow")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def test_a_checkpoint_of_an_earlier_version_is_read_and_checked(tmp_path, tensorflow_log):
    # Earlier versions wrote no manifest, counted the lines of the history instead of keeping them, and counted the
    # checkpoints.
    saved, model, progress = _checkpoints(tmp_path, 0.25)
    saved._progress.value = progress
    saved._progress.serialize = lambda: json.dumps(
        {**{key: value for key, value in plain.items() if key not in ("history", "best_step")}, "history_lines": 1}
    )
    plain = {**dataclasses.asdict(progress), "global_step": 8}
    lines = [{**_ENTRY, "epoch": epoch, "step": 8 * epoch} for epoch in (1, 2)]
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "checkpoints").mkdir()
    assert saved._checkpoint.save_counter == 0  # which makes it
    saved._checkpoint.write(str(tmp_path / "checkpoints" / "ckpt-8"))
    assert "save_counter/.ATTRIBUTES/VARIABLE_VALUE" in dict(
        tf.train.list_variables(str(tmp_path / "checkpoints" / "ckpt-8"))
    )
    restored, model, _ = _checkpoints(tmp_path, 0.0)
    assert _restore(tmp_path, restored).history == (lines[0],)
    assert all((weights == 0.25).all() for weights in model.get_weights())
    del restored
    gc.collect()  # which lets TensorFlow tell of what it found no object for
    assert not tensorflow_log.text
    data = tmp_path / "checkpoints" / "ckpt-8.data-00000-of-00001"
    _flip(data)
    with pytest.raises(UserError, match=r"no checkpoint of .* is whole \(ckpt-8: its files are damaged"):
        resuming.choose(tmp_path)


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-7])


def _empty(path):
    path.write_bytes(b"")


def _remove(path):
    path.unlink()


def _garbage(path):
    path.write_bytes(b"\x80garbage\xff" * 20)


_DAMAGE = (_flip, _cut, _empty, _remove, _garbage)


def _options(folder, data, *flags):
    common = [f"--flagfile={TINY_CONFIG}", "--epochs=3", "--learning_rate=1e-2", "--checkpoint_every=3"]
    return parse([*common, "--resume", f"--data_dir={data}", f"--output_dir={folder}", *flags], TrainConfig)


def _resume(run, data, capfd, *flags):
    """Resumes a run; returns what it prints to stdout and stderr."""
    with console.speaking(True):
        training.train_model(_options(run, data, *flags))
    return capfd.readouterr()


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory, drawn_data):
    """A finished run of three epochs of eight steps, whose checkpoints are those of the steps 19, 22 and 24."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    training.train_model(_options(folder, drawn_data))
    return folder


@pytest.fixture
def run(whole_run, tmp_path):
    """A copy of the run."""
    return shutil.copytree(whole_run, tmp_path / "run")


def test_a_checkpoint_is_its_files_and_the_best_model_of_that_moment(whole_run):
    folder = whole_run / "checkpoints"
    assert checkpoint_files.steps(folder) == [24, 22, 19]
    for key in ("validation_top1_error", "validation_loss"):
        values = [entry[key] for entry in read_history(whole_run)]
        assert values == sorted(values, reverse=True)  # so that each epoch has the best model so far
    for step, best in ((24, 24), (22, 16), (19, 16)):
        manifest = json.loads((folder / f"ckpt-{step}.json").read_text())
        names = {f"ckpt-{step}.index", f"ckpt-{step}.data-00000-of-00001", f"best-{best}.keras"}
        assert manifest["files"] == {
            name: {
                "bytes": (folder / name).stat().st_size,
                "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
            }
            for name in names
        }
    assert (folder / "best-24.keras").read_bytes() == (whole_run / "best.keras").read_bytes()


def test_the_best_model_goes_back_with_the_checkpoint(run, drawn_data, capfd):
    _empty(run / "checkpoints" / "ckpt-24.index")
    told = _resume(run, drawn_data, capfd, "--max_steps=22")  # those of ckpt-22, so that nothing is trained
    assert (run / "best.keras").read_bytes() == (run / "checkpoints" / "best-16.keras").read_bytes()
    assert "it is replaced by the best model of the checkpoint, that of step 16" in told.err


def test_a_best_model_that_is_newer_than_the_checkpoint_is_removed(tmp_path, capfd):
    saved, _, progress = _checkpoints(tmp_path, 1.0)
    _save(saved, progress)
    better = dataclasses.replace(progress, global_step=8, best_error=50.0, best_loss=1.0, best_step=8)
    _save(saved, better, lambda path: path.write_bytes(b"the model of step 8"))
    assert _restore(tmp_path) == better
    assert (tmp_path / "best.keras").read_bytes() == b"the model of step 8"
    _flip(tmp_path / "checkpoints" / "ckpt-8.index")
    with console.speaking(True):
        assert _restore(tmp_path) == progress
    assert not (tmp_path / "best.keras").exists()
    assert f"{tmp_path}/best.keras was of a later epoch than the checkpoint and is removed" in capfd.readouterr().err


@pytest.mark.parametrize("damage", _DAMAGE)
@pytest.mark.parametrize("suffix", ["index", "data-00000-of-00001", "json"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(damage, suffix, run, capsys):
    folder = run / "checkpoints"
    damage(folder / f"ckpt-24.{suffix}")
    found, problems = checkpoint_files.newest_whole(folder)
    if suffix == "json" and damage is _remove:
        # Without its manifest a checkpoint is read by TensorFlow, which knows checksums of its own.
        assert (found, problems) == (24, [])
        return
    assert found == 22
    assert len(problems) == 1
    assert problems[0].startswith("ckpt-24: ckpt-24.")


def test_a_run_that_goes_back_ends_as_it_would_have(run, whole_run, drawn_data, capfd):
    _flip(run / "checkpoints" / "ckpt-24.data-00000-of-00001")
    _cut(run / "checkpoints" / "ckpt-22.index")
    told = _resume(run, drawn_data, capfd)
    assert "ckpt-24.data-00000-of-00001 is damaged: its checksum is wrong; going back to ckpt-19" in told.err
    assert "ckpt-22.index has" in told.err
    assert "continuing at epoch 3, step 19" in told.out
    assert history(run) == history(whole_run)
    assert_same_weights(run, whole_run)
    assert checkpoint_files.steps(run / "checkpoints") == [24, 22, 19]
    assert checkpoint_files.newest_whole(run / "checkpoints") == (24, [])


def _contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Files of a user in a run's folder; some have names as those that the package removes.
_USERS_FILES = (
    "notes.txt",
    ".notes.incomplete.txt",
    "checkpoints/notes.txt",
    "checkpoints/my_temp/f",
    "checkpoints/best-mine.keras",
    "checkpoints/mine.data-00000-of-00001",
    "checkpoints/.notes.incomplete.txt",
    "samples/mine.jpg",
    "tensorboard/notes.txt",
)


def _add_users_files(run):
    for name in _USERS_FILES:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("mine")


def _break_all_data(run):
    for path in (run / "checkpoints").glob("ckpt-*.data-*"):
        _empty(path)
    _flip(run / "checkpoints" / "best-24.keras")  # of which best.keras is a whole copy


def _remove_all_but_data(run):
    for path in (run / "checkpoints").glob("ckpt-*"):
        if path.suffix in (".index", ".json"):
            path.unlink()


def _remove_all_but_data_and_no_model_yet(run):
    _remove_all_but_data(run)
    for path in (*run.rglob("best*.keras"), run / "history.jsonl"):
        path.unlink()


def _remove_all(run):
    shutil.rmtree(run / "checkpoints")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_break_all_data, r"no checkpoint of .*run is whole \(ckpt-24: .* has 0 bytes instead of"),
        (_remove_all_but_data, r"no checkpoint of .*run is whole \(ckpt-24: its index is missing; ckpt-22: "),
        (_remove_all_but_data_and_no_model_yet, r"no checkpoint of .*run is whole \(ckpt-24: its index is missing"),
        (_remove_all, "holds a run without checkpoints, which cannot be resumed"),
    ],
)
def test_a_run_without_a_whole_checkpoint_is_refused_and_left_as_it_is(damage, message, run, monkeypatch):
    damage(run)
    _add_users_files(run)
    before = _contents(run)
    drawn = Mock()
    monkeypatch.setattr(training, "write_synthetic_flowers", drawn)
    # Other flags, which run.json must not hold, and no data, which are drawn where they are missing.
    with pytest.raises(UserError, match=message):
        training.train_model(_options(run, "", "--epochs=4"))
    assert _contents(run) == before
    assert not drawn.called


def test_a_resume_leaves_the_files_of_the_user_alone(run, drawn_data):
    _add_users_files(run)
    training.train_model(_options(run, drawn_data, "--epochs=4"))
    assert checkpoint_files.steps(run / "checkpoints") == [32, 30, 27]  # older ones are removed, and only those
    assert {name: (run / name).read_text() for name in _USERS_FILES} == dict.fromkeys(_USERS_FILES, "mine")


def test_what_a_kill_left_of_the_first_checkpoint_does_not_keep_a_run_from_beginning(tmp_path):
    saved, _, progress = _checkpoints(tmp_path, 1.0)
    _save(saved, progress)
    for suffix in ("index", "json"):
        (tmp_path / "checkpoints" / f"ckpt-0.{suffix}").unlink()
    assert resuming.choose(tmp_path) == ""


def test_an_unfinished_checkpoint_is_no_damaged_one(run, capfd):
    (run / "checkpoints" / "ckpt-27.data-00000-of-00001").touch()
    with console.speaking(True):
        assert resuming.choose(run) == "24"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize("name", [*run_record.FILES, *run_record.FOLDERS])
def test_what_stands_in_the_place_of_a_file_or_a_folder_is_named(name, resumed, run, drawn_data):
    if not resumed:
        shutil.rmtree(run)
    path = run / name
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir() if name in run_record.FILES else path.touch()
    before = _contents(run)
    what = "a folder, where a file is to be" if name in run_record.FILES else "a file, where a folder is to be"
    with pytest.raises(UserError, match=f"^{path} is {what}"):
        training.train_model(_options(run, drawn_data))
    assert _contents(run) == before


_CHECKPOINT_FILES = (
    "ckpt-24.json",
    "ckpt-24.index",
    "ckpt-99.data-00000-of-00001",
    "best-8.keras",
    ".ckpt-27.incomplete.json",
)


@pytest.mark.parametrize("name", _CHECKPOINT_FILES)
def test_a_folder_in_the_place_of_a_file_of_a_checkpoint_is_named(name, run, drawn_data):
    path = run / "checkpoints" / name
    path.unlink(missing_ok=True)
    path.mkdir()
    before = _contents(run)
    with pytest.raises(UserError, match=f"^{path} is a folder, where a file is to be"):
        training.train_model(_options(run, drawn_data, "--epochs=4"))
    assert _contents(run) == before


def test_a_file_in_the_place_of_tensorflows_folder_is_named(run, drawn_data):
    (run / "checkpoints" / "ckpt-27_temp").touch()
    with pytest.raises(UserError, match="ckpt-27_temp is a file, where a folder is to be"):
        training.train_model(_options(run, drawn_data, "--epochs=4"))


@pytest.mark.parametrize("content", [None, b"", b"\x80garbage\xff"])
def test_the_file_that_names_the_newest_checkpoint_is_not_needed(content, run):
    path = run / "checkpoints" / "checkpoint"
    path.unlink() if content is None else path.write_bytes(content)
    assert checkpoint_files.newest_whole(run / "checkpoints") == (24, [])


@pytest.mark.parametrize("damage", _DAMAGE)
def test_best_model_and_history_are_brought_back(damage, run, whole_run, drawn_data, capfd):
    damage(run / "best.keras")
    damage(run / "history.jsonl")
    told = _resume(run, drawn_data, capfd)
    assert "nothing left to do: the run has ended" in told.out
    assert "best.keras" in told.err
    assert "history.jsonl is missing or damaged; it is that of the checkpoint again" in told.err
    assert (run / "best.keras").read_bytes() == (whole_run / "best.keras").read_bytes()
    assert history(run) == history(whole_run)


def test_a_damaged_copy_of_the_best_model_is_replaced_by_the_best_model(run, whole_run, drawn_data):
    copy = run / "checkpoints" / "best-24.keras"
    _flip(copy)
    training.train_model(_options(run, drawn_data))
    assert copy.read_bytes() == (run / "best.keras").read_bytes() == (whole_run / "best.keras").read_bytes()


def test_a_new_flag_makes_no_other_run(run, drawn_data):
    record = run / "run.json"
    content = json.loads(record.read_text())
    del content["flags"]["cache_side"]  # as if it were newer than the run
    record.write_text(json.dumps(content))
    training.train_model(_options(run, drawn_data))
    with pytest.raises(UserError, match="--seed was 0, is 3"):
        training.train_model(_options(run, drawn_data, "--seed=3"))
