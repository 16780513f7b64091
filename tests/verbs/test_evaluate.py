"""Tests the verb `evaluate`: its files, resuming, fusion, and what it refuses."""

import csv
import json
import shutil
import signal
import time

import keras
import numpy as np
import pytest

from tests.helpers.evaluation_data import CLASSES, SIZES, photo, save_net, write_photos
from tests.helpers.processes import start_verb
from tests.helpers.verbs import call_verb
from vgg_keras import evaluate
from vgg_keras.evaluation import figures, records
from vgg_keras.evaluation.saved_posteriors import SavedPosteriors
from vgg_keras.models import saving
from vgg_keras.tasks.options import EvaluateOptions
from vgg_keras.utils.errors import UserError

OWN_FILES = (
    *("evaluation.json", "report.md", "report.html", "predictions.csv", "mistakes.npz"),
    "pictures/errors_by_class.png",
    *(
        "pictures/confusion_matrix.png",
        "pictures/reliability.png",
        "pictures/mistakes.png",
        "pictures/class_score_maps.png",
    ),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Makes a folder with 24 photos as a data set in data/, and runs of different nets and scales in a/ and b/."""
    folder = tmp_path_factory.mktemp("place")
    images = [photo(index, SIZES[index % len(SIZES)]) for index in range(24)]
    write_photos(images, folder / "data")
    save_net("A", folder / "a", input_size=32, train_scale="48")
    save_net("B", folder / "b", input_size=32, train_scale="32,96", seed=2)
    return folder


def run(place, output_dir, *flags, models=("a",)):
    """Runs the verb in this process on models and data of a folder; returns the record of the evaluation."""
    arguments = [*(f"--model={place / model}" for model in models), f"--data_dir={place / 'data'}"]
    call_verb(evaluate.main, [*arguments, f"--output_dir={output_dir}", *flags], EvaluateOptions)
    return json.loads((output_dir / "evaluation.json").read_text())


def test_each_model_is_loaded_once(place, tmp_path, loaded_files):
    run(place, tmp_path / "e", "--method=both", "--test_scales=48,64", models="ab")
    assert loaded_files == ["best.keras"] * 2


def test_its_numbers_files_and_table(place, tmp_path, capsys):
    record = run(place, tmp_path / "e", "--method=both", "--test_scales=48,64", "--save_posteriors", models="ab")
    rows = [("+".join(row["nets"]), row["method"], row["test_scales"]) for row in record["results"]]
    of_net = [("dense", [48]), ("dense", [64]), ("dense", [48, 64])]
    of_net += [("multi_crop", [48]), ("multi_crop", [64]), ("multi_crop", [48, 64]), ("both", [48, 64])]
    expected = [(net, method, [sides]) for net in "AB" for method, sides in of_net]
    expected += [("A+B", method, [[48, 64]] * 2) for method in ("dense", "multi_crop", "both")]
    assert rows == expected
    last = record["results"][-1]
    lines = list(csv.DictReader((tmp_path / "e" / "predictions.csv").open()))
    wrong = [line for line in lines if line["label"] != line["predicted"]]
    assert (len(lines), len(wrong)) == (last["num_images"], last["top1_mistakes"])
    assert last["num_images"] == 24
    assert 0 < len(wrong) < 24
    assert last["top1_error"] == pytest.approx(100 * len(wrong) / 24)
    assert last["images_per_second"] == pytest.approx(24 / last["seconds"])
    assert sorted(record["confusions"]) == sorted(
        [CLASSES.index(label), CLASSES.index(given), count]
        for label in CLASSES
        for given in CLASSES
        if (count := sum((line["label"], line["predicted"]) == (label, given) for line in lines))
    )
    by_class = {entry["name"]: (entry["images"], entry["top1_mistakes"]) for entry in record["classes"]}
    assert by_class == {name: (4, sum(line["label"] == name for line in wrong)) for name in CLASSES}
    assert (tmp_path / "e").joinpath("report.md").read_text().count("![") == 5
    names = {path.name for path in (tmp_path / "e").iterdir()}
    assert names == {
        *("evaluation.json", "predictions.csv", "mistakes.npz", "report.md", "report.html", "pictures"),
        *("posteriors_1.npz", "posteriors_2.npz"),
    }  # fmt: skip
    printed = capsys.readouterr().out
    assert "multi-crop & dense" in printed
    assert "paper's" not in printed  # whose errors are of other images

    # The saved posteriors give the same fusion without the nets.
    saved = [tmp_path / "e" / f"posteriors_{number}.npz" for number in (1, 2)]
    again = run(place, tmp_path / "f", "--method=both", models=saved)
    assert again["results"][-1] == last


def test_finished_and_foreign_folders(place, tmp_path, capsys):
    first = run(place, tmp_path / "e", "--method=center_crop")
    assert run(place, tmp_path / "e", "--method=center_crop", "--batch_size=3") == first
    assert "holds this evaluation already" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"holds this evaluation without posteriors\.npz; remove the folder"):
        run(place, tmp_path / "e", "--method=center_crop", "--save_posteriors")
    (tmp_path / "e" / "report.md").rename(tmp_path / "report.md")
    with pytest.raises(UserError, match=r"holds this evaluation without report\.md; remove the folder to do it again"):
        run(place, tmp_path / "e", "--method=center_crop")
    (tmp_path / "report.md").rename(tmp_path / "e" / "report.md")
    for flags, models, differing in (
        (["--flip"], "a", "--flip was False, is True"),
        (["--max_images=5"], "a", r"the number of images \(--max_images\) was 24, is 5"),
        (["--test_scales=64"], "a", r"--test_scales was \[48\], is \[64\]"),
        (["--method=dense", "--noflip"], "a", "--method was 'center_crop', is 'dense'"),
        (["--test_scales=48"], "b", f"--model was '{place / 'a/best.keras'}', is '{place / 'b/best.keras'}'"),
        (["--test_scales=48"], "aa", r"the number of models \(--model\) was 1, is 2"),
    ):
        line = rf"holds another evaluation \(.*evaluation\.json: {differing}\); choose another --output_dir$"
        with pytest.raises(UserError, match=line):
            run(place, tmp_path / "e", "--method=center_crop", *flags, models=models)


def test_what_differs_between_two_evaluations():
    models = [{"path": "a", "net": "A", "test_scales": [48], "sha256": "1"}]
    images = {
        "data_set": "x",
        "split": "test",
        "num_images": 3,
        "num_classes": 2,
        "sha256_of_classes_labels_images": "2",
    }
    found = {"settings": {"method": "dense", "flip": True, "average": "scores"}, "images": images, "models": models}
    moved = {**found, "models": [{**models[0], "path": "elsewhere/a"}]}
    assert records.differences(found, found) == records.differences(found, moved) == []
    trained_on = {**found, "models": [{**models[0], "sha256": "3"}]}
    assert records.differences(found, trained_on) == ["--model=a has changed"]
    other_images = {**found, "images": {**images, "sha256_of_classes_labels_images": "3"}}
    line = "the photos, their labels or the classes (--data_dir) are others"
    assert records.differences(found, other_images) == [line]
    before = {key: value for key, value in images.items() if not key.startswith("sha256")}
    earlier = {**found, "images": {**before, "sha256_of_classes_labels_sizes": "2"}}
    line = "an earlier version made it, which did not tell photos of equal sizes apart"
    assert records.differences(earlier, found) == [line]


def test_the_first_images(place, tmp_path):
    record = run(place, tmp_path / "e", "--method=center_crop", "--max_images=7")
    assert record["results"][-1]["num_images"] == record["images"]["num_images"] == 7


def test_the_reports_maps_are_of_the_predicted_and_the_true_class(place, tmp_path, monkeypatch):
    drawn, draw = [], figures.class_score_maps
    monkeypatch.setattr(figures, "class_score_maps", lambda photos: drawn.extend(photos) or draw(photos))
    run(place, tmp_path / "e", "--test_scales=64,48")
    lines = list(csv.DictReader((tmp_path / "e" / "predictions.csv").open()))
    assert len(drawn) > 3
    for index, mapped in enumerate(drawn):
        line = lines[int(mapped.caption.partition(" ")[0].removeprefix("#"))]
        given = f"{line['predicted']} {float(line['posterior_of_predicted']):.2f}, Q = 64, 48"
        true = f"{line['label']} {float(line['posterior_of_label']):.2f}, Q = 64, 48"
        assert mapped.titles[0] == given
        # The first three are mistakes; of the others, which are right, the second map is that of another class.
        assert (line["predicted"] != line["label"]) == (index < 3)
        assert (mapped.titles[1] == true) == (index < 3)
    report = (tmp_path / "e" / "report.md").read_text()
    assert "Net A on whole photos at Q = 64, 48, with mirror images. Each position" in report
    assert "mean of the positions' scores, not of their softmax" in report


@pytest.mark.multiprocess
def test_killed_twice_and_devices_change_nothing(place, tmp_path):
    whole = run(place, tmp_path / "whole", "--method=multi_crop", "--test_scales=48,200", "--save_posteriors")
    flags = [f"--model={place / 'a'}", f"--data_dir={place / 'data'}", "--method=multi_crop", "--test_scales=48,200"]
    flags += ["--output_dir=killed", "--save_posteriors", "--batch_size=5", "--strategy=mirrored", "--cpu_devices=2"]
    rows = tmp_path / "killed" / "partial" / "0_multi_crop_200.npy"
    done = []
    for _ in range(2):
        process = start_verb("vgg_keras.evaluate", *flags, cwd=tmp_path)
        before = sum(done[-1:])
        while not rows.exists() or finished_rows(rows) < before + 3:
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        done.append(finished_rows(rows))
    assert not (tmp_path / "killed" / "evaluation.json").exists()
    assert 3 <= done[0] < done[1] < 24
    process = start_verb("vgg_keras.evaluate", *flags, cwd=tmp_path)
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == 0, stderr
    saved, expected = (
        SavedPosteriors.load(tmp_path / name / "posteriors.npz").by_method["multi_crop"] for name in ("killed", "whole")
    )
    np.testing.assert_allclose(saved, expected, atol=2e-6)
    record = json.loads((tmp_path / "killed" / "evaluation.json").read_text())
    assert record["results"][-1]["top1_mistakes"] == whole["results"][-1]["top1_mistakes"]


def finished_rows(path):
    return int(np.isfinite(np.load(path, mmap_mode="r")).all(axis=1).sum())


def test_other_classes_are_refused(place, tmp_path):
    shutil.copytree(place / "a", tmp_path / "other")
    names = json.dumps({name: index for index, name in enumerate("abXdef")})
    (tmp_path / "other" / "class_indices.json").write_text(names)
    way_out = "name the data set that it was trained on, or a model that was trained on this one"
    with pytest.raises(UserError, match=rf"other classes than the data set: 'X' where that has 'c'; {way_out}"):
        run(place, tmp_path / "e", models=("a", tmp_path / "other"))
    (tmp_path / "other" / "class_indices.json").unlink()
    inputs = keras.Input((32, 32, 3))
    three = keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(inputs))
    saving.save_model(keras.Model(inputs, three), tmp_path / "other" / "best.keras")
    with pytest.raises(UserError, match=r"best\.keras knows 3 classes, the data set has 6"):
        run(place, tmp_path / "e", models=(tmp_path / "other",))


def test_models_that_cannot_be_tested(place, tmp_path):
    inputs = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(inputs))
    outputs = keras.layers.Dense(6, activation="softmax")(pooled)
    keras.Model(inputs, outputs, name="pooled").save(tmp_path / "pooled.keras")
    with pytest.raises(UserError, match="pooled cannot be made fully convolutional: it needs one Flatten layer"):
        run(place, tmp_path / "e", "--test_scales=32", models=(tmp_path / "pooled.keras",))
    # It can be tested on crops, and the report explains why it has no maps.
    run(place, tmp_path / "e", "--test_scales=32", "--method=multi_crop", models=(tmp_path / "pooled.keras",))
    assert "Not drawn: pooled cannot be made" in (tmp_path / "e" / "report.md").read_text()
    with pytest.raises(UserError, match=r"pooled\.keras does not tell the scale .*--test_scales=multi depends"):
        run(place, tmp_path / "f", "--method=center_crop", "--test_scales=multi", models=(tmp_path / "pooled.keras",))
    flat = keras.layers.Flatten()(inputs)
    branched = keras.layers.Add()([keras.layers.Dense(6)(flat), keras.layers.Dense(6)(flat)])
    keras.Model(inputs, branched, name="branched").save(tmp_path / "branched.keras")
    with pytest.raises(UserError, match=r"branched cannot be made .*: it must be a chain of layers, and dense"):
        run(place, tmp_path / "f", "--test_scales=32", models=(tmp_path / "branched.keras",))
    free = keras.Input((None, None, 3))
    keras.Model(free, keras.layers.GlobalAveragePooling2D()(free)).save(tmp_path / "free.keras")
    with pytest.raises(UserError, match=r"free\.keras takes \(None, None, None, 3\); what is tested takes"):
        run(place, tmp_path / "f", "--test_scales=32", models=(tmp_path / "free.keras",))


@pytest.mark.parametrize("scales", ["x", "48,48", "0", "48,", "-3"])
def test_illegible_scales(place, tmp_path, scales):
    with pytest.raises(UserError, match=f"--test_scales={scales} must be different sides in pixels"):
        run(place, tmp_path / "e", f"--test_scales={scales}")


def test_scales_smaller_than_the_net_sees(place, tmp_path):
    with pytest.raises(UserError, match=r"looks at 32x32 pixels; it cannot be tested at Q = 16, 24"):
        run(place, tmp_path / "e", "--test_scales=16,24,32")


def test_missing_things(place, tmp_path):
    with pytest.raises(UserError, match=r"absent is missing; give a \.keras file"):
        run(place, tmp_path / "e", models=("absent",))
    with pytest.raises(UserError, match=r"absent\.npz is missing; compute them again with evaluate --save_posteriors"):
        run(place, tmp_path / "e", models=("absent.npz",))
    with pytest.raises(UserError, match="has no split 'test'; it has train, validation"):
        run(place, tmp_path / "e", "--split=test")
    with pytest.raises(UserError, match=r"split 'validation\[:0\]' is empty"):
        run(place, tmp_path / "e", "--split=validation[:0]")
    (place / "text.npz").write_text("text")
    with pytest.raises(UserError, match=r"text\.npz is damaged: it is no file of arrays"):
        run(place, tmp_path / "e", models=("text.npz",))
    assert not (tmp_path / "e").exists()


def test_saved_posteriors_that_do_not_fit(place, tmp_path):
    run(place, tmp_path / "e", "--save_posteriors")
    saved = (tmp_path / "e" / "posteriors.npz",)
    with pytest.raises(UserError, match=r"posteriors\.npz holds dense, not multi_crop; choose --method so"):
        run(place, tmp_path / "f", "--method=both", models=saved)
    with pytest.raises(UserError, match=r"was computed at Q = \(48,\), --test_scales asks for \(64,\)"):
        run(place, tmp_path / "f", "--test_scales=64", models=saved)
    with pytest.raises(UserError, match="was computed with flip = True, here it would be False"):
        run(place, tmp_path / "f", "--noflip", models=saved)
    with pytest.raises(UserError, match="was computed with average = scores, here it would be posteriors"):
        run(place, tmp_path / "f", "--average=posteriors", models=saved)
    with pytest.raises(UserError, match="is of other images than these"):
        run(place, tmp_path / "f", "--max_images=5", models=saved)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        *(
            (name, f"^--output_dir=.*/e/{name} is one of the inputs, and would overwrite it; choose")
            for name in OWN_FILES
        ),
        (
            "pictures/model.keras",
            "^--output_dir=.*/e/pictures holds one of the inputs, .*/e/model, and would replace it",
        ),
        ("partial/model.keras", "^--output_dir=.*/e/partial holds one of the inputs, .*/e/model, and would replace it"),
    ],
)
def test_a_model_that_would_be_overwritten(name, message, tmp_path):
    model = tmp_path / "e" / name
    model.parent.mkdir(parents=True)
    model.write_bytes(b"model")
    (tmp_path / "e" / "model").symlink_to(model)
    options = EvaluateOptions(model=tmp_path / "e" / "model", data_dir=tmp_path, output_dir=tmp_path / "e")
    with pytest.raises(UserError, match=message):
        options.check_outputs()
    (tmp_path / "e" / "model").unlink()
    model.rename(tmp_path / "model.keras")
    model.hardlink_to(tmp_path / "model.keras")
    options = EvaluateOptions(model=tmp_path / "model.keras", data_dir=tmp_path, output_dir=tmp_path / "e")
    if name in OWN_FILES:
        with pytest.raises(UserError, match=message):
            options.check_outputs()


def test_what_stands_in_the_place_of_a_result_is_told_before_the_work_begins(tmp_path):
    options = EvaluateOptions(model="absent", data_dir="absent", output_dir=tmp_path)
    for name in OWN_FILES:
        (tmp_path / name).mkdir(parents=True)
        with pytest.raises(UserError, match=f"/{name} is a folder, where a file is to be written: move it away, and"):
            options.check_outputs()
        (tmp_path / name).rmdir()
    (tmp_path / "pictures").rmdir()
    for name in ("pictures", "partial"):
        (tmp_path / name).touch()
        with pytest.raises(UserError, match=f"/{name} is a file, where a folder is to be: move it away, and run again"):
            options.check_outputs()
        (tmp_path / name).unlink()
    options.check_outputs()


def test_an_evaluation_writes_what_its_layout_names(place, tmp_path):
    run(place, tmp_path / "e")
    written = {path.relative_to(tmp_path / "e").as_posix() for path in (tmp_path / "e").rglob("*") if path.is_file()}
    assert written == set(OWN_FILES)


def test_broken_records(place, tmp_path):
    shutil.copytree(place / "data", tmp_path / "data")
    (shard,) = (tmp_path / "data").rglob("*validation*tfrecord*")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 255
    shard.write_bytes(content)
    shutil.copytree(place / "a", tmp_path / "a")
    with pytest.raises(
        UserError, match=rf"{shard.name}: record \d+ is damaged: .*; python -m data_prep\.verify --data_dir="
    ):
        run(tmp_path, tmp_path / "e")


def test_a_missing_file_of_records(place, tmp_path):
    shutil.copytree(place / "data", tmp_path / "data")
    (shard,) = (tmp_path / "data").rglob("*validation*tfrecord*")
    shard.unlink()
    shutil.copytree(place / "a", tmp_path / "a")
    with pytest.raises(
        UserError,
        match=rf"missing record files of split 'validation': 1, such as {shard.name}; copy them there, or prepare",
    ):
        run(tmp_path, tmp_path / "e")


def test_an_endless_photo_is_refused_before_the_work(place, tmp_path):
    write_photos([photo(index, size) for index, size in enumerate([(60, 40)] * 6 + [(4000, 2)])], tmp_path / "data")
    shutil.copytree(place / "a", tmp_path / "a")
    # Rescaled to a height of 48 the photo is 96,000 wide: 4.6 million pixels, as many as 4,500 crops of 32x32.
    with pytest.raises(UserError, match=r"is 4000x2: with the smallest side 48 .* 4\.6 million.*--batch_size=4500"):
        run(tmp_path, tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_without_labels_nothing_is_tested(place, tmp_path):
    shutil.copytree(place / "a", tmp_path / "a")
    write_photos([photo(index, (40, 40)) for index in range(6)], tmp_path / "data", label=-1)
    with pytest.raises(UserError, match="split 'validation' has no labels"):
        run(tmp_path, tmp_path / "e")


@pytest.mark.multiprocess
def test_beside_several_workers_it_works_alone_if_it_is_told_to(place, run_verb):
    cluster = {"cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}, "task": {"type": "worker", "index": 0}}
    code, _, stderr = run_verb(
        "vgg_keras.evaluate",
        f"--model={place / 'a'}",
        f"--data_dir={place / 'data'}",
        "--output_dir=e",
        "--strategy=one_device",
        env={"TF_CONFIG": json.dumps(cluster)},
    )
    assert code == 0, stderr
    assert stderr.startswith("TF_CONFIG names 2 workers")


def test_an_evaluator_of_a_cluster_has_nothing_to_do(monkeypatch, tmp_path, capsys):
    cluster = {"cluster": {"worker": ["127.0.0.1:1"]}, "task": {"type": "evaluator", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    call_verb(evaluate.main, ["--model=absent", f"--output_dir={tmp_path / 'e'}"], EvaluateOptions)
    assert "TF_CONFIG makes this task an evaluator, which has nothing to do" in capsys.readouterr().out


def test_a_cluster_of_one_is_asked_for_where_there_is_none(place, tmp_path):
    with pytest.raises(UserError, match="--strategy=multi_worker needs a Slurm step of several tasks, or the env"):
        run(place, tmp_path / "e", "--strategy=multi_worker")
