"""Compares each test method with NumPy and Pillow on photos of all shapes, with any batch size and after a stop."""

import tarfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import photos
from tests.helpers.evaluation_data import (
    SIZES,
    encoded_images,
    evaluate,
    expected_posteriors,
    photo,
    save_net,
    write_photos,
)
from vgg_keras.data.manifest import SplitManifest
from vgg_keras.evaluation import published
from vgg_keras.evaluation.evaluator import Evaluator
from vgg_keras.inference import protocol
from vgg_keras.inference.loading import load_for_inference
from vgg_keras.inference.protocol import TestProtocol
from vgg_keras.models import saving
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.resumable_array import ResumableArray


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    images = [photo(index, size) for index, size in enumerate(SIZES)]
    return write_photos(images, tmp_path_factory.mktemp("photos") / "data")


@pytest.mark.parametrize("net", ["A-LRN", "C"])
@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("dense", {}),
        ("dense", {"average": "posteriors"}),
        ("dense", {"flip": False}),
        ("multi_crop", {}),
        ("multi_crop", {"flip": False}),
        ("center_crop", {}),
        ("center_crop", {"flip": True}),
    ],
    ids=str,
)
def test_each_method_against_numpy_and_pillow(net, method, settings, data, tmp_path):
    model = save_net(net, tmp_path / "run")
    scales = (64, 97)
    expected = expected_posteriors(
        model, encoded_images(data), method, scales, **{"flip": method != "center_crop", **settings}
    )
    assert expected.std(axis=0).max() > 0.05  # equal posteriors would prove little
    (result, *_), (found,) = evaluate(
        data, [tmp_path / "run"], tmp_path, method=method, test_scales="64,97", **settings
    )
    np.testing.assert_allclose(found[method], expected, atol=1e-4)
    assert result.test_scales == ((64,),)


@pytest.mark.parametrize("settings", [{}, {"flip": True}], ids=str)
def test_squashed_photos_against_numpy_and_pillow(settings, data, tmp_path):
    model = save_net("A", tmp_path / "run")
    expected = expected_posteriors(model, encoded_images(data), "squash", (), **{"flip": False, **settings})
    (result,), (found,) = evaluate(data, [tmp_path / "run"], tmp_path, method="squash", **settings)
    np.testing.assert_allclose(found["squash"], expected, atol=1e-4)
    assert result.test_scales == ((64,),)
    assert result.published() is None


@pytest.mark.real_data
@pytest.mark.parametrize("net", ["A", "D"])
def test_dense_and_multi_crop_on_real_photos(net, real_data, tmp_path):
    with tarfile.open(real_data / "ilsvrc2012_mini" / "ILSVRC2012_img_val.tar") as tar:
        images = [tar.extractfile(member).read() for member in tar if member.isfile()]
    shapes = {photos.decoded(image).shape[:2]: image for image in images if image[:2] == b"\xff\xd8"}
    # The two widest, the two tallest, the two smallest, which the rescale enlarges, and the largest.
    by_ratio = sorted(shapes, key=lambda shape: shape[0] / shape[1])
    by_size = sorted(shapes)
    chosen = {*by_ratio[:2], *by_ratio[-2:], *by_size[:2], *by_size[-1:]}
    data = write_photos([shapes[shape] for shape in sorted(chosen)], tmp_path / "data")
    model = save_net(net, tmp_path / "run", input_size=96)
    for method in ("dense", "multi_crop"):
        expected = expected_posteriors(model, encoded_images(data), method, (96, 131), crop=96)
        assert expected.std(axis=0).max() > 0.05
        _, (found,) = evaluate(data, [tmp_path / "run"], tmp_path, method=method, test_scales="96,131")
        np.testing.assert_allclose(found[method], expected, atol=1e-4)


