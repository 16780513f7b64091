"""Makes what the benchmarks work on: photos, data sets of them, and nets with random weights."""

import functools
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.harness import sides
from benchmarks.harness.definitions import Settings
from data_prep import archives, builder
from data_prep.pieces import Piece, Pieces
from data_prep.sources import Source, Split
from vgg_keras.utils import cli

# (width, height) in pixels of the drawn photos, as they are common in ImageNet.
SIZES = ((500, 375), (375, 500), (500, 333), (333, 500), (500, 400), (640, 480))
CLASSES = ("a", "b")


def draw_photo(index: int, divisor: int = 1) -> bytes:
    """Returns a JPEG that costs a decoder about as much as a photo: noise with the spectrum of natural images.

    The amplitude of a frequency f falls as 1/f; with it the picture compresses to about 0.5 bytes a pixel, as the
    photos of ImageNet do.

    Args:
        index: number of the photo, from which its size and its noise follow.
        divisor: number by which its sides are divided, for a small photo.
    """
    width, height = (side // divisor for side in SIZES[index % len(SIZES)])
    rng = np.random.default_rng(index)
    frequencies = np.hypot(np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width)[np.newaxis])
    spectrum = 1 / np.maximum(frequencies, 1 / max(width, height))

    def channel(deviation: float) -> np.ndarray:
        noise = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(height, width))) * spectrum, (height, width))
        return 128 + deviation * (noise - noise.mean()) / noise.std()

    # Photos differ in brightness far more than in colour.
    channels = np.stack([channel(55), channel(12), channel(12)], axis=-1)
    encoded = io.BytesIO()
    picture = Image.fromarray(np.clip(channels, 0, 255).astype(np.uint8), mode="YCbCr")
    picture.save(encoded, format="JPEG", quality=83)
    return encoded.getvalue()


def photo_files(settings: Settings, count: int) -> list[Path]:
    """Writes photos as files, of the validation split of the data set or drawn ones, and returns their paths.

    Raises:
        UserError: the data set cannot be read.
    """
    folder = settings.scratch / "photos"
    folder.mkdir()
    encoded = encoded_photos(settings, "validation", count)
    paths = [folder / f"{index:03}.jpg" for index in range(len(encoded))]
    for path, photo in zip(paths, encoded, strict=True):
        path.write_bytes(photo)
    return paths


def encoded_photos(settings: Settings, split: str, count: int) -> Sequence[bytes]:
    """Returns the first encoded photos of a split of the data set that was given, or else drawn ones.

    Raises:
        UserError: the data set or the split cannot be read.
    """
    if settings.data_dir:
        return sides.apart(read_photos, settings.data_dir, split, count)
    return [draw_photo(index) for index in range(count)]


def read_photos(data_dir: str, split: str, count: int) -> list[bytes]:
    """Returns the first encoded photos of a split of a data set; starts TensorFlow.

    Raises:
        UserError: the data set or the split cannot be read.
    """
    from vgg_keras.data import datasets

    with cli.quiet_logs():
        examples = datasets.open_data(data_dir).encoded(split).take(count).as_numpy_iterator()
        return [example["image_bytes"] for example in examples]


def pack(photos: Sequence[bytes], path: Path) -> Path:
    """Writes encoded photos into a tar that is not compressed, and returns its path."""
    with tarfile.open(path, "w") as tar:
        for index, photo in enumerate(photos):
            member = tarfile.TarInfo(f"{index:04}.jpg")
            member.size = len(photo)
            tar.addfile(member, io.BytesIO(photo))
    return path


def training_source(archive: Path, copies: int = 1) -> Source:
    """Returns the photos of a tar, each several times under other names, as a training split for `data_prep`.

    Args:
        archive: a tar that `pack` has written.
        copies: how often each photo appears.
    """
    with archives.open_tar(archive) as tar:
        members = list(archives.tar_files(tar, archive))
    pieces = Pieces.collect(
        Piece(f"{copy}/{member.name}", index % len(CLASSES), member.size, member.offset_data)
        for copy in range(copies)
        for index, member in enumerate(members)
    )
    # The reader knows the photos by where they lie in the tar, not by their names.
    split = Split(pieces, functools.partial(archives.make_readable, archive), archives.identity(archive))
    return Source("photos", "Photos of a benchmark.", CLASSES, CLASSES, {"train": split})


def data_set(settings: Settings, *, training: int, validation: int) -> Path:
    """Returns the folder of the data set that was given, or else writes one of drawn photos as `data_prep` does.

    Args:
        settings: the settings.
        training: number of drawn photos in the split train.
        validation: number of drawn photos in the split validation.

    Raises:
        UserError: the data set cannot be written.
    """
    if settings.data_dir:
        return Path(settings.data_dir)
    source, folder = settings.scratch / "drawn", settings.scratch / "data"
    first = 0
    for split, count in {"train": training, "validation": validation}.items():
        for index in range(first, first + count):
            path = source / split / CLASSES[index % len(CLASSES)] / f"{index:03}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(draw_photo(index))
        first += count
    sides.run(("-m", "data_prep.image_folder", f"--source_dir={source}", f"--output_dir={folder}"))
    return folder


def net_file(settings: Settings, net: str, **arguments) -> Path:
    """Saves a net with random weights as training would, and returns the `.keras` file.

    Args:
        settings: the settings.
        net: key of `NETS`.
        arguments: further arguments of `vgg.build`.
    """
    path = settings.scratch / f"{net}.keras"
    sides.apart(_save_net, path, net, arguments)
    return path


def _save_net(path: Path, net: str, arguments: dict) -> None:
    from vgg_keras.models import saving, vgg
    from vgg_keras.models.metadata import ModelMetadata

    arguments = {"num_classes": len(CLASSES), "initialization": vgg.Initialization("glorot", seed=0), **arguments}
    model = vgg.build(net, **arguments)
    names = list(CLASSES) if len(CLASSES) == arguments["num_classes"] else []
    saving.save_model(model, path, ModelMetadata(net, "256", names, names))


def repeated_photos(settings: Settings, num_photos: int, divisor: int, copies: int) -> str:
    """Returns the folder of the data set that was given, or else writes drawn photos, each several times.

    Args:
        settings: settings of the benchmark.
        num_photos: number of photos.
        divisor: number by which the sides of ImageNet's photos are divided.
        copies: number of records of each photo.
    """
    if settings.data_dir:
        return settings.data_dir
    photos = [draw_photo(index, divisor) for index in range(num_photos)]
    archive, folder = pack(photos, settings.scratch / "photos.tar"), settings.scratch / "data"
    sides.apart(write_records, archive, copies, folder)
    return str(folder)


def write_records(archive: Path, copies: int, folder: Path) -> None:
    """Writes the photos of a tar, each several times, as a training split into a missing folder."""
    builder.write_dataset(
        training_source(archive, copies), builder.PrepareOptions(output_dir=str(folder), num_workers=0)
    )
