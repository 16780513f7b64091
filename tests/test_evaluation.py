"""Each test method against NumPy and Pillow on photos of all shapes; nothing but the images decides the result."""

import io
import tarfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from data_prep.builder import PrepareOptions, write_dataset
from data_prep.sources import RawImage, Source
from tests import numpy_net, photos
from vgg_keras.data import datasets
from vgg_keras.evaluation import published
from vgg_keras.evaluation.evaluator import Evaluator, ImagesUnderTest
from vgg_keras.inference import loading
from vgg_keras.inference.loading import Protocol
from vgg_keras.inference.views import Survey
from vgg_keras.models.vgg import Initialization, build
from vgg_keras.training import checkpoints
from vgg_keras.utils.cli import UserError

MEAN_RGB = (120.0, 110.0, 100.0)
CLASSES = ["a", "b", "c", "d", "e", "f"]
SIZES = [(140, 100), (90, 64), (64, 64), (50, 97), (90, 64), (30, 20), (64, 90), (140, 100), (90, 64)]


def photo(index, size):
    """A JPEG of smooth colours; noise would be all that two decoders disagree on."""
    rng = np.random.default_rng(index)
    picture = photos.Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8)).resize(size, photos.Image.BICUBIC)
    encoded = io.BytesIO()
    picture.save(encoded, format="JPEG", quality=95)
    return encoded.getvalue()


def write_photos(images, folder, label=None, classes=CLASSES):
    """Writes encoded images as a data set's validation split; labels go round the classes unless one is given."""
    raw = [
        RawImage(f"{index:03}.jpg", image, index % len(classes) if label is None else label)
        for index, image in enumerate(images)
    ]
    splits = {"train": raw[:1], "validation": raw}
    source = Source(
        name="photos",
        description="Test.",
        class_names=classes,
        label_names=classes,
        splits={name: lambda part=part: part for name, part in splits.items()},
        num_images={name: len(part) for name, part in splits.items()},
    )
    write_dataset(source, PrepareOptions(output_dir=str(folder), num_workers=1), allow_empty_classes=True)
    return datasets.open_data(str(folder))


def save_net(net, folder, input_size=64, train_scale="64", seed=1):
    """Saves a narrow net with lively scores as a run's best model; returns the model."""
    model = build(
        net,
        len(CLASSES),
        input_size=input_size,
        mean_rgb=MEAN_RGB,
        width_multiplier=1 / 16,
        initialization=Initialization("he", seed=seed),
    )
    # Scores of mean 0 and deviation 2: posteriors that hardly differ would agree whatever the method does.
    noise = np.random.default_rng(seed).uniform(0, 255, (16, 4, 4, 3)).astype(np.float32)
    views = tf.image.resize(noise, (input_size, input_size), "bicubic")
    scores = keras.Model(model.input, model.get_layer("fc8").output)(views).numpy()
    kernel, _ = model.get_layer("fc8").get_weights()
    scale = 2 / scores.std(axis=0)
    model.get_layer("fc8").set_weights([kernel * scale, -scores.mean(axis=0) * scale])
    folder.mkdir(parents=True)
    checkpoints.save_model(model, folder / "best.keras")
    (folder / "run.json").write_text(f'{{"flags": {{"train_scale": "{train_scale}"}}}}')
    (folder / "class_indices.json").write_text(str({name: i for i, name in enumerate(CLASSES)}).replace("'", '"'))
    return model


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    images = [photo(index, size) for index, size in enumerate(SIZES)]
    return write_photos(images, tmp_path_factory.mktemp("photos") / "data")


def encoded_images(data):
    return [example["image_bytes"] for example in data.encoded("validation").as_numpy_iterator()]


def evaluate(data, runs, folder, *, method, batch_size=4, strategy=None, **settings):
    """Returns the results of all models, and the posteriors of each by method."""
    protocol = Protocol(**{"method": method, "test_scales": "", "flip": None, "average": "scores", **settings})
    strategy = strategy or tf.distribute.OneDeviceStrategy("CPU:0")
    images = ImagesUnderTest(data, "validation", Survey.of(data, "validation"))
    evaluator = Evaluator(images, protocol, folder, strategy, batch_size)
    models = [loading.inspect(str(run), protocol, data.class_names) for run in runs]
    tested = [evaluator.test(model, place) for place, model in enumerate(models)]
    results = [result for of_model, _ in tested for result in of_model]
    return results, [{method: timed.posteriors for method, timed in by_method.items()} for _, by_method in tested]


