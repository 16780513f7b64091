"""Tests what a run records of its epochs, by reading it back: the history, the curves, TensorBoard's event files."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.helpers.nets import small
from vgg_keras.models.run_record import read_history
from vgg_keras.training import pictures
from vgg_keras.training.event_log import EventLog
from vgg_keras.training.progress import Progress
from vgg_keras.training.run_log import RunLog
from vgg_keras.training.schedules import Plateau
from vgg_keras.utils.errors import explain

pytestmark = pytest.mark.generations


def entry(step, error, complete=True):
    shared = {"epoch": step // 8, "complete": complete, "step": step, "learning_rate": 0.01, "seconds": 2.0}
    scores = {
        f"{split}_{key}": value
        for split in ("training", "validation")
        for key, value in (("loss", error / 50), ("top1_error", error), ("top5_error", error / 4), ("num_images", 60))
    }
    return {**shared, **scores, "validation_cohen_kappa": 0.5}


def read(folder):
    """Reads the event files of both splits: {split: {tag: [(step, value)]}}."""

    def of_split(split):
        events = EventAccumulator(str(folder / split), size_guidance={"tensors": 0}).Reload()
        tags = events.Tags()["tensors"]
        return {
            tag: [(event.step, tf.make_ndarray(event.tensor_proto).tolist()) for event in events.Tensors(tag)]
            for tag in tags
        }

    return {split: of_split(split) for split in ("training", "validation")}


def test_training_and_validation_have_the_same_tags(tmp_path):
    log = EventLog(tmp_path, num_classes=6, last_step=0)
    log.add_step_loss(4, 1.5)
    log.add_epoch(entry(8, 50.0))
    log.add_epoch(entry(16, 25.0))
    events = read(tmp_path)
    shared = {
        "loss": [(8, 1.0), (16, 0.5)],
        "top1_error": [(8, 50.0), (16, 25.0)],
        "top5_error": [(8, 12.5), (16, 6.25)],
    }
    assert events["validation"] == {**shared, "cohen_kappa": [(8, 0.5), (16, 0.5)]}
    assert events["training"] == {
        **shared,
        "step_loss": [(4, 1.5)],
        "learning_rate": [(8, pytest.approx(0.01)), (16, pytest.approx(0.01))],
        "seconds": [(8, 2.0), (16, 2.0)],
    }


def test_of_five_classes_there_is_no_top5_error(tmp_path):
    EventLog(tmp_path, num_classes=5, last_step=0).add_epoch(entry(8, 50.0))
    assert {tag for tags in read(tmp_path).values() for tag in tags if tag.startswith("top")} == {"top1_error"}


def test_pictures(tmp_path):
    log = EventLog(tmp_path, num_classes=6, last_step=0)
    rng = np.random.default_rng(0)
    images, kernel = rng.uniform(-20, 280, (5, 32, 32, 3)), rng.normal(size=(3, 3, 3, 64))
    log.add_training_images(1, images)
    log.add_filters(8, kernel)
    for tag, step, expected, shape in (
        # Three columns of images and a gap of 2; eight columns of filters of 36 pixels and a gap of 6.
        ("augmented_images", 1, pictures.training_image_grid(images), (2 * 34 - 2, 3 * 34 - 2, 3)),
        ("first_filters", 8, pictures.filter_grid(kernel), (8 * 42 - 6, 8 * 42 - 6, 3)),
    ):
        ((found_step, (width, height, png)),) = read(tmp_path)["training"][tag]
        assert (found_step, int(height), int(width)) == (step, *shape[:2])
        np.testing.assert_array_equal(tf.io.decode_png(png), expected)
        assert expected.shape == shape


def test_what_is_written_again_is_removed_first(tmp_path):
    killed = EventLog(tmp_path, num_classes=6, last_step=0)
    for step in range(1, 11):
        killed.add_step_loss(step, float(step))
    killed.add_epoch(entry(8, 50.0))
    (path,) = (tmp_path / "training").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:30])  # killed as it wrote
    resumed = EventLog(tmp_path, num_classes=6, last_step=6)
    for step in range(7, 11):
        resumed.add_step_loss(step, -float(step))
    resumed.flush()
    events = read(tmp_path)
    # Files of the same second are read in any order.
    assert sorted(events["training"]["step_loss"]) == [(step, step if step < 7 else -step) for step in range(1, 11)]
    assert events["validation"] == {}
    # A run that begins anew keeps nothing.
    EventLog(tmp_path, num_classes=6, last_step=0)
    assert read(tmp_path) == {"training": {}, "validation": {}}


def test_a_resumed_run_continues_its_log(tmp_path):
    model = small()
    first = RunLog(tmp_path, model, Progress(Plateau(5)))
    for step, error, better in ((8, 50.0, True), (16, 25.0, True), (24, 30.0, False)):
        first.add_epoch(entry(step, error), better)
    assert [line["step"] for line in read_history(tmp_path)] == [8, 16, 24]
    assert [step for step, _ in read(tmp_path / "tensorboard")["training"]["first_filters"]] == [8, 16]
    kept = tuple(read_history(tmp_path)[:1])
    resumed = RunLog(tmp_path, model, Progress(Plateau(5), epoch=1, step=2, global_step=10, history=kept))
    (tmp_path / "curves.png").unlink()
    resumed.add_epoch(entry(16, 20.0), better=True)
    assert [line["validation_top1_error"] for line in read_history(tmp_path)] == [50.0, 20.0]
    events = read(tmp_path / "tensorboard")
    assert events["validation"]["top1_error"] == [(8, 50.0), (16, 20.0)]
    assert (tmp_path / "curves.png").exists()
    kernel = next(layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)).get_weights()[0]
    assert kernel.shape == (3, 3, 3, 4)
    for step, (_, _, png) in events["training"]["first_filters"]:
        assert step in (8, 16)
        np.testing.assert_array_equal(tf.io.decode_png(png), pictures.filter_grid(kernel))


def test_an_epoch_that_was_not_finished_leaves_the_log_with_its_line(tmp_path):
    model = small()
    first = RunLog(tmp_path, model, Progress(Plateau(5)))
    for step, error in ((8, 50.0), (16, 25.0)):
        first.add_epoch(entry(step, error), better=True)
    first.add_step_loss(20, 1.0)
    first.add_epoch(entry(20, 30.0), better=False)  # the run stopped in the third epoch
    kept = tuple(read_history(tmp_path)[:2])
    resumed = RunLog(tmp_path, model, Progress(Plateau(5), epoch=2, step=4, global_step=20, history=kept))
    resumed.add_epoch(entry(24, 20.0), better=False)
    events = read(tmp_path / "tensorboard")
    assert [step for step, _ in events["validation"]["top1_error"]] == [8, 16, 24]
    assert [step for step, _ in events["training"]["step_loss"]] == [20]
    assert [line["step"] for line in read_history(tmp_path)] == [8, 16, 24]


def test_what_stands_in_the_place_of_the_event_files_is_named(tmp_path):
    (tmp_path / "training").touch()
    with pytest.raises(FileExistsError) as caught:
        EventLog(tmp_path, num_classes=5, last_step=0)
    assert explain(caught.value) == (
        f"{tmp_path}/training: File exists; choose another path, or remove what is in the way"
    )
