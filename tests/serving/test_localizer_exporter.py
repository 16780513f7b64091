"""Tests the SavedModel of a localizer against NumPy and Pillow, and what lies beside its graph."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import vgg_keras as vgg
from tests.helpers.evaluation_data import CLASSES, photo
from tests.helpers.localizers import LABELS, center_boxes, save_localizer
from tests.helpers.verbs import call_verb
from vgg_keras import export
from vgg_keras.models import saving
from vgg_keras.serving import localizer_exporter, warmup
from vgg_keras.tasks.options import ExportOptions
from vgg_keras.utils.errors import UserError

PHOTOS = [photo(index, size) for index, size in enumerate([(90, 70), (64, 100), (64, 64), (200, 90), (75, 75)])]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Makes runs scr/ and pcr/ with a model and samples; the second one has a record and a history too."""
    folder = tmp_path_factory.mktemp("runs")
    for kind in ("scr", "pcr"):
        save_localizer(folder / kind / "best.keras", kind)
        (folder / kind / "samples").mkdir()
        for index, encoded in enumerate(PHOTOS):
            (folder / kind / "samples" / f"{index}.jpg").write_bytes(encoded)
    (folder / "pcr" / "run.json").write_text(
        '{"flags": {"train_scale": "64", "data_dir": "f", "train_split": "train"}}'
    )
    entry = {"epoch": 3, "step": 30, "complete": True, "learning_rate": 0.01, "validation_num_images": 80}
    entry |= {f"{split}_{key}": 12.5 for split in ("training", "validation") for key in ("loss", "top1_error")}
    (folder / "pcr" / "history.jsonl").write_text(json.dumps(entry) + "\n")
    return folder


def run(*arguments):
    call_verb(export.main, [str(argument) for argument in arguments], ExportOptions)


@pytest.mark.parametrize(
    ("kind", "scales", "flip"), [("scr", (64, 80), False), ("pcr", (64,), False), ("pcr", (64, 80), True)]
)
def test_the_boxes_of_encoded_photos(runs, tmp_path, kind, scales, flip, capsys):
    flags = [f"--test_scales={','.join(map(str, scales))}", *(["--flip"] if flip else [])]
    run(f"--model={runs / kind}", f"--output_dir={tmp_path / 'models'}", *flags)
    assert "on 5 photos the sides of the boxes differ by " in capsys.readouterr().out
    loaded = tf.saved_model.load(str(tmp_path / "models" / "1"))
    assert list(loaded.signatures) == ["boxes"]
    found = loaded.signatures["boxes"](image_bytes=tf.constant(PHOTOS))
    assert list(found) == ["boxes"]
    model = saving.load_model(runs / kind / "best.keras")
    means = [np.mean([center_boxes(model, encoded, side, flip) for side in scales], axis=0) for encoded in PHOTOS]
    expected = np.clip(means, 0, 1)  # at the photo's border
    assert found["boxes"].shape == (5, 1 if kind == "scr" else 6, 4)
    np.testing.assert_allclose(found["boxes"].numpy(), expected, atol=2e-3)
    card = (tmp_path / "models" / "1" / "assets.extra" / "model_card.md").read_text()
    assert ("averaged with its mirror image" in card) == flip
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image_bytes\[1\] does not decode"):
        loaded.signatures["boxes"](image_bytes=tf.constant([PHOTOS[0], b"text"]))


def test_what_lies_beside_the_graph(runs, tmp_path):
    run(f"--model={runs / 'pcr'}", f"--output_dir={tmp_path / 'flowers'}", "--max_megapixels=3")
    version = tmp_path / "flowers" / "1"
    assert (version / "assets" / "label_names.txt").read_text().splitlines() == LABELS
    extra = version / "assets.extra"
    assert json.loads((extra / "class_indices.json").read_text()) == {name: i for i, name in enumerate(CLASSES)}
    record = json.loads((extra / "export.json").read_text())
    wanted = {"task": "localization", "box_regression": "pcr", "method": "center_crop", "test_scales": [64]}
    assert wanted.items() <= record.items()
    assert record["num_classes"] == 6
    card = (extra / "model_card.md").read_text()
    for text in (
        "# flowers", "| trained on | f, train |",
        "Localization error 12.50% (an IoU of at most 0.5 with the object with the largest area inside the view), the",
        "80 images", "The centre crop, at Q = 64", "3 million pixels", "`boxes` (B, 6, 4) float32",
        "a box for each class", "on 5 photos the sides of the boxes differ by",
    ):  # fmt: skip
        assert text in card, text
    # Four photos alone, then together.
    requests = warmup.read(version, record["warm_up_requests"])
    assert [(one.signature, len(one.inputs["image_bytes"])) for one in requests] == [
        ("boxes", n) for n in (1, 1, 1, 1, 4)
    ]
    alone = np.concatenate([one.expected["boxes"] for one in requests[:4]])
    np.testing.assert_array_equal(alone, requests[4].expected["boxes"])
    with pytest.raises(
        vgg.UserError, match=r"predicts boxes, not classes: .* signature boxes, and load_localizer loads"
    ):
        vgg.load(tmp_path / "flowers")
    with pytest.raises(vgg.UserError, match="holds exported models; give the run or"):
        vgg.load_localizer(tmp_path / "flowers")


def test_a_model_that_differs_from_its_source_is_not_published(runs, tmp_path, monkeypatch):
    def damaged(*arguments, **settings):
        served = original(*arguments, **settings)
        bias = served.variables_of_net[-1]
        bias.assign(bias + 0.01)
        return served

    original = localizer_exporter.ServedLocalizer
    monkeypatch.setattr(localizer_exporter, "ServedLocalizer", damaged)
    with pytest.raises(
        UserError, match=r"a side of a box of the exported model differs by 0\.0\d+ of the photo from the"
    ):
        run(f"--model={runs / 'scr'}", f"--output_dir={tmp_path / 'models'}")
    assert not (tmp_path / "models").exists()


def test_a_photo_too_long_for_memory_is_named(runs, tmp_path):
    Image.new("RGB", (2000, 2)).save(tmp_path / "line.png")
    with pytest.raises(UserError, match=r"photo 1 of the 1 to check the export on is too long and thin \(2000x2\)"):
        run(f"--model={runs / 'scr'}", f"--check_images={tmp_path / '*.png'}", f"--output_dir={tmp_path / 'models'}")


@pytest.mark.parametrize(
    "flag", ["--format=onnx", "--format=tflite", "--method=dense", "--average=posteriors", "--top=3"]
)
def test_flags_for_classifiers_are_refused(runs, tmp_path, flag):
    name = flag.partition("=")[0]
    with pytest.raises(UserError, match=f"^{name}=.* is for models that predict classes; leave it out for one that"):
        run(f"--model={runs / 'scr'}", f"--output_dir={tmp_path / 'models'}", flag)
    assert not (tmp_path / "models").exists()


def test_the_centre_crop_may_be_named(runs, tmp_path):
    run(
        f"--model={runs / 'scr'}", f"--output_dir={tmp_path / 'models'}", "--method=center_crop", "--precision=bfloat16"
    )
    assert (tmp_path / "models" / "1" / "saved_model.pb").exists()
