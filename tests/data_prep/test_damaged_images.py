"""Tests that no damage to an image ends the preparation, or the reading of photos, in anything but a `BadImage`.

`pytest -m fuzz` damages 10,000 images, which a plain `pytest` leaves out.
"""

import resource
import signal
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, features

from data_prep.image_preparation import Preparation, prepare
from tests.helpers import odd_images
from tests.helpers.images import encode, picture
from tests.helpers.mutations import mutate
from vgg_keras.data import transforms
from vgg_keras.data.photo_decoding import BadImage, opened, to_rgb
from vgg_keras.inference import image_inputs
from vgg_keras.utils.errors import UserError

# Seconds after which an image counts as a hang.
_PATIENCE = 60


def sound_images():
    """Returns an image of each kind and format that Pillow writes, by name."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    photo, drawn = picture(37, 29), picture(36, 28).convert("RGBA")
    written = {
        "JPEG": {"format": "JPEG", "exif": exif},
        "JPEG progressive": {"format": "JPEG", "progressive": True},
        "MPO": {"format": "MPO", "save_all": True, "append_images": [photo]},
        "PNG": {"format": "PNG", "exif": exif},
        "APNG": {"format": "PNG", "save_all": True, "append_images": [photo]},
        "WebP": {"format": "WEBP", "exif": exif},
        "TIFF": {"format": "TIFF", "exif": exif},
        "TIFF LZW": {"format": "TIFF", "compression": "tiff_lzw"},
        "TIFF JPEG": {"format": "TIFF", "compression": "jpeg"},
        **{name: {"format": name} for name in ("GIF", "BMP", "ICO", "TGA", "PCX", "PPM", "SGI")},
    }
    found = {name: encode(photo, **arguments) for name, arguments in written.items()}
    found["CMYK"] = encode(photo.convert("CMYK"), format="JPEG")
    found["DDS"] = encode(drawn, format="DDS")
    Image.init()
    if "AVIF" in Image.SAVE:
        found["AVIF"] = encode(drawn, format="AVIF", exif=exif)
    if features.check("jpg_2000"):
        found["JPEG 2000"] = encode(photo, format="JPEG2000")
    return found | {image.kind: image.content for image in odd_images.ALL[::4]}


@pytest.fixture
def no_hang():
    def end(*_):
        raise TimeoutError("an image takes too long")

    previous = signal.signal(signal.SIGALRM, end)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


def prepared_or_none(content, preparation):
    """Prepares an image, and reads it as `predict` and the Python API do; None if it is refused."""
    signal.alarm(_PATIENCE)
    try:
        image_inputs.single(content)
    except UserError as error:
        assert str(error).startswith("an image: "), error  # noqa: PT017
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    try:
        return prepare(content, preparation)
    except BadImage as error:
        assert str(error)  # noqa: PT017
        return None


def damage(number, seed, every):
    """Prepares damaged images, and returns how many of them are stored.

    Args:
        number: number of images.
        seed: seed of the damages.
        every: TensorFlow decodes each n-th of the images, and of those that are stored.
    """
    decode = tf.function(transforms.decode, input_signature=[tf.TensorSpec((), tf.string)])
    rng, sound = np.random.default_rng(seed), sound_images()
    stored = 0
    for index, name in zip(range(number), list(sound) * (number // len(sound) + 1), strict=False):
        content = mutate(sound[name], rng)
        preparation = Preparation(smallest_side=(0, 16)[index % 2], measure=index % 3 == 0, upright=index % 5 > 0)
        prepared = prepared_or_none(content, preparation)
        stored += prepared is not None
        if prepared and stored % every == 0:
            with opened(prepared.image_bytes) as image:
                expected = np.asarray(to_rgb(image)).astype(int)
            assert np.abs(decode(prepared.image_bytes) - expected).mean() < 2, (name, index)
        if index % every == 0:  # a server is sent anything
            try:
                assert decode(content).shape[2] == 3
            except tf.errors.InvalidArgumentError as error:
                assert error.message  # noqa: PT017
    return stored


@pytest.mark.filterwarnings("ignore")
def test_a_few_hundred_damaged_images(no_hang):
    assert 40 < damage(300, seed=0, every=2) < 240


@pytest.mark.fuzz
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(1, 11))
def test_a_thousand_damaged_images(seed, no_hang):
    assert damage(1000, seed, every=10) > 200
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 << 20  # KiB


def test_every_sound_image_is_stored():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, content in sound_images().items():
            assert prepare(content, Preparation(measure=True)).moments.num_pixels > 0, name
