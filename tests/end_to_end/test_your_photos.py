"""Runs the commands of the page "Your own photos", from a folder of photos to a model that is served."""

import json
import tarfile

import pytest

from tests.helpers import documentation

KINDS = ("daisy", "roses", "tulips")
PHOTOS_OF_A_KIND = 8
WEIGHTS = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"


@pytest.fixture
def place(tmp_path, real_data):
    """Makes a working folder with photos of three kinds of flowers, two further photos, and ImageNet's convolutions."""
    counts = dict.fromkeys(KINDS, 0)
    (tmp_path / "new_photos").mkdir()
    with tarfile.open(real_data / "flower_photos.tgz") as tar:
        for member in tar:
            _, _, rest = member.name.partition("/")
            kind, _, name = rest.partition("/")
            if kind in KINDS and name and counts[kind] < PHOTOS_OF_A_KIND + 1:
                counts[kind] += 1
                further = counts[kind] > PHOTOS_OF_A_KIND
                folder = tmp_path / ("new_photos" if further else f"photos/{kind}")
                folder.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(tar.extractfile(member).read())
    (tmp_path / WEIGHTS).symlink_to(real_data / WEIGHTS)
    return tmp_path


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.multiprocess
def test_the_commands_of_the_page_run_in_their_order(place, run_verb):
    commands = [command for command in documentation.commands() if command.page.name == "your-photos.md"]
    need_a_network = {"--init_from=keras_applications", "--dataset=tf_flowers"}
    local = [command for command in commands if not need_a_network & set(command.arguments)]
    assert [command.verb for command in local] == [
        "data_prep.image_folder", "data_prep.verify", "vgg_keras.train", "vgg_keras.train", "vgg_keras.evaluate",
        "vgg_keras.predict", "vgg_keras.export", "vgg_keras.serve_check",
    ]  # fmt: skip
    for command in local:
        code, stdout, stderr = run_verb(command.verb, *command.arguments)
        assert code == 0, (command.verb, stdout, stderr)
    evaluated = json.loads((place / "evaluations/my_photos/evaluation.json").read_text())["results"][-1]
    assert evaluated["num_images"] > 0
    assert (place / "runs/trial/best.keras").exists()
    assert (place / "runs/my_photos/curves.png").read_bytes().startswith(b"\x89PNG")
    assert len((place / "labels.csv").read_text().splitlines()) == 1 + 3 * len(KINDS)  # a line for each label
    assert len(list((place / "predicted").glob("*_class_score_map.png"))) == len(KINDS)
    assert (place / "saved_models/my_photos/1/saved_model.pb").exists()