def test_both_and_fusion_are_means(data, tmp_path):
    save_net("A", tmp_path / "a")
    save_net("B", tmp_path / "b", input_size=32, train_scale="48,80", seed=2)
    protocol = TestProtocol("both", "", None, "scores")
    manifest = SplitManifest.read(data, "validation")
    evaluator = Evaluator(manifest, protocol, tmp_path, tf.distribute.OneDeviceStrategy("CPU:0"), 4)
    models = [load_for_inference(tmp_path / run, protocol, data.class_names) for run in "ab"]
    assert [model.test_scales for model in models] == [(64,), (64,)]
    (results, a), (_, b) = (evaluator.test(model, index) for index, model in enumerate(models))
    assert [result.method for result in results] == ["dense", "multi_crop", "both"]
    both = (a["dense"].posteriors.astype(float) + a["multi_crop"].posteriors) / 2
    labels = manifest.labels
    assert results[-1].score.top1_error == pytest.approx(100 * np.mean(both.argmax(axis=1) != labels))
    np.testing.assert_allclose(results[-1].score.loss, -np.log(both[np.arange(9), labels]).mean(), rtol=1e-5)
    assert results[-1].seconds == a["dense"].seconds + a["multi_crop"].seconds
    means = {method: type(a[method]).mean([a[method], b[method]]) for method in a}
    fused = evaluator.fuse(models, means)
    expected = sum(timed.posteriors.astype(float) for of_model in (a, b) for timed in of_model.values()) / 4
    np.testing.assert_allclose(fused[-1].score.loss, -np.log(expected[np.arange(9), labels]).mean(), rtol=1e-5)
    assert [len(result.models) for result in fused] == [2, 2, 2]


@pytest.mark.parametrize("method", ["dense", "multi_crop"])
def test_the_batch_size_does_not_matter(method, data, tmp_path):
    save_net("A", tmp_path / "run")
    found = []
    for batch_size in (1, 7, 64):
        (tmp_path / str(batch_size)).mkdir()
        _, (posteriors,) = evaluate(
            data,
            [tmp_path / "run"],
            tmp_path / str(batch_size),
            method=method,
            batch_size=batch_size,
            test_scales="70,75",
        )
        found.append(posteriors[method])
    np.testing.assert_allclose(found[1], found[0], atol=2e-6)
    np.testing.assert_allclose(found[2], found[0], atol=2e-6)


def test_scales_of_the_paper_follow_the_run(data, tmp_path):
    save_net("A", tmp_path / "run", train_scale="96,128")
    results, _ = evaluate(data, [tmp_path / "run"], tmp_path, method="center_crop", test_scales="multi")
    assert [result.test_scales for result in results] == [((96,),), ((112,),), ((128,),), ((96, 112, 128),)]
    results, _ = evaluate(data, [tmp_path / "run"], tmp_path, method="center_crop")
    assert [result.test_scales for result in results] == [((112,),)]


def test_a_pass_goes_on_where_it_stopped(data, tmp_path):
    save_net("A", tmp_path / "run")
    _, (whole,) = evaluate(data, [tmp_path / "run"], tmp_path, method="dense")
    # Complete rows are kept as they are; missing rows, one that was only half written, and a damaged one are computed.
    ResumableArray(tmp_path / "0_dense_64.npy", len(whole["dense"]), 6).store(2, np.eye(6)[3])
    rows = np.load(tmp_path / "0_dense_64.npy")
    rows[5, 4:] = np.nan
    rows[7] = np.nan
    rows[8, 1] += 0.25
    np.save(tmp_path / "0_dense_64.npy", rows)
    _, (resumed,) = evaluate(data, [tmp_path / "run"], tmp_path, method="dense")
    expected = whole["dense"].copy()
    expected[2] = np.eye(6)[3]
    np.testing.assert_allclose(resumed["dense"], expected, atol=1e-6)


def test_a_net_that_diverged_and_one_without_softmax(data, tmp_path):
    model = save_net("A", tmp_path / "run")
    model.get_layer("fc8").set_weights([np.full((256, 6), np.nan), np.zeros(6)])
    saving.save_model(model, tmp_path / "run" / "best.keras")
    with pytest.raises(UserError, match=r"best\.keras gives outputs that are not numbers: its training diverged"):
        evaluate(data, [tmp_path / "run"], tmp_path, method="dense")
    model = save_net("A", tmp_path / "logits")
    scores = keras.Model(model.input, model.get_layer("fc8").output)
    scores.save(tmp_path / "logits" / "best.keras")
    with pytest.raises(UserError, match=r"best\.keras does not give posteriors.*must end in a softmax"):
        evaluate(data, [tmp_path / "logits"], tmp_path, method="multi_crop")


def test_the_papers_rows_are_found(data, tmp_path):
    assert (
        published.find_published(
            [protocol.TrainedNet("D", "256,512")], "dense", [(512, 384, 256)], flip=True, average="scores"
        )[0].top1
        == 24.8
    )
    save_net("A", tmp_path / "run", train_scale="256")
    results, _ = evaluate(data, [tmp_path / "run"], tmp_path, method="center_crop", flip=True)
    assert results[0].published() is None  # the published error is that of dense evaluation
