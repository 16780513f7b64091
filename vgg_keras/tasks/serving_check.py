"""Sends valid and malformed requests to a served model; reports latency and agreement with its source."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vgg_keras.data import photo_files
from vgg_keras.data.photo_decoding import BadImage
from vgg_keras.inference.loading import load_for_inference
from vgg_keras.inference.localizer import Localizer
from vgg_keras.inference.predictor import Predictor
from vgg_keras.inference.protocol import SCORES, TestProtocol
from vgg_keras.models.architectures import LOCALIZATION
from vgg_keras.serving import export_record, localizer_exporter, questions, versions, warmup
from vgg_keras.serving.agreement import TOLERANCES
from vgg_keras.serving.check_photos import decode_as_served, read_servable_photo
from vgg_keras.serving.checks import Checks, Outcome, Photos, run_all
from vgg_keras.serving.client import Client, connect, local_server
from vgg_keras.serving.warmup import WarmUpRequest
from vgg_keras.tasks.options import ServeCheckOptions
from vgg_keras.utils import console, files
from vgg_keras.utils.display import ShownTable
from vgg_keras.utils.errors import UserError

_COLUMNS = ("check", "requests", "photos", "p50 ms", "p99 ms", "photos/s", "same top-1", "largest diff.", "")

# Number of photos that an error names.
_MOST_NAMED = 3


class SourceModel(NamedTuple):
    """The model that was exported.

    Attributes:
        sha256: SHA-256 of its file, in hexadecimal digits.
        answer: function from a photo, (H, W, 3) uint8, to its answer: posteriors (classes,), or boxes (n, 4).
    """

    sha256: str
    answer: Callable[[np.ndarray], np.ndarray]


def load_source(path: Path, record: Mapping) -> SourceModel:
    """Loads the model that was exported, to be shown photos in the same way.

    Args:
        path: its `.keras` file.
        record: record of the exported model.

    Raises:
        UserError: the model is missing, damaged or of another kind.
    """
    scales = ",".join(map(str, record["test_scales"]))
    shown = (record["method"], scales, record["flip"], record.get("average", SCORES), record.get("temperature", 1.0))
    protocol = TestProtocol(*shown)
    if record.get("task") == LOCALIZATION:
        localizer = Localizer.load(path, protocol)
        return SourceModel(files.sha256(localizer.path), localizer_exporter.source_boxes(localizer, protocol))
    predictor = Predictor(load_for_inference(path, protocol), protocol)
    return SourceModel(predictor.model.sha256, predictor.posteriors)


def photos_to_send(options: ServeCheckOptions, record: dict, requests: Sequence[WarmUpRequest]) -> Photos:
    """Reads the photos that are sent, and the source model's answers to them.

    Args:
        options: flags of the verb.
        record: record of the exported model.
        requests: requests of the warm-up file, whose photos are sent if --photos is not given.

    Raises:
        UserError: no photo can be used, the source model is missing, or the model was exported from another file.
    """
    if not options.photos:
        signature, output, _ = questions.of_record(record)
        known = [one for one in requests if one.signature == signature and len(one.inputs["image_bytes"]) == 1]
        if not known:
            raise UserError(f"{options.model}: its warm-up file holds no single photo; name some with --photos")
        expected = np.concatenate([one.expected[output] for one in known])
        return Photos([one.inputs["image_bytes"][0] for one in known], expected)
    path = options.source or record["source"]
    source = load_source(Path(path), record)
    if not options.source and source.sha256 != record["source_sha256"]:
        raise UserError(f"{path} is not the file that {options.model} was exported from; name that with --source")
    upright = _turns_upright(record)
    return usable_photos(source.answer, photo_files.find(options.photos), turned_upright=upright)


def _turns_upright(record: Mapping) -> bool:
    """Returns whether an exported model turns photos by their EXIF orientation; those of earlier versions do not."""
    return record.get("turned_upright", False)


def usable_photos(
    answer: Callable[[np.ndarray], np.ndarray], paths: Sequence[Path], *, turned_upright: bool = True
) -> Photos:
    """Reads photos, and computes the answers to them; reports those that cannot be used, and goes on with the rest.

    Args:
        answer: function from a photo, (H, W, 3) uint8, to the source model's answer.
        paths: files of the photos.
        turned_upright: whether the exported model turns photos upright.

    Raises:
        UserError: none can be used.
    """
    usable: list[tuple[bytes, np.ndarray]] = []
    problems = []
    with console.progress_bar("trained model", len(paths), " photos", leave=False) as bar:
        for path in paths:
            try:
                photo = read_servable_photo(path)
                usable.append((photo, answer(decode_as_served(photo, turned_upright=turned_upright))))
            except UserError as error:
                problems.append(str(error))
            except (BadImage, OSError) as error:
                problems.append(f"{path}: {error}")
            bar.update()
    if not usable:
        raise UserError(f"none of the {len(paths)} photos can be sent: {'; '.join(problems[:_MOST_NAMED])}")
    for problem in problems:
        console.warn(f"left out: {problem}")
    sent, expected = zip(*usable, strict=True)
    return Photos(sent, np.stack(expected))


def show(title: str, outcomes: Sequence[Outcome]) -> None:
    """Prints a table with a row for each check."""
    rows = []
    for outcome in outcomes:
        timed, compared = [""] * 5, [""] * 2
        if outcome.seconds:
            latencies = [f"{outcome.percentile(percent):.0f}" for percent in (50, 99)]
            counts = [str(len(outcome.seconds)), str(outcome.num_images)]
            timed = [*counts, *latencies, f"{outcome.images_per_second():.2f}"]
        if outcome.agreement:
            found = outcome.agreement
            compared = [found.same, f"{found.largest_difference:.1e}"]
        rows.append((outcome.check, *timed, *compared, outcome.problem or "ok"))
    console.say_table(ShownTable(title, _COLUMNS, rows, boxed=True))


@contextlib.contextmanager
def open_clients(options: ServeCheckOptions, version: Path, name: str) -> Iterator[dict[str, Client]]:
    """Yields a client for each server, by the server's URL or description; ends a local server afterwards.

    Args:
        options: flags of the verb.
        version: folder of the exported version, which a local server loads.
        name: name of the model on the server.

    Raises:
        UserError: a URL is neither http:// nor grpc://, or the local server cannot load the model.
    """
    if options.url:
        yield {url: connect(url, name) for url in options.url}
        return
    with local_server(version, name) as client:
        yield {"a process with TensorFlow alone": client}


def check_server(options: ServeCheckOptions) -> None:
    """Checks every server, and prints the outcomes.

    Raises:
        UserError: the exported model or the photos cannot be used, or, at the end, a check failed.
    """
    folder = Path(options.model)
    version = versions.newest(folder)
    export_record.require_whole(version)
    record = export_record.read(version)
    if not (version / export_record.MAIN_FILE).exists():
        raise UserError(f"{version} is no SavedModel, which serve_check is for; python -m vgg_keras.evaluate tests it")
    requests = warmup.read(version, record.get("warm_up_requests"))
    sent = photos_to_send(options, record, requests)
    failed = []
    temperature = f", temperature {found:g}" if (found := record.get("temperature", 1.0)) != 1 else ""
    with open_clients(options, version, options.name or folder.resolve().name) as clients:
        for server, client in clients.items():
            checks = Checks(
                client,
                sent,
                tolerance=TOLERANCES[record["precision"]],
                max_pixels=round(record["max_megapixels"] * 1e6),
                question=questions.of_record(record),
                turns_upright=_turns_upright(record),
                concurrency=options.concurrency,
                batch_size=options.batch_size,
            )
            outcomes = run_all(checks, requests, lambda check: console.say(f"{check} ..."))
            show(f"{version}, {record['net']}, {record['precision']}{temperature}: {server}", outcomes)
            failed += [f"{outcome.check} ({server})" for outcome in outcomes if outcome.problem]
    if failed:
        raise UserError(f"{len(failed)} checks failed: {', '.join(failed)}")
