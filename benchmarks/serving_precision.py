"""Compares the serving times of exported models, such as bfloat16 with float32.

Exports one model in both precisions, serves each in a process that imports TensorFlow only, and sends the same photos
to them. With `--model=runs/d` it is a trained one, whose agreement on real photos means something.

Predicted for a CPU without bfloat16 units: half the speed, since every layer has to convert. Measured on two such
cores, net D at Q = 256 with mirror images, 24 photos: 1.00 times as fast (640 ms for a photo), with the same best class
for all photos and posteriors within 0.0033. There bfloat16 halves the memory at no cost in time.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.harness import materials, sides
from benchmarks.harness.definitions import Benchmark, Figure, Settings
from vgg_keras.serving import check_photos, versions, warmup
from vgg_keras.serving.agreement import Agreement
from vgg_keras.serving.client import Client, local_server
from vgg_keras.serving.servable import CLASSIFY

_OURS, _PEER = "bfloat16", "float32"


class _Sender:
    """Sends the photos to one served model, one at a time, and keeps the last answers.

    Args:
        client: client of the model.
        photos: encoded photos.
    """

    def __init__(self, client: Client, photos: Sequence[bytes]):
        self._client, self._photos = client, photos
        self.posteriors = np.zeros(0)
        self._seconds = sides.timed(self._send)

    def __call__(self) -> float:
        """Returns the seconds for a photo."""
        return self._seconds() / len(self._photos)

    def _send(self) -> None:
        answers = [self._client.predict(CLASSIFY, warmup.encode_photos([photo])) for photo in self._photos]
        self.posteriors = np.stack([answer["posterior"][0] for answer in answers])


def _export(settings: Settings, model: str, precision: str, photos: Path) -> Path:
    """Exports a model, as a user does, and returns the folder of the version."""
    folder = settings.scratch / precision
    flags = {"model": model, "output_dir": folder, "precision": precision, "check_images": photos}
    sides.run(("-m", "vgg_keras.export", *(f"--{name}={value}" for name, value in flags.items())))
    return versions.newest(folder)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextlib.contextmanager
def prepare(settings: Settings) -> Iterator[Sequence[Figure]]:
    """Yields the figure: 24 photos and net D or the model that was given, or quickly 2 and a narrow net."""
    paths = materials.photo_files(settings, 2 if settings.quick else 24)
    width = 1 / 16 if settings.quick else 1.0
    model = settings.model or str(materials.net_file(settings, "D", num_classes=1000, width_multiplier=width))
    exported = {name: _export(settings, model, name, paths[0].parent) for name in (_OURS, _PEER)}
    photos = [check_photos.read_servable_photo(path) for path in paths]
    with contextlib.ExitStack() as servers:
        sent = {
            name: _Sender(servers.enter_context(local_server(version, name)), photos)
            for name, version in exported.items()
        }

        def details() -> str:
            sizes = [f"{_bytes(exported[name]) / 1e6:.0f}" for name in (_OURS, _PEER)]
            agreement = Agreement.measure(sent[_OURS].posteriors, sent[_PEER].posteriors)
            return f"{sizes[0]} MB in place of {sizes[1]}; {agreement}"

        shown = Path(settings.model).name or f"net D, width {width:g}"
        name = f"{shown}, each of {len(photos)} photos"
        yield [Figure(name=name, ours=sent[_OURS], peer=sent[_PEER], details=details)]


BENCHMARK = Benchmark(
    ours="an exported model in bfloat16, served over gRPC on this machine",
    peer="the same model in float32",
    prepare=prepare,
)
