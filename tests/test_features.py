"""Descriptors against NumPy and Pillow; the linear SVM on points that a line divides; the verb."""

import json

import numpy as np
import pytest

from tests import numpy_net
from tests.test_evaluation import CLASSES, MEAN_RGB, SIZES, encoded_images, photo, save_net, write_photos
from vgg_keras import datasets, descriptors, features, linear_classifier
from vgg_keras.command_line import UserError, parse
from vgg_keras.features import FeaturesOptions


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with 18 photos, data/, and two runs, a/ and b/."""
    folder = tmp_path_factory.mktemp("features")
    write_photos([photo(index, SIZES[index % len(SIZES)]) for index in range(18)], folder / "data")
    save_net("A", folder / "a")
    save_net("B", folder / "b", input_size=32, train_scale="48", seed=2)
    return folder


def run(place, output, *flags, models="a"):
    arguments = [f"--data_dir={place / 'data'}", f"--output={output}", "--train_split=validation"]
    arguments += [f"--model={place / model}" for model in models]
    features.main(parse([*arguments, *flags], FeaturesOptions))
    with np.load(output) as arrays:
        return dict(arrays)


def expected(model, images, scales, combine, layer="fc7"):
    """Computes descriptors in NumPy and Pillow: (N, D)."""
    weights = numpy_net.of_layers(model)
    rows = []
    for image in images:
        of_scales = []
        for side in scales:
            whole = numpy_net.rescaled(image, side)
            maps = [numpy_net.score_map(weights, MEAN_RGB, view, layer) for view in (whole, whole[:, ::-1])]
            of_scales.append(sum(one.mean(axis=(0, 1)) for one in maps) / 2)
        if combine == "stack":
            row = np.concatenate([part / np.linalg.norm(part) for part in of_scales])
        else:
            row = np.mean(of_scales, axis=0)
        rows.append(row / np.linalg.norm(row))
    return np.stack(rows)


@pytest.mark.parametrize("combine", ["average", "stack"])
def test_descriptors_against_numpy_and_pillow(combine, place, tmp_path):
    arrays = run(place, tmp_path / "f.npz", "--test_scales=64,80", f"--combine={combine}")
    data = datasets.open_data(str(place / "data"))
    model = save_net("A", tmp_path / "same")
    rows = expected(model, encoded_images(data), (64, 80), combine)
    assert arrays["features_validation"].shape == (18, 256 if combine == "average" else 512)
    np.testing.assert_allclose(arrays["features_validation"], rows, atol=1e-4)
    assert rows.std(axis=0).max() > 0.01
    np.testing.assert_allclose(np.linalg.norm(arrays["features_train"], axis=1), 1, rtol=1e-5)
    assert arrays["label_names"].tolist() == CLASSES
    assert arrays["labels_train"].tolist() == [int(name.removesuffix(".jpg")) % 6 for name in arrays["files_train"]]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("f")] == ["f.npz"]


def test_two_nets_are_stacked(place, tmp_path):
    a, b, both = (
        run(place, tmp_path / f"{models}.npz", models=models)["features_train"] for models in ("a", "b", "ab")
    )
    np.testing.assert_allclose(both, np.concatenate([a, b], axis=1) / np.sqrt(2), atol=1e-6)


def test_the_linear_svm(place, tmp_path, capsys):
    rng = np.random.default_rng(0)
    # Two classes that a line divides; of eight tests one of class 0 and one of the two of class 1 bear the wrong label.
    points = np.concatenate([rng.normal((-3, 0), 0.3, (20, 2)), rng.normal((3, 0), 0.3, (20, 2))])
    labels = np.repeat([0, 1], 20)
    tests = np.array([[-3.0, 0]] * 5 + [[3.0, 0], [3.0, 0], [-3.0, 0]])
    result = linear_classifier.fit_and_test(points, labels, tests, np.array([0, 0, 0, 0, 0, 0, 1, 1]))
    # Class 0: five of six; class 1: one of two.
    assert result.mean_class_recall == pytest.approx(100 * (5 / 6 + 1 / 2) / 2)
    assert result.top1_error == pytest.approx(25.0)
    assert (result.num_training_images, result.num_images) == (40, 8)
    run(place, tmp_path / "f.npz", "--classifier")
    record = json.loads((tmp_path / "f.json").read_text())
    # It is tested on what it learned from: far better than chance, 83.3%.
    assert record["top1_error"] < 50
    assert "linear SVM (C = " in capsys.readouterr().out
    with pytest.raises(UserError, match="needs at least two classes with two training images each"):
        linear_classifier.fit_and_test(points[:20], labels[:20], tests, np.zeros(8, int))


def test_a_row_of_zeros_stays_one():
    rows = descriptors.normalised(np.array([[0.0, 0.0], [3.0, 4.0]]))
    np.testing.assert_allclose(rows, [[0, 0], [0.6, 0.8]])


def test_what_is_refused(place, tmp_path):
    with pytest.raises(UserError, match=r"--layer=fc9 is not a layer of vgg_a with a map; it has .*fc7, fc8"):
        run(place, tmp_path / "f.npz", "--layer=fc9")
    with pytest.raises(UserError, match=r"f\.csv must end in \.npz"):
        run(place, tmp_path / "f.csv")
    assert list(tmp_path.iterdir()) == []
