"""Asks a served model what strangers would ask it, and tells how fast and how right its answers are.

python -m vgg_keras.serve_check --model=saved_models/vgg16
python -m vgg_keras.serve_check --model=saved_models/vgg16 --url=http://localhost:8501 --url=grpc://localhost:8500
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from vgg_keras.data import photo_files
from vgg_keras.inference import loading
from vgg_keras.inference.loading import Protocol
from vgg_keras.inference.predictor import Predictor
from vgg_keras.serving import exporter, versions, warmup
from vgg_keras.serving.agreement import TOLERANCES
from vgg_keras.serving.checks import Checks, Outcome, Photos, run_all
from vgg_keras.serving.client import Client, connect, local_server
from vgg_keras.serving.servable import CLASSIFY
from vgg_keras.utils import cli
from vgg_keras.utils.cli import UserError, option


@dataclasses.dataclass(frozen=True)
class ServeCheckOptions:
    """Flags of `vgg_keras.serve_check`."""

    model: str = option("", "the folder of versions; its newest one is checked", required=True)
    url: tuple[str, ...] = option(
        (),
        "of a server: http://HOST:8501 (REST) or grpc://HOST:8500, again for both; none: a process of its own that has "
        "TensorFlow alone",
    )
    name: str = option("", "the model's name on the server; empty: the folder's")
    photos: tuple[str, ...] = option(
        (), "a file, folder or glob of JPEG, PNG, GIF or BMP photos, again for more; none: those of the warm-up file"
    )
    source: str = option("", "the .keras file that --photos are compared with; empty: the one it was exported from")
    concurrency: int = option(4, "requests at the same time", lower=1)
    batch_size: int = option(8, "photos in a request of several", lower=2)


def sent_photos(flags: ServeCheckOptions, record: dict, requests: Sequence[warmup.Request]) -> Photos:
    """Returns the photos that are sent, and what the source model says of them."""
    if not flags.photos:
        known = [one for one in requests if one.signature == CLASSIFY and len(one.inputs["image_bytes"]) == 1]
        expected = np.concatenate([one.expected["posterior"] for one in known])
        return Photos([one.inputs["image_bytes"][0] for one in known], expected)
    source = flags.source or record["source"]
    scales = ",".join(map(str, record["test_scales"]))
    protocol = Protocol(record["method"], scales, record["flip"], record["average"])
    predictor = Predictor(loading.inspect(source, protocol), protocol)
    if not flags.source and predictor.model.sha256 != record["source_sha256"]:
        raise UserError(f"{source} is not the file that {flags.model} was exported from; name that with --source")
    sent = [exporter.read_photo(path) for path in photo_files.find(flags.photos)]
    return Photos(sent, exporter.source_posteriors(predictor, sent))


def show(title: str, outcomes: Sequence[Outcome]) -> None:
    """Prints a row for each check."""
    table = Table("check", "requests", "photos", "p50 ms", "p99 ms", "photos/s", "same top-1", "largest diff.", "")
    table.title = title
    for outcome in outcomes:
        timed, compared = ("",) * 5, ("",) * 2
        if outcome.seconds:
            latencies = [f"{outcome.percentile(percent):.0f}" for percent in (50, 99)]
            counts = (str(len(outcome.seconds)), str(outcome.num_images))
            timed = (*counts, *latencies, f"{outcome.images_per_second():.2f}")
        if outcome.agreement:
            found = outcome.agreement
            compared = (f"{found.same_top1} of {found.num_photos}", f"{found.largest_difference:.1e}")
        table.add_row(outcome.check, *timed, *compared, outcome.problem or "ok")
    cli.print_table(table)


@contextlib.contextmanager
def servers(flags: ServeCheckOptions, version: Path, name: str) -> Iterator[dict[str, Client]]:
    """Yields a client for each server, by what it is called."""
    if flags.url:
        yield {url: connect(url, name) for url in flags.url}
        return
    with local_server(version, name) as client:
        yield {"a process with TensorFlow alone": client}


def main(flags: ServeCheckOptions) -> None:
    """Checks every server; fails if anything is wrong."""
    folder = Path(flags.model)
    version = versions.newest(folder)
    record_file = version / exporter.EXTRA / exporter.RECORD
    try:
        record = json.loads(record_file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{record_file} is missing or damaged, so this is no export of ours: {error}") from error
    requests = warmup.read(version)
    sent = sent_photos(flags, record, requests)
    failed = []
    with servers(flags, version, flags.name or folder.resolve().name) as clients:
        for place, client in clients.items():
            checks = Checks(
                client,
                sent,
                tolerance=TOLERANCES[record["precision"]],
                max_pixels=round(record["max_megapixels"] * 1e6),
                concurrency=flags.concurrency,
                batch_size=flags.batch_size,
            )
            outcomes = run_all(checks, requests, lambda check: print(f"{check} ..."))
            show(f"{version}, {record['net']}, {record['precision']}: {place}", outcomes)
            failed += [f"{outcome.check} ({place})" for outcome in outcomes if outcome.problem]
    if failed:
        raise UserError(f"{len(failed)} checks failed: {', '.join(failed)}")


if __name__ == "__main__":
    cli.run(main, ServeCheckOptions)
