"""Provides photos with which a model can be tried: the samples of its run, or drawn flowers."""

import io
from pathlib import Path

import numpy as np

from data_prep import synthetic_flowers
from vgg_keras.data import photo_files
from vgg_keras.models import run_record
from vgg_keras.utils.errors import UserError

_SEED = 5


def of_model(model_path: Path, count: int) -> dict[str, bytes]:
    """Returns photos for a model: validation photos that lie in its run's folder, else drawn flowers.

    Args:
        model_path: the `.keras` file, or the folder of an exported version.
        count: number of photos, as far as there are so many.

    Returns:
        The encoded photos by their file names.
    """
    try:
        samples = photo_files.find([model_path.parent / run_record.SAMPLES])
    except UserError:  # there are none
        return drawn(count)
    return {path.name: path.read_bytes() for path in samples[:count]}


def drawn(count: int) -> dict[str, bytes]:
    """Returns drawn flowers, always the same ones, as encoded photos by their file names."""
    rng, found = np.random.default_rng(_SEED), {}
    for number in range(count):
        label = number % len(synthetic_flowers.NAMES)
        encoded = io.BytesIO()
        synthetic_flowers.draw_flower(label, rng).save(encoded, "PNG")
        found[f"{synthetic_flowers.NAMES[label]}_{number + 1}.png"] = encoded.getvalue()
    return found
