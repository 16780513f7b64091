"""Tests the verb `serve_check` on a localizer: a process with TensorFlow alone, REST, and a broken server."""

import numpy as np
import pytest

from tests.helpers import rest_server
from tests.helpers.evaluation_data import SIZES, photo
from tests.helpers.localizers import save_localizer
from tests.helpers.verbs import call_verb
from vgg_keras import serve_check
from vgg_keras.models.architectures import LOCALIZATION
from vgg_keras.serving import localizer_exporter, warmup
from vgg_keras.serving.checks import Checks, Photos, run_all
from vgg_keras.serving.client import connect, local_server
from vgg_keras.serving.exporter import ExportConfig
from vgg_keras.serving.questions import QUESTIONS
from vgg_keras.tasks.options import ServeCheckOptions
from vgg_keras.utils.errors import UserError

pytestmark = pytest.mark.multiprocess
SENT = [photo(index, size) for index, size in enumerate(SIZES[:3])]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Makes a folder with a localizer, its exported model in models/, and photos in photos/."""
    folder = tmp_path_factory.mktemp("served")
    save_localizer(folder / "pcr.keras", "pcr")
    (folder / "photos").mkdir()
    for index, encoded in enumerate(SENT):
        (folder / "photos" / f"{index}.jpg").write_bytes(encoded)
    localizer_exporter.export(folder / "pcr.keras", folder / "models", SENT, ExportConfig())
    return folder


def run(place, *arguments):
    call_verb(serve_check.main, [f"--model={place / 'models'}", *arguments], ServeCheckOptions)


def rows(printed):
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines() if line.startswith("│")]


def test_the_warm_up_file_and_photos_of_ones_own(place, capsys):
    run(place)
    of_file = rows(capsys.readouterr().out)
    with local_server(place / "models" / "1", "x") as server, rest_server.serving(server, "models") as url:
        run(place, f"--url={url}", f"--photos={place / 'photos'}", "--batch_size=2")
        inputs = warmup.encode_photos(SENT)
        (by_rest,), (by_grpc,) = (
            client.predict("boxes", inputs).values() for client in (connect(url, "models"), server)
        )
    assert by_rest.shape == (3, 6, 4)
    np.testing.assert_allclose(by_rest, by_grpc, rtol=1e-6)
    for found in (of_file, rows(capsys.readouterr().out)):
        assert [row[0] for row in found][:2] == ["warm-up file", "one photo a request"]
        assert {row[-1] for row in found} == {"ok"}
        assert len(found) == 7
        assert found[1][2] == "3"
        assert float(found[1][-2]) < 1e-4


def test_another_source_and_wrong_answers_are_found_out(place, tmp_path):
    save_localizer(tmp_path / "pcr.keras", "pcr", [(0.5, 0.5, 0.5, 0.5)] * 6)
    with pytest.raises(UserError, match="3 checks failed: one photo a request"):
        run(place, f"--source={tmp_path / 'pcr.keras'}", f"--photos={place / 'photos'}")

    class Shifted:
        """A server whose boxes are a tenth of the photo too low."""

        def predict(self, signature, inputs):
            (expected,) = [one.expected["boxes"] for one in requests if len(one.inputs["image_bytes"]) == 3]
            return {"boxes": np.resize(expected, (len(inputs["image_bytes"]), *expected.shape[1:])) + 0.1}

    requests = warmup.read(place / "models" / "1")
    together = requests[-1]
    checks = Checks(Shifted(), Photos(SENT, together.expected["boxes"]), 1e-4, 10**8, question=QUESTIONS[LOCALIZATION])
    outcomes = {one.check: one.problem for one in run_all(checks, [together], lambda _: None)}
    assert outcomes["warm-up file"] == "answers differ by 1.0e-01 from those in the file"
    assert outcomes["3 photos a request"] == "more than 0.0001 from the source model"
