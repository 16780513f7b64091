"""Tests the verb `serve_check`: on a process with TensorFlow alone, over both protocols, and on broken servers."""

import dataclasses
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.helpers import rest_server
from tests.helpers.evaluation_data import CLASSES, SIZES, photo, save_net
from tests.helpers.exif_photos import turned_photo
from tests.helpers.verbs import call_verb
from vgg_keras import serve_check
from vgg_keras.inference.protocol import OWN, TestProtocol
from vgg_keras.serving import check_photos, exporter, warmup
from vgg_keras.serving.checks import Checks, Outcome, Photos, run_all
from vgg_keras.serving.client import Client, RequestRefused, connect, local_server
from vgg_keras.serving.exporter import ExportConfig
from vgg_keras.tasks import serving_check
from vgg_keras.tasks.options import ServeCheckOptions
from vgg_keras.utils import console
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import parse

pytestmark = pytest.mark.multiprocess
ALL = ["warm-up file", "one photo a request", "4 photos a request", "4 requests at a time", "PNG, BMP and GIF in one"]
ALL += ["turned by EXIF"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Makes a folder with a run in run/, its exported model in models/tiny/, and photos in photos/."""
    folder = tmp_path_factory.mktemp("served")
    save_net("A", folder / "run")
    (folder / "run" / "label_names.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    (folder / "photos").mkdir()
    for index, size in enumerate(SIZES):
        (folder / "photos" / f"{index}.jpg").write_bytes(photo(index, size))
    # The exported model has to turn it, as the source model's photos are turned.
    upright = Image.open(io.BytesIO(photo(3, SIZES[3])))
    (folder / "photos" / "3.jpg").write_bytes(turned_photo(6, upright))
    photos = check_photos.read_check_photos(folder / "run" / "best.keras", str(folder / "photos"))
    config = ExportConfig(TestProtocol(OWN, temperature=1.7))
    exporter.export(folder / "run" / "best.keras", folder / "models" / "tiny", photos, config)
    return folder


@pytest.fixture(scope="module")
def server(place):
    """Yields a client of a process that serves the model."""
    with local_server(place / "models" / "tiny" / "1", "tiny") as client:
        yield client


def run(place, *arguments):
    call_verb(serve_check.main, [f"--model={place / 'models' / 'tiny'}", *arguments], ServeCheckOptions)


def rows(printed):
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines() if line.startswith("│")]


def test_a_process_with_tensorflow_alone(place, capsys):
    run(place)
    printed = capsys.readouterr().out
    assert ", A, float32, temperature 1.7: a process" in printed
    found = rows(printed)
    assert [row[0] for row in found] == [*ALL, "malformed"]
    assert {row[-1] for row in found} == {"ok"}
    # The four photos of the warm-up file are sent one by one, in one request, and twice in concurrent requests.
    assert [row[1:3] for row in found[1:4]] == [["4", "4"], ["1", "4"], ["8", "8"]]
    assert [row[6] for row in found[1:4]] == ["4 of 4", "4 of 4", "8 of 8"]
    assert all(float(row[3]) > 0 and float(row[4]) >= float(row[3]) and float(row[5]) > 0 for row in found)


def test_photos_of_ones_own_over_rest_and_grpc(place, server, capsys):
    address = server.address
    with rest_server.serving(server, "flowers") as url:
        urls = [f"--url={url}", f"--url=grpc://{address}"]
        run(place, "--name=flowers", *urls, f"--photos={place / 'photos'}", "--batch_size=2", "--concurrency=2")
    printed = capsys.readouterr().out
    found = rows(printed)
    assert len(found) == 14
    assert {row[-1] for row in found} == {"ok"}
    assert found[1][1:3] == ["9", "9"]
    assert found[2][1:3] == ["5", "9"]
    assert found[9][6] == "9 of 9"
    assert url in printed


def test_both_protocols_give_the_same(server):
    inputs = warmup.encode_photos([photo(1, (90, 64)), photo(2, (50, 97))])
    image = {"images": np.random.default_rng(0).uniform(0, 255, (1, 64, 96, 3)).astype(np.float32)}
    with rest_server.serving(server, "tiny") as url:
        rest = connect(url, "tiny")
        for signature, arguments in (("serving_default", inputs), ("dense", image), ("features", inputs)):
            one, other = (client.predict(signature, arguments) for client in (rest, server))
            assert one.keys() == other.keys()
            for name in one.keys() - {"class_names"}:
                np.testing.assert_allclose(one[name], other[name], rtol=1e-6)
        for client in (rest, server):
            with pytest.raises(
                RequestRefused, match=r"(?s)INVALID_ARGUMENT.*image_bytes\[1\] does not decode"
            ) as refused:
                client.predict("serving_default", warmup.encode_photos([photo(1, (90, 64)), b"text"]))
            assert refused.value.code == "INVALID_ARGUMENT"
        with pytest.raises(RequestRefused, match=r"NOT_FOUND: no such model: /v1/models/other:predict"):
            connect(url, "other").predict("features", inputs)
    with pytest.raises(RequestRefused, match="UNAVAILABLE"):
        connect(url, "tiny").predict("features", inputs)
    with pytest.raises(RequestRefused, match="FAILED_PRECONDITION: there is no signature nonsense"):
        server.predict("nonsense", inputs)
    with pytest.raises(RequestRefused, match="INVALID_ARGUMENT: dense takes images"):
        server.predict("dense", inputs)


@dataclasses.dataclass
class Broken:
    """A client that passes requests on to a server and damages its answers with a function."""

    server: Client
    breaks: object

    def predict(self, signature, inputs):
        return self.breaks(self.server, signature, inputs)


def shifted(server, signature, inputs):
    outputs = server.predict(signature, inputs)
    return {name: np.roll(value, 1, axis=-1) if name == "posterior" else value for name, value in outputs.items()}


def not_a_number(server, signature, inputs):
    outputs = server.predict(signature, inputs)
    return {name: np.full_like(value, np.nan) if name == "posterior" else value for name, value in outputs.items()}


def by_place(server, signature, inputs):
    """Lets the answer depend on the photo's position in the request."""
    outputs = server.predict(signature, inputs)
    shift = 2e-5 * np.arange(len(outputs["posterior"]))[:, np.newaxis] if "posterior" in outputs else 0
    return {name: value + shift if name == "posterior" else value for name, value in outputs.items()}


def lying(server, signature, inputs):
    """Takes the EXIF data off photos, so that the server sees them as they lie."""

    def stripped(content):
        return content.replace(b"Exif\0\0", b"exif\0\0")

    if "image_bytes" in inputs:
        inputs = warmup.encode_photos([stripped(content) for content in inputs["image_bytes"]])
    return server.predict(signature, inputs)


def careless(server, signature, inputs):
    """Reports every bad request as an internal error of the server."""
    try:
        return server.predict(signature, inputs)
    except RequestRefused as refused:
        raise RequestRefused("INTERNAL", "something went wrong") from refused


def generous(server, signature, inputs):
    try:
        return server.predict(signature, inputs)
    except RequestRefused:
        return {"posterior": np.full((len(inputs["image_bytes"]), 6), 1 / 6)}


@pytest.mark.parametrize(
    ("breaks", "check", "problem"),
    [
        (shifted, "warm-up file", r"answers differ by \d.*e-01 from those in the file"),
        (not_a_number, "warm-up file", "answers differ by nan from those in the file"),
        (not_a_number, "one photo a request", "more than 0.0001 from the source model"),
        (shifted, "one photo a request", "more than 0.0001 from the source model"),
        (by_place, "4 photos a request", r"the same photo gets answers that differ by \d\.\de-0[45]"),
        (lying, "turned by EXIF", r"the same photo gets answers that differ by \d"),
        (careless, "malformed", r"text: should be INVALID_ARGUMENT and name image_bytes\[1\], is INTERNAL: something"),
        (
            generous,
            "malformed",
            r"text: was answered; an empty image: was answered; half a photo: was answered; 10001x",
        ),
    ],
)
def test_what_a_broken_server_is_found_out_by(breaks, check, problem, place, server):
    requests = warmup.read(place / "models" / "tiny" / "1")
    known = [one for one in requests if len(one.inputs.get("image_bytes", [])) == 1]
    photos = Photos(
        [one.inputs["image_bytes"][0] for one in known], np.concatenate([one.expected["posterior"] for one in known])
    )
    checks = Checks(Broken(server, breaks), photos, tolerance=1e-4, max_pixels=100_000_000)
    outcomes = {outcome.check: outcome for outcome in run_all(checks, requests, lambda _: None)}
    assert re.search(problem, outcomes[check].problem), outcomes[check].problem


def test_percentiles_and_throughput_by_hand():
    outcome = Outcome("x", seconds=[0.1, 0.2, 0.3, 0.4, 0.5], num_images=10, wall_seconds=2.0)
    assert outcome.percentile(50) == pytest.approx(300)
    assert outcome.percentile(99) == pytest.approx(496)  # 4% of the way from 500 to 400 ms
    assert outcome.images_per_second() == 5


def test_errors(place, tmp_path, capsys):
    with pytest.raises(UserError, match=r"--url=localhost:8501 must be http://HOST:PORT for REST"):
        run(place, "--url=localhost:8501")
    with pytest.raises(UserError, match=r"1 checks failed: warm-up file \(http://127\.0\.0\.1:1\)"):
        run(place, "--url=http://127.0.0.1:1")
    assert "Connection refused" in capsys.readouterr().out
    (tmp_path / "1" / "assets.extra").mkdir(parents=True)
    with pytest.raises(UserError, match=r"export\.json is missing; vgg_keras\.export writes it into each version"):
        call_verb(serve_check.main, [f"--model={tmp_path}"], ServeCheckOptions)
    record = tmp_path / "1" / "assets.extra" / "export.json"
    record.write_text("{}")
    with pytest.raises(UserError, match=r"export\.json is damaged: it has no source; .* export the model again"):
        call_verb(serve_check.main, [f"--model={tmp_path}"], ServeCheckOptions)
    whole = place / "models" / "tiny" / "1"
    record.write_bytes((whole / "assets.extra" / "export.json").read_bytes())
    with pytest.raises(UserError, match=r"1 is not whole: saved_model\.pb is missing; export the model again"):
        call_verb(serve_check.main, [f"--model={tmp_path}"], ServeCheckOptions)
    shutil.copy(whole / "saved_model.pb", tmp_path / "1")
    shutil.copytree(whole / "assets", tmp_path / "1" / "assets")
    with pytest.raises(UserError, match="tf_serving_warmup_requests is missing or damaged"):
        call_verb(serve_check.main, [f"--model={tmp_path}"], ServeCheckOptions)
    with pytest.raises(UserError, match="cannot be served: "), local_server(tmp_path / "1", "x"):
        pass


def test_photos_are_compared_with_the_model_that_was_exported(place, tmp_path):
    record = place / "models" / "tiny" / "1" / "assets.extra" / "export.json"
    content = json.loads(record.read_text())
    other = {**content, "source": str(place / "run" / "best.keras"), "source_sha256": "0" * 64}
    flags = parse([f"--model={place}", f"--photos={place / 'photos'}"], ServeCheckOptions)
    with pytest.raises(
        UserError, match=r"best\.keras is not the file that .* was exported from; name that with --source"
    ):
        serving_check.photos_to_send(flags, other, [])
    picture = Image.open(io.BytesIO(photo(0, (90, 64))))
    picture.save(tmp_path / "a.webp")
    flags = parse([f"--model={place}", f"--photos={tmp_path / 'a.webp'}"], ServeCheckOptions)
    with pytest.raises(UserError, match=r"a\.webp does not decode: it is no JPEG, PNG, GIF or BMP"):
        serving_check.photos_to_send(flags, content, [])


def test_photos_that_cannot_be_sent_are_reported_and_the_rest_is_sent(place, tmp_path, capsys):
    good = photo(0, (90, 64))
    (tmp_path / "a.jpg").write_bytes(good)
    (tmp_path / "b.jpg").write_bytes(good[:-200])
    (tmp_path / "c.png").write_bytes(b"no image")
    Image.new("RGB", (2000, 2)).save(tmp_path / "d.png")
    flags = parse([f"--model={place}", f"--photos={tmp_path}"], ServeCheckOptions)
    record = json.loads((place / "models" / "tiny" / "1" / "assets.extra" / "export.json").read_text())
    with console.speaking(True):
        sent = serving_check.photos_to_send(flags, record, [])
    assert (sent.encoded, sent.expected.shape) == ((good,), (1, len(CLASSES)))
    errors = capsys.readouterr().err
    assert re.search(r"left out: .*b\.jpg does not decode: ", errors)
    assert re.search(r"left out: .*c\.png does not decode: it is no JPEG, PNG, GIF or BMP", errors)
    assert re.search(r"left out: .*d\.png: is too long and thin \(2000x2\)", errors)
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(UserError, match=r"none of the 3 photos can be sent: .*b\.jpg does not decode: .*; .*c\.png"):
        serving_check.photos_to_send(flags, record, [])
