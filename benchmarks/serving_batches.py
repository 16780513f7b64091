"""Compares the served graph with batches of photos of equal size with the same graph that takes one photo at a time.

The photos of a request that are of equal size once they are rescaled or cropped go through the net in batches of as
many pixels as 16 of the paper's crops. `--data_dir` takes the photos of a data set that are as large as its first one.

Predicted for a CPU: the convolutions of a single photo already use all cores, so that a batch saves little more than
reading the weights of the fully connected layers once for each photo: 1.1 times as fast. A GPU, which a single photo
does not fill, should gain more; no GPU has been measured. Measured on two busy cores, by CPU time, six centre crops of
net D: 0.36 s a photo in place of 0.42, and whole photos 1.32 in place of 1.36, the same posteriors to 1e-9.
"""

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.harness import materials, sides
from benchmarks.harness.definitions import Benchmark, Figure, Settings, Side
from vgg_keras.inference.protocol import CENTER_CROP, DENSE

_Q = 256
_METHODS = (CENTER_CROP, DENSE)


def make_served(model_path: Path, photos: Sequence[bytes], batched: bool, scratch: Path) -> Mapping[str, Side]:
    """Returns the sides: seconds for a photo in one request of all, by the method.

    Args:
        model_path: a `.keras` file.
        photos: encoded photos.
        batched: whether those of equal size go through the net in batches.
        scratch: folder for the file of class names.
    """
    import tensorflow as tf

    from vgg_keras.models import saving
    from vgg_keras.serving import photo_batches
    from vgg_keras.serving.preprocessing import RequestPreprocessor
    from vgg_keras.serving.servable import ServedModel, ServingConfig
    from vgg_keras.utils import devices

    devices.make_strategy("one_device")
    source = saving.load_model(model_path)
    labels = scratch / f"names_{batched}.txt"
    labels.write_text("".join(f"{index}\n" for index in range(source.output_shape[-1])), encoding="utf-8")
    pixels = photo_batches.BATCH_PIXELS if batched else 1
    request = tf.constant(photos)

    def side(method: str) -> Side:
        preprocessor = RequestPreprocessor(method, (_Q,), source.input_shape[1], 100_000_000)
        config = ServingConfig(preprocessor, flip=method == DENSE, average="scores", batch_pixels=pixels)
        model = ServedModel(source, config, labels)
        seconds = sides.timed(lambda: model.classify(request)["posterior"].numpy())
        return lambda: seconds() / len(photos)

    return {method: side(method) for method in _METHODS}


def _photos_of_one_size(settings: Settings, count: int) -> list[bytes]:
    """Returns encoded photos of the size of the first one, of the data set or drawn ones."""
    from PIL import Image

    def size(photo: bytes) -> tuple[int, int]:
        with Image.open(io.BytesIO(photo)) as image:
            return image.size

    if not settings.data_dir:
        return [materials.draw_photo(index * len(materials.SIZES)) for index in range(count)]
    photos = materials.encoded_photos(settings, "validation", 20 * count)
    return [photo for photo in photos if size(photo) == size(photos[0])][:count]


@contextlib.contextmanager
def prepare(settings: Settings) -> Iterator[Sequence[Figure]]:
    """Yields the figures: 16 photos and net D with 1,000 classes, or quickly 3 and a narrow net."""
    width = 1 / 16 if settings.quick else 1.0
    path = materials.net_file(settings, "D", num_classes=1000, width_multiplier=width)
    photos = _photos_of_one_size(settings, 3 if settings.quick else 16)
    with (
        sides.in_process(make_served, path, photos, True, settings.scratch) as ours,
        sides.in_process(make_served, path, photos, False, settings.scratch) as peer,
    ):
        name = f"net D, width {width:g}, each of {len(photos)} photos"
        yield [Figure(name=f"{name}, {method}", ours=ours[method], peer=peer[method]) for method in _METHODS]


BENCHMARK = Benchmark(
    ours="the served graph, which takes photos of equal size in batches",
    peer="the same graph, one photo at a time",
    prepare=prepare,
)
