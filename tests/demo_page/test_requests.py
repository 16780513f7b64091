"""Sends the demo what no page sends: other files of the machine, and values that do not fit."""

import json
import os
import uuid

import pytest

from tests.helpers import demos
from tests.helpers.evaluation_data import photo, save_net
from vgg_keras.demo_page import guarded_page
from vgg_keras.utils.errors import UserError

pytest.importorskip("gradio", reason="Gradio, which the extra demo installs, is not here")
httpx = pytest.importorskip("httpx", reason="httpx, which Gradio needs, is not here")

PHOTO = photo(1, (90, 70))
NOT_UPLOADED = "the request names a file that was not uploaded to this page; upload the photo"


class Client:
    """Talks to a demo as its page does, and as no page would.

    Attributes:
        config: what the server says of its page.
    """

    def __init__(self, url):
        self._http = httpx.Client(base_url=url, timeout=60)
        self.config = self._http.get("/config").json()
        self._prefix = self.config["api_prefix"]

    def upload(self, name, encoded):
        """Returns the path that the server gives an uploaded file."""
        (path,) = self._http.post(f"{self._prefix}/upload", files={"files": (name, encoded)}).raise_for_status().json()
        return path

    def functions(self, event, element):
        """Returns the indices of the functions that an event of an element calls."""
        ids = {one["id"]: one["props"].get("elem_id") for one in self.config["components"]}
        return [
            function["id"]
            for function in self.config["dependencies"]
            if any((ids.get(target), name) == (element, event) for target, name in function["targets"])
        ]

    def call(self, function, values, session="", event_data=None):
        """Returns what a function answers, and the error that the client is told, one of which is None."""
        asked = {"data": values, "fn_index": function, "session_hash": session or uuid.uuid4().hex}
        asked["event_data"] = event_data
        self._http.post(f"{self._prefix}/queue/join", json=asked).raise_for_status()
        with self._http.stream(
            "GET", f"{self._prefix}/queue/data", params={"session_hash": asked["session_hash"]}
        ) as lines:
            said = (json.loads(line[5:]) for line in lines.iter_lines() if line.startswith("data:"))
            end = next(one for one in said if one["msg"] == "process_completed")
        return (end["output"]["data"], None) if end["success"] else (None, end["output"]["error"])

    def open(self, path, session=""):
        """Has a file opened as a photo."""
        (function,) = self.functions("change", "file")
        return self.call(function, [{"path": str(path), "meta": {"_type": "gradio.FileData"}}], session)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("requests")
    save_net("A", folder / "run")
    (folder / "outside.jpg").write_bytes(PHOTO)
    return folder


@pytest.fixture(scope="module")
def client(place):
    with demos.served(model=place / "run", max_megabytes=1) as url:
        yield Client(url)


def test_an_uploaded_photo_is_shown(client):
    shown, error = client.open(client.upload("photo.jpg", PHOTO))
    assert error is None
    assert "photo.jpg, 90×70 pixels" in shown[1]


def test_no_other_file_of_the_machine_is_shown(client, place):
    uploaded = client.upload("photo.jpg", PHOTO)
    folder = os.path.dirname(uploaded)
    os.symlink(place / "outside.jpg", os.path.join(folder, "link.jpg"))
    for path in (
        place / "outside.jpg",
        os.path.join(folder, "link.jpg"),
        os.path.join(folder, os.path.relpath(place / "outside.jpg", folder)),
        "https://127.0.0.1:1/photo.jpg",
        f"file://{place}/outside.jpg",
        folder,
        f"{uploaded}\0.jpg",
        "a" * 5000 + ".jpg",
        "",
    ):
        assert client.open(path) == (None, NOT_UPLOADED), path


def test_each_function_is_guarded(client, place):
    """The place of a file in the request does not matter, nor what the function takes there."""
    file = {"path": str(place / "outside.jpg"), "meta": {"_type": "gradio.FileData"}}
    functions = client.config["dependencies"]
    assert len(functions) > 5
    for function in functions:
        if function["inputs"]:
            assert client.call(function["id"], [[{"value": file}]] * len(function["inputs"])) == (None, NOT_UPLOADED)


def test_files_in_the_folder_alone_pass(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("in/a.png", "in.png"):
        (tmp_path / name).touch()
    guarded_page.require_inside([{"path": str(tmp_path / "in" / "a.png")}, None, 3, "in.png"], tmp_path / "in")
    with pytest.raises(UserError, match="not uploaded"):
        guarded_page.require_inside({"a": [{"path": str(tmp_path / "in.png")}]}, tmp_path / "in")


def test_requests_that_do_not_fit_are_answered_in_a_line(client, capfd):
    """Nothing of them stands on the terminal."""
    session = uuid.uuid4().hex
    assert client.open(client.upload("notes.txt", PHOTO))[1].startswith("Invalid file type")
    assert client.open(client.upload("photo.jpg", PHOTO), session)[1] is None
    (choose,) = client.functions("select", "examples")
    assert client.call(choose, [], event_data={"index": 99, "value": None})[1] == "there is no example 99"
    (draw,) = client.functions("select", "tab-explanation")
    for label, scales, method in (
        (0, [64], None), (True, [64], "grad_cam"), (99, [64], "grad_cam"), (1.5, [64], "grad_cam"),
        (0, None, "grad_cam"), (0, 3, "grad_cam"), (1.0, [64], "grad_cam"), (0, [64], "nope"),
        ([], [64], "grad_cam"), ([0], [64], "grad_cam"),
    ):  # fmt: skip
        shown, error = client.call(draw, [None, label, scales, method], session)
        assert error or 'class="problem"' in shown[0], (label, scales, method)
    assert client.call(draw, [None, 0], session)[1]
    shown, error = client.call(draw, [None, 0, [64], "grad_cam"], session)
    assert (error, "<img" in shown[0]) == (None, True)
    assert capfd.readouterr().err == ""
