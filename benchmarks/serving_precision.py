"""How many photos a second does one exported model serve against another, such as bfloat16 against float32?

    python -m vgg_keras.export --model=runs/d --output_dir=saved_models/d
    python -m vgg_keras.export --model=runs/d --output_dir=saved_models/d_bfloat16 --precision=bfloat16
    python -m benchmarks.serving_precision --model=saved_models/d --model=saved_models/d_bfloat16 --photos=photos/

Serves the newest version of each in a process with TensorFlow alone, and asks them in turn, photo by photo, so that
what else the machine does falls on both alike.

Predicted for a CPU without bfloat16 units: half the speed, since every layer has to convert. Seen on two such cores,
net D at Q = 256 with mirror images, 24 photos: 1.00 times as fast (640 ms a photo); the same best class on all,
posteriors within 0.0033. So there bfloat16 saves half of the memory and costs no time.
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
from vgg_keras.utils import cli
from vgg_keras.utils.cli import UserError, option


@dataclasses.dataclass(frozen=True)
class BenchmarkOptions:
    """Flags of the benchmark."""

    model: tuple[str, ...] = option((), "a folder of versions; again for those that are compared with the first")
    photos: str = option("", "a folder or a glob of photos", required=True)


def main(options: BenchmarkOptions) -> None:
    """Prints the seconds a photo of each model, the ratio to the first, and how far they say the same."""
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
        with cli.progress_bar("photos", len(sent), " photos", leave=False) as bar:
            for place, photo in enumerate(sent):
                for index, client in enumerate(clients):
                    start = time.perf_counter()
                    outputs = client.predict(CLASSIFY, warmup.encode_photos([photo]))
                    seconds[index, place] = time.perf_counter() - start
                    answers[index].append(outputs["posterior"][0])
                bar.update()
    for folder, taken, said in zip(options.model, seconds, answers, strict=True):
        ratio = np.median(seconds[0]) / np.median(taken)
        found = Agreement.measure(np.stack(said), np.stack(answers[0]))
        print(f"{folder}: {1000 * np.median(taken):.0f} ms a photo, {ratio:.2f} times as fast as the first; {found}")


if __name__ == "__main__":
    cli.run(main, BenchmarkOptions)
