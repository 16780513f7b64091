"""Tests the verb `features`: descriptors against NumPy and Pillow, and the linear SVM on points that a line divides."""

import json
import re

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.helpers.descriptors import expected_descriptors, expected_of_layers
from tests.helpers.evaluation_data import CLASSES, SIZES, encoded_images, photo, save_net, write_photos
from tests.helpers.verbs import call_verb
from vgg_keras import features
from vgg_keras.data import datasets
from vgg_keras.evaluation import linear_svm
from vgg_keras.tasks import description
from vgg_keras.tasks.features_options import FeaturesOptions
from vgg_keras.utils.errors import UserError


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Makes a folder with 18 photos as a data set in data/, and runs in a/ and b/."""
    folder = tmp_path_factory.mktemp("features")
    write_photos([photo(index, SIZES[index % len(SIZES)]) for index in range(18)], folder / "data")
    save_net("A", folder / "a")
    save_net("B", folder / "b", input_size=32, train_scale="48", seed=2)
    return folder


def run(place, output, *flags, models="a"):
    arguments = [f"--data_dir={place / 'data'}", f"--output={output}", "--train_split=validation"]
    arguments += [f"--model={place / model}" for model in models]
    call_verb(features.main, [*arguments, *flags], FeaturesOptions)
    with np.load(output) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("combine", ["average", "stack"])
def test_descriptors_against_numpy_and_pillow(combine, place, tmp_path):
    arrays = run(place, tmp_path / "f.npz", "--test_scales=64,80", f"--combine={combine}")
    data = datasets.open_data(str(place / "data"))
    model = save_net("A", tmp_path / "same")
    rows = expected_descriptors(model, encoded_images(data), (64, 80), combine)
    assert arrays["features_validation"].shape == (18, 256 if combine == "average" else 512)
    np.testing.assert_allclose(arrays["features_validation"], rows, atol=1e-4)
    assert rows.std(axis=0).max() > 0.01
    np.testing.assert_allclose(np.linalg.norm(arrays["features_train"], axis=1), 1, rtol=1e-5)
    assert arrays["label_names"].tolist() == CLASSES
    assert arrays["labels_train"].tolist() == [int(name.removesuffix(".jpg")) % 6 for name in arrays["files_train"]]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("f")] == ["f.npz"]


@pytest.mark.parametrize("power", ["linear", "sqrt"])
def test_several_layers_against_numpy_and_pillow(power, place, tmp_path):
    layers = ("block3_conv2", "block5_conv1", "fc7")
    arrays = run(place, tmp_path / "f.npz", "--test_scales=64,80", f"--layer={','.join(layers)}", f"--power={power}")
    images = encoded_images(datasets.open_data(str(place / "data")))
    rows = expected_of_layers(save_net("A", tmp_path / "same"), images, (64, 80), layers, power)
    assert arrays["features_validation"].shape == rows.shape
    np.testing.assert_allclose(arrays["features_validation"], rows, atol=1e-4)


@pytest.mark.parametrize("layer", ["fc7,", "fc7,fc7", ","])
def test_a_layer_twice_or_without_a_name(layer, place, tmp_path):
    with pytest.raises(UserError, match=f"--layer={layer} must be a layer, or different ones with commas"):
        run(place, tmp_path / "f.npz", f"--layer={layer}")


def test_two_nets_are_stacked(place, tmp_path):
    a, b, both = (
        run(place, tmp_path / f"{models}.npz", models=models)["features_train"] for models in ("a", "b", "ab")
    )
    np.testing.assert_allclose(both, np.concatenate([a, b], axis=1) / np.sqrt(2), atol=1e-6)


def test_the_linear_svm(place, tmp_path, capsys):
    rng = np.random.default_rng(0)
    # A line divides the two classes. Of the eight test points one labelled 0 and one labelled 1 are on the wrong side.
    points = np.concatenate([rng.normal((-3, 0), 0.3, (20, 2)), rng.normal((3, 0), 0.3, (20, 2))])
    labels = np.repeat([0, 1], 20)
    tests = np.array([[-3.0, 0]] * 5 + [[3.0, 0], [3.0, 0], [-3.0, 0]])
    result = linear_svm.fit_and_test(points, labels, tests, np.array([0, 0, 0, 0, 0, 0, 1, 1]))
    # Five of six points labelled 0 are found, and one of two labelled 1.
    assert result.mean_class_recall == pytest.approx(100 * (5 / 6 + 1 / 2) / 2)
    assert result.top1_error == pytest.approx(25.0)
    assert (result.num_training_images, result.num_images) == (40, 8)
    assert result.cross_validation_error == pytest.approx(0)
    # One of the forty training points gets the wrong label: the fit on the other folds contradicts it.
    labels[0] = 1
    noisy = linear_svm.fit_and_test(points, labels, tests, np.array([0, 0, 0, 0, 0, 0, 1, 1]))
    assert noisy.cross_validation_error == pytest.approx(100 / 40)
    labels[0] = 0
    run(place, tmp_path / "f.npz", "--classifier")
    record = json.loads((tmp_path / "f.json").read_text())
    # The SVM is tested on its own training images: the error has to be far below that of chance, 83.3%.
    assert record["top1_error"] < 50
    assert "linear SVM (C = " in capsys.readouterr().out
    with pytest.raises(UserError, match=r"needs training images of two classes or more; all of them are of class 0$"):
        linear_svm.fit_and_test(points[:20], labels[:20], tests, np.zeros(8, int))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 1], "needs training images of two classes or more; all of them are of dog"),
        # A class that no training image has is never predicted.
        ([0, 0, 1, 2, 2], "needs two training images of each class or more; there is one of dog"),
        ([[0, 1, 0], [0, 1, 1], [1, 1, 1], [1, 0, 0]], "without it: add some for dog (3 with, 1 without)"),
        # A difficult image is neither with nor without.
        (
            [[0, 1, 0], [0, 1, 1], [0, -1, 1], [0, 0, 0]],
            "without it: add some for cat (0 with, 4 without), dog (2 with, 1 without)",
        ),
        ([[0] * 5] * 2, "cat (0 with, 2 without), dog (0 with, 2 without), pig (0 with, 2 without) and 2 more"),
    ],
)
def test_classes_of_too_few_images_are_named(labels, message):
    with pytest.raises(UserError, match=re.escape(message)):
        linear_svm.require_learnable(np.array(labels), ["cat", "dog", "pig", "cow", "hen"])


def test_classes_of_two_images_can_be_learned():
    assert linear_svm.require_learnable(np.array([0, 0, 2, 2, 2]), ["cat", "dog", "pig"]) == 2
    assert linear_svm.require_learnable(np.array([[0], [1], [0], [1], [-1]])) == 2
    assert linear_svm.require_learnable(np.repeat([0, 1], 20)) == 5


def test_too_few_images_are_told_before_the_descriptors(place, tmp_path, monkeypatch):
    monkeypatch.setattr(description, "describe", lambda *_: pytest.fail("descriptors are computed"))
    with pytest.raises(UserError, match=r"^--train_split=validation: a linear SVM needs two training images of each"):
        run(place, tmp_path / "f.npz", "--classifier", "--max_images=7")


# A fold without any image of a label must not count as perfect, of which scikit-learn would warn.
@pytest.mark.filterwarnings("error::UserWarning:sklearn")
def test_images_with_several_labels(place, tmp_path):
    red, green = (np.full((70, 90, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 255, 0)))
    patterned = {index: photo(index, (80, 96)) for index in range(8)}
    # Two labels; the images have either, both or none.
    records = [(index, {"image": patterned[index], "labels": [[], [1], [0], [0, 1]][index % 4]}) for index in range(8)]
    records += [(8, {"image": red, "labels": []}), (9, {"image": green, "labels": [1, 0]})]
    features_of_records = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "labels": tfds.features.Sequence(tfds.features.ClassLabel(names=["dark", "odd"])),
        "labels_no_difficult": tfds.features.Sequence(tfds.features.ClassLabel(names=["dark", "odd"])),
    }
    for _, record in records:
        # Of an image with both labels, "odd" is that of a difficult object alone.
        record["labels_no_difficult"] = record["labels"] if len(record["labels"]) < 2 else [0]
    tfds.dataset_builders.store_as_tfds_dataset(
        name="several",
        version="1.0.0",
        features=tfds.features.FeaturesDict(features_of_records),
        split_datasets={"validation": records},
        data_dir=tmp_path / "data",
    )
    arrays = run(place, tmp_path / "f.npz", "--classifier", f"--data_dir={tmp_path / 'data'}")
    assert sorted(map(tuple, arrays["labels_train"])) == [(0, 0)] * 3 + [(0, 1)] * 2 + [(1, -1)] * 3 + [(1, 0)] * 2
    record = json.loads((tmp_path / "f.json").read_text())
    assert record["mean_average_precision"] > 50
    assert record["top1_error"] is None
    splits = [f"--data_dir={tmp_path / 'data'}", "--splits=2", "--train_per_class=2"]
    with pytest.raises(UserError, match=r"^--splits=2 needs images of one label each, .* have several; leave it out$"):
        run(place, tmp_path / "g.npz", "--classifier", *splits)
    with pytest.raises(UserError, match="its photos may show several classes, and here each must show one"):
        datasets.open_data(str(tmp_path / "data"))


def test_what_is_refused(place, tmp_path):
    with pytest.raises(UserError, match=r"--layer=images is not a layer .*; the model has block1_conv1, "):
        run(place, tmp_path / "f.npz", "--layer=images")
    with pytest.raises(UserError, match=r"--layer=fc9 is not a layer that can describe .*fc7, fc8; did you mean fc8\?"):
        run(place, tmp_path / "f.npz", "--layer=fc9")
    with pytest.raises(UserError, match=r"f\.csv must end in \.npz"):
        run(place, tmp_path / "f.csv")
    with pytest.raises(UserError, match=r"^--voc_year=2007 chooses .* that --classifier reports; give that, too$"):
        run(place, tmp_path / "f.npz", "--voc_year=2007")
    for flags in ([], ["--splits=2", "--train_per_class=2", "--train_split=train"]):
        with pytest.raises(UserError, match=r"^--voc_year=2007 .*; those of .*data have one each; leave it out$"):
            run(place, tmp_path / "f.npz", "--voc_year=2007", "--classifier", *flags)
    assert list(tmp_path.iterdir()) == []
