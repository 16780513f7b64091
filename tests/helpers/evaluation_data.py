"""Makes small nets and photos for the tests of evaluation, and computes their posteriors in NumPy and Pillow."""

import io

import keras
import numpy as np
import tensorflow as tf

from data_prep.builder import PrepareOptions, write_dataset
from data_prep.sources import Source
from tests.helpers import numpy_net, photos
from vgg_keras.data import datasets
from vgg_keras.data.manifest import SplitManifest
from vgg_keras.evaluation.evaluator import Evaluator
from vgg_keras.inference.loading import load_for_inference
from vgg_keras.inference.protocol import TestProtocol
from vgg_keras.models import saving
from vgg_keras.models.metadata import ModelMetadata
from vgg_keras.models.vgg import Initialization, build

MEAN_RGB = (120.0, 110.0, 100.0)
CLASSES = ["a", "b", "c", "d", "e", "f"]
SIZES = [(140, 100), (90, 64), (64, 64), (50, 97), (90, 64), (30, 20), (64, 90), (140, 100), (90, 64)]


def photo(index, size):
    """Makes a JPEG with smooth colours; on noise two decoders would differ too much."""
    rng = np.random.default_rng(index)
    picture = photos.Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8)).resize(size, photos.Image.BICUBIC)
    encoded = io.BytesIO()
    picture.save(encoded, format="JPEG", quality=95)
    return encoded.getvalue()


def write_photos(images, folder, label=None, classes=CLASSES):
    """Writes encoded images as a data set's validation split, with labels in turn, or all with the given one."""
    named = [(f"{index:03}.jpg", image) for index, image in enumerate(images)]
    labels = [index % len(classes) if label is None else label for index in range(len(images))]
    source = Source(
        name="photos",
        description="Test.",
        class_names=classes,
        label_names=classes,
        splits={
            "train": photos.make_split(named[:1], labels[:1]),
            "validation": photos.make_split(named, labels),
        },
    )
    write_dataset(source, PrepareOptions(output_dir=str(folder), num_workers=1), allow_empty_classes=True)
    return datasets.open_data(str(folder))


def save_net(
    net,
    folder,
    input_size=64,
    train_scale="64",
    seed=1,
    classes=CLASSES,
    box_regression="",
    frozen_up_to="",
    validation_resize="",
):
    """Saves a narrow net, whose scores or boxes differ clearly between images, as a run's best model; returns it."""
    model = build(
        net,
        len(classes),
        input_size=input_size,
        mean_rgb=MEAN_RGB,
        width_multiplier=1 / 16,
        initialization=Initialization("he", seed=seed),
        box_regression=box_regression or None,
    )
    # Scores get the mean 0 and the deviation 2: posteriors that hardly differ would agree with any method. Boxes get
    # their centre near the view's, and three quarters of its sides.
    last, mean, deviation = model.get_layer("fc8_boxes" if box_regression else "fc8"), 0.0, 2.0
    noise = np.random.default_rng(seed).uniform(0, 255, (16, 4, 4, 3)).astype(np.float32)
    views = tf.image.resize(noise, (input_size, input_size), "bicubic")
    if box_regression:
        mean, deviation = np.tile([0.5, 0.5, 0.75, 0.75], last.units // 4), 0.1
    scores = keras.Model(model.input, last.output)(views).numpy()
    kernel, _ = last.get_weights()
    scale = deviation / scores.std(axis=0)
    last.set_weights([kernel * scale, mean - scores.mean(axis=0) * scale])
    folder.mkdir(parents=True)
    metadata = ModelMetadata(net, train_scale, classes, classes, frozen_up_to, box_regression, validation_resize)
    saving.save_model(model, folder / "best.keras", *([metadata] if box_regression or validation_resize else []))
    # A net of windows of random size has no S, though its run has the flag.
    (folder / "run.json").write_text(f'{{"flags": {{"train_scale": "{train_scale or input_size}"}}}}')
    (folder / "class_indices.json").write_text(str({name: i for i, name in enumerate(classes)}).replace("'", '"'))
    return model


def encoded_images(data):
    return [example["image_bytes"] for example in data.encoded("validation").as_numpy_iterator()]


def evaluate(data, runs, folder, *, method, batch_size=4, strategy=None, **settings):
    """Evaluates runs; returns the results of all, and the posteriors of each by method."""
    protocol = TestProtocol(**{"method": method, "test_scales": "", "flip": None, "average": "scores", **settings})
    strategy = strategy or tf.distribute.OneDeviceStrategy("CPU:0")
    manifest = SplitManifest.read(data, "validation")
    evaluator = Evaluator(manifest, protocol, folder, strategy, batch_size)
    with strategy.scope():
        models = [load_for_inference(run, protocol, data.class_names) for run in runs]
    tested = [evaluator.test(model, index) for index, model in enumerate(models)]
    results = [result for model_results, _ in tested for result in model_results]
    return results, [{method: timed.posteriors for method, timed in by_method.items()} for _, by_method in tested]


def expected_posteriors(model, images, method, scales, *, flip=True, average="scores", crop=64, mean_rgb=MEAN_RGB):
    """Computes the posteriors of encoded images by a net of the paper in NumPy and Pillow: (N, classes)."""
    weights = numpy_net.of_layers(model)

    def view_posterior(view):
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
        if method == "squash":
            seen = [numpy_net.squashed(image, crop)]
        else:
            seen = [view for side in scales for view in views(numpy_net.rescaled(image, side))]
        seen += [view[:, ::-1] for view in seen] if flip else []
        rows.append(np.mean([view_posterior(view) for view in seen], axis=0))
    return np.stack(rows)
