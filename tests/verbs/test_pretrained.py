"""Tests the verb `pretrained`: the models that it makes from files of weights, and what it refuses."""

import keras
import numpy as np
import pytest

import vgg_keras as vgg
from tests.helpers.torch_net import CLASSES, images, torch_forward, torch_save, torch_state
from tests.helpers.verbs import call_verb
from vgg_keras import pretrained
from vgg_keras.models import saving
from vgg_keras.tasks.options import PretrainedOptions
from vgg_keras.utils.errors import UserError


@pytest.fixture
def source(tmp_path):
    torch_save(torch_state("A", False), tmp_path / "vgg.pth")
    return tmp_path / "vgg.pth"


def run(source, output, *flags):
    call_verb(pretrained.main, [f"--source={source}", f"--output={output}", *flags], PretrainedOptions)
    return keras.saving.load_model(output)


def test_the_model_gives_what_the_source_gives(source, tmp_path, capsys):
    model = run(source, tmp_path / "models" / "a.keras", "--strict")
    expected = [torch_forward("A", torch_state("A", False), False, image) for image in images(224)]
    np.testing.assert_allclose(model(images(224)), expected, atol=1e-4)
    assert "initialized from it: block1_conv1, block2_conv1" in capsys.readouterr().out


def test_another_head_and_another_net(source, tmp_path, capsys):
    model = run(source, tmp_path / "b.keras", "--net=B", f"--num_classes={CLASSES + 1}", "--seed=3")
    assert (model.name, model.output_shape) == ("vgg_b", (None, CLASSES + 1))
    printed = capsys.readouterr().out
    # Between different nets only four convolutions and the FC layers are copied, as in the paper.
    assert "initialized from it: block1_conv1, block2_conv1, block3_conv1, block3_conv2, fc6, fc7\n" in printed
    assert "since the shapes differ: fc8 ((256, 5), here (256, 6))" in printed
    again = run(source, tmp_path / "c.keras", "--net=B", f"--num_classes={CLASSES + 1}", "--seed=3")
    np.testing.assert_array_equal(again(images(224)), model(images(224)))


def test_what_is_refused(source, tmp_path):
    with pytest.raises(UserError, match=r"--strict: vgg\.pth does not fit vgg_a"):
        run(source, tmp_path / "a.keras", "--num_classes=9", "--strict")
    with pytest.raises(UserError, match=r"--output=.*a\.h5 must end in \.keras"):
        run(source, tmp_path / "a.h5")
    with pytest.raises(UserError, match=r"--net=Z must be one of A, A-LRN, B"):
        run(source, tmp_path / "a.keras", "--net=Z")
    with pytest.raises(UserError, match="input_size must be a positive multiple of 32, received 100"):
        run(source, tmp_path / "a.keras", "--input_size=100")
    torch_save({k: v for k, v in torch_state("A", False).items() if "features" in k}, tmp_path / "trunk.pth")
    with pytest.raises(UserError, match=r"trunk\.pth does not tell the number of classes: give --num_classes"):
        run(tmp_path / "trunk.pth", tmp_path / "a.keras")
    assert [path.name for path in tmp_path.glob("*.keras")] == []


@pytest.mark.multiprocess
def test_training_starts_from_it_with_its_mean(source, drawn_data, run_verb, tmp_path):
    flags = ["--net=A", f"--data_dir={drawn_data}", "--width_multiplier=0.0625", "--batch_size=8", "--max_steps=1"]
    flags += ["--learning_rate=0", "--precision=float32"]
    code, stdout, stderr = run_verb("vgg_keras.train", *flags, "--output_dir=run", f"--init_from={source}")
    assert code == 0, stderr
    assert "initialized from it: block1_conv1" in stdout
    trained = saving.load_model(tmp_path / "run" / "best.keras")
    expected = [torch_forward("A", torch_state("A", False), False, image) for image in images(224)]
    np.testing.assert_allclose(trained(images(224)), expected, atol=1e-4)
    code, _, stderr = run_verb("vgg_keras.train", *flags, "--output_dir=other", "--init_from=text.pth")
    assert code == 1
    assert "error: text.pth is missing" in stderr


@pytest.mark.parametrize(("num_classes", "known"), [(1000, True), (10, False)])
def test_a_model_of_imagenets_classes_knows_their_names(num_classes, known, tmp_path):
    theirs = keras.applications.VGG16(weights=None, input_shape=(32, 32, 3), classes=num_classes)
    theirs.save(tmp_path / "theirs.h5")
    run(tmp_path / "theirs.h5", tmp_path / "ours.keras")
    model = vgg.load(tmp_path / "ours.keras")
    assert len(model.labels) == num_classes
    # Class 878 is n04505470 in the official list.
    expected = {0: "tench", 281: "tabby", 878: "typewriter keyboard", 999: "toilet tissue"}
    for index, name in expected.items():
        if index < num_classes:
            assert model.labels[index] == (name if known else f"class {index}")
