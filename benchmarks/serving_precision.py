"""Compares the serving times of exported models, such as bfloat16 with float32.

    python -m vgg_keras.export --model=runs/d --output_dir=saved_models/d
    python -m vgg_keras.export --model=runs/d --output_dir=saved_models/d_bfloat16 --precision=bfloat16
    python -m benchmarks.serving_precision --model=saved_models/d --model=saved_models/d_bfloat16 --photos=photos/

Serves the newest version of each model in a process that imports TensorFlow only, and sends each photo to all of them
before the next one, so that other work on the machine slows all of them equally.

Predicted for a CPU without bfloat16 units: half the speed, since every layer has to convert. Measured on two such
cores, net D at Q = 256 with mirror images, 24 photos: 1.00 times as fast (640 ms for a photo), with the same best class
for all photos and posteriors within 0.0033. There bfloat16 halves the memory at no cost in time.
"""

import contextlib
import dataclasses
import time
from pathlib import Path

import numpy as np

from vgg_keras.data import photo_files
from vgg_keras.serving import check_photos, versions, warmup
from vgg_keras.serving.agreement import Agreement
from vgg_keras.serving.client import local_server
from vgg_keras.serving.servable import CLASSIFY
from vgg_keras.utils import cli, console
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import Options, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(Options):
    """Flags of the benchmark."""

    model: tuple[str, ...] = option((), "a folder of versions; again for those that are compared with the first")
    photos: str = option("", "a folder or a glob of photos", required=True)


def main(options: BenchmarkOptions) -> None:
    """Prints the milliseconds per photo of each model, its speed relative to the first, and how far they agree.

    Raises:
        UserError: fewer than two models are given, or a photo or a model cannot be used.
    """
    if len(options.model) < 2:
        raise UserError("name two models or more, each with --model")
    sent = [check_photos.read_servable_photo(path) for path in photo_files.find([options.photos])]
    seconds = np.zeros((len(options.model), len(sent)))
    answers = [[] for _ in options.model]
    with contextlib.ExitStack() as servers:
        clients = [
            servers.enter_context(local_server(versions.newest(Path(folder)), "model")) for folder in options.model
        ]
        for client in clients:
            client.predict(CLASSIFY, warmup.encode_photos(sent[:1]))
        with console.progress_bar("photos", len(sent), " photos", leave=False) as bar:
            for number, photo in enumerate(sent):
                for index, client in enumerate(clients):
                    start = time.perf_counter()
                    outputs = client.predict(CLASSIFY, warmup.encode_photos([photo]))
                    seconds[index, number] = time.perf_counter() - start
                    answers[index].append(outputs["posterior"][0])
                bar.update()
    for folder, taken, said in zip(options.model, seconds, answers, strict=True):
        ratio = np.median(seconds[0]) / np.median(taken)
        found = Agreement.measure(np.stack(said), np.stack(answers[0]))
        print(f"{folder}: {1000 * np.median(taken):.0f} ms a photo, {ratio:.2f} times as fast as the first; {found}")


if __name__ == "__main__":
    cli.run(main, BenchmarkOptions)
