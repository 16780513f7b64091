"""Makes small localizers, and computes their boxes in NumPy and Pillow."""

import csv
from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.helpers import numpy_net
from tests.helpers.evaluation_data import CLASSES, MEAN_RGB
from vgg_keras.models import saving
from vgg_keras.models.metadata import ModelMetadata
from vgg_keras.models.vgg import Initialization, build

INPUT_SIZE = 64
LABELS = [f"kind {name}" for name in CLASSES]


def save_localizer(path: Path, kind: str, boxes=None, *, squashes=False):
    """Saves a narrow localizer of the classes CLASSES, trained at S = 64, to a `.keras` file; returns the model.

    Args:
        path: the file.
        kind: "scr" or "pcr".
        boxes: list of (centre x, centre y, width, height), relative to the input, that it predicts for every input;
            None: boxes that depend on the input.
        squashes: whether it was validated on squashed photos.
    """
    model = build(
        "A",
        len(CLASSES),
        input_size=INPUT_SIZE,
        mean_rgb=MEAN_RGB,
        width_multiplier=1 / 16,
        initialization=Initialization("he", seed=2),
        box_regression=kind,
    )
    layer = model.get_layer("fc8_boxes")
    kernel, _ = layer.get_weights()
    if boxes is None:
        # Boxes of about half the input, around its centre: the outputs get the deviation 0.1.
        noise = np.random.default_rng(2).uniform(0, 255, (16, 4, 4, 3)).astype(np.float32)
        outputs = model(tf.image.resize(noise, (INPUT_SIZE, INPUT_SIZE), "bicubic")).numpy()
        kernel *= 0.1 / outputs.std(axis=0)
        layer.set_weights([kernel, 0.5 - outputs.mean(axis=0) * 0.1 / outputs.std(axis=0)])
    else:
        layer.set_weights([0 * kernel, np.ravel(boxes).astype(np.float32)])
    path.parent.mkdir(parents=True, exist_ok=True)
    resize = "squash" if squashes else ""
    saving.save_model(model, path, ModelMetadata("A", "64", CLASSES, LABELS, "", kind, resize))
    return model


def _outputs(model, crop):
    """Returns the centre x, centre y, width and height of all boxes of a crop, (4, n), relative to it."""
    return (
        numpy_net.score_map(numpy_net.of_layers(model), MEAN_RGB, crop, last="fc8_boxes").reshape(-1, 4).T.astype(float)
    )


def center_boxes(model, encoded, side, flip=False):
    """Computes the boxes of the centre crop, relative to the photo, without the package: (n, 4).

    With `flip`, they are averaged with those of the mirrored crop.
    """
    whole = numpy_net.rescaled(encoded, side)
    top, left = (np.array(whole.shape[:2]) - INPUT_SIZE) // 2
    crop = whole[top : top + INPUT_SIZE, left : left + INPUT_SIZE]
    x, y, width, height = _outputs(model, crop)
    if flip:
        mirrored_x, *others = _outputs(model, crop[:, ::-1])
        x, y, width, height = np.mean([[x, y, width, height], [1 - mirrored_x, *others]], axis=0)
    rows = [INPUT_SIZE * y + top + sign * INPUT_SIZE * height / 2 for sign in (-1, 1)]
    columns = [INPUT_SIZE * x + left + sign * INPUT_SIZE * width / 2 for sign in (-1, 1)]
    (above, below), (before, behind) = rows, columns
    return np.stack([above, before, below, behind], axis=1) / np.tile(whole.shape[:2], 2)


def squashed_boxes(model, encoded, flip=False):
    """Computes the boxes of the squashed photo, relative to the photo, without the package: (n, 4)."""
    view = numpy_net.squashed(encoded, INPUT_SIZE)
    x, y, width, height = _outputs(model, view)
    if flip:
        mirrored_x, *others = _outputs(model, view[:, ::-1])
        x, y, width, height = np.mean([[x, y, width, height], [1 - mirrored_x, *others]], axis=0)
    return np.stack([y - height / 2, x - width / 2, y + height / 2, x + width / 2], axis=1)


def read_boxes(output_dir):
    """Reads the boxes of an evaluation: those of each file by its predicted class, {file: {class: box}}."""
    found = {}
    for row in csv.DictReader((output_dir / "boxes.csv").open()):
        box = [float(row[key]) for key in ("ymin", "xmin", "ymax", "xmax")]
        found.setdefault(row["file"], {})[row["predicted"]] = box
    return found