def expected_posteriors(model, images, method, scales, *, flip=True, average="scores", crop=64, mean_rgb=MEAN_RGB):
    """Tests a net of the paper on encoded images in NumPy and Pillow: (N, classes)."""
    weights = numpy_net.of_layers(model)

    def of_view(view):
        score_map = numpy_net.score_map(weights, mean_rgb, view)
        if average == "posteriors":
            return numpy_net.softmax(score_map).mean(axis=(0, 1))
        return numpy_net.softmax(score_map.mean(axis=(0, 1)))

    def views(image):
        room = [side - crop for side in image.shape[:2]]
        if method == "dense":
            return [image]
        if method == "center_crop":
            places = [(room[0] // 2, room[1] // 2)]
        else:
            tops, lefts = ([int(i * free / 4 + 0.5) for i in range(5)] for free in room)
            places = [(top, left) for top in tops for left in lefts]
        return [image[top : top + crop, left : left + crop] for top, left in places]

    rows = []
    for image in images:
        seen = [view for side in scales for view in views(numpy_net.rescaled(image, side))]
        seen += [view[:, ::-1] for view in seen] if flip else []
        rows.append(np.mean([of_view(view) for view in seen], axis=0))
    return np.stack(rows)


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
    assert expected.std(axis=0).max() > 0.05  # the posteriors differ from photo to photo
    (result, *_), (found,) = evaluate(
        data, [tmp_path / "run"], tmp_path, method=method, test_scales="64,97", **settings
    )
    np.testing.assert_allclose(found[method], expected, atol=1e-4)
    assert result.test_scales == ((64,),)


@pytest.mark.real_data
@pytest.mark.parametrize("net", ["A", "D"])
def test_dense_and_multi_crop_on_real_photos(net, real_data, tmp_path):
    with tarfile.open(real_data / "ilsvrc2012_mini" / "ILSVRC2012_img_val.tar") as tar:
        images = [tar.extractfile(member).read() for member in tar if member.isfile()]
    shapes = {photos.decoded(image).shape[:2]: image for image in images if image[:2] == b"\xff\xd8"}
    # The longest, the tallest, the smallest (which the rescale enlarges), the largest, and a few more.
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
    protocol = Protocol("both", "", None, "scores")
    images = ImagesUnderTest(data, "validation", Survey.of(data, "validation"))
    evaluator = Evaluator(images, protocol, tmp_path, tf.distribute.OneDeviceStrategy("CPU:0"), 4)
    models = [loading.inspect(str(tmp_path / run), protocol, data.class_names) for run in "ab"]
    assert [model.test_scales for model in models] == [(64,), (64,)]
    (results, a), (_, b) = (evaluator.test(model, place) for place, model in enumerate(models))
    assert [result.method for result in results] == ["dense", "multi_crop", "both"]
    both = (a["dense"].posteriors.astype(float) + a["multi_crop"].posteriors) / 2
    labels = images.survey.labels
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
    rows = np.load(tmp_path / "0_dense_64.npy")
    # Rows that are there are believed, rows that are not (one was being written) are computed.
    rows[2] = np.eye(6)[3]
    rows[5, 4:] = np.nan
    rows[7] = np.nan
    np.save(tmp_path / "0_dense_64.npy", rows)
    _, (resumed,) = evaluate(data, [tmp_path / "run"], tmp_path, method="dense")
    expected = whole["dense"].copy()
    expected[2] = np.eye(6)[3]
    np.testing.assert_allclose(resumed["dense"], expected, atol=1e-6)


def test_a_net_that_diverged_and_one_without_softmax(data, tmp_path):
    model = save_net("A", tmp_path / "run")
    model.get_layer("fc8").set_weights([np.full((256, 6), np.nan), np.zeros(6)])
    checkpoints.save_model(model, tmp_path / "run" / "best.keras")
    with pytest.raises(UserError, match=r"best\.keras gives outputs that are not numbers: its training diverged"):
        evaluate(data, [tmp_path / "run"], tmp_path, method="dense")
    model = save_net("A", tmp_path / "logits")
    scores = keras.Model(model.input, model.get_layer("fc8").output)
    scores.save(tmp_path / "logits" / "best.keras")
    with pytest.raises(UserError, match=r"best\.keras does not give posteriors.*must end in a softmax"):
        evaluate(data, [tmp_path / "logits"], tmp_path, method="multi_crop")


def test_the_papers_rows_are_found(data, tmp_path):
    assert published.rows_of([published.TrainedNet("D", "256,512")], "dense", [(512, 384, 256)])[0].top1 == 24.8
    save_net("A", tmp_path / "run", train_scale="256")
    results, _ = evaluate(data, [tmp_path / "run"], tmp_path, method="center_crop", flip=True)
    assert results[0].published() is None  # the paper's figure is of dense evaluation
