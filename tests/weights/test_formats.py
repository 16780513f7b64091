"""Tests weights of other libraries: the model has to give the outputs that an independent implementation computes."""

import json
import tarfile

import h5py
import keras
import numpy as np
import pytest

from tests.helpers.photos import decoded
from tests.helpers.torch_net import CLASSES, FC_WIDTH, WIDTHS, images, torch_forward, torch_save, torch_state
from vgg_keras.models import saving, vgg
from vgg_keras.models.architectures import NETS
from vgg_keras.models.vgg import Initialization, build
from vgg_keras.training import run_dir
from vgg_keras.training.checkpoints import Checkpoints
from vgg_keras.training.progress import Progress
from vgg_keras.training.schedules import Plateau
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.keras_compat import KERAS_3
from vgg_keras.weights import formats, transfer


def model_of(source, net=None, **arguments):
    """Builds a net for a source and copies the weights into it; returns the net and the transfer report."""
    model = build(
        net or source.net,
        CLASSES,
        input_size=source.input_size or 224,
        mean_rgb=source.mean_rgb,
        batch_norm=source.has_batch_norm(),
        width_multiplier=source.width_multiplier(),
        initialization=Initialization("glorot", seed=0),
        **arguments,
    )
    return model, transfer.transfer_weights(source, model)


@pytest.mark.parametrize(
    ("net", "batch_norm", "legacy"), [("A", False, False), ("A", False, True), ("B", True, False), ("D", False, False)]
)
def test_torchvision(net, batch_norm, legacy, tmp_path):
    state = torch_state(net, batch_norm)
    torch_save(state, tmp_path / "vgg.pth", legacy)
    source = formats.read_weights(str(tmp_path / "vgg.pth"), net)
    model, report = model_of(source)
    assert (source.net, report.complete()) == (net, True)
    expected = [torch_forward(net, state, batch_norm, image) for image in images(224)]
    assert np.std(expected, axis=0).max() > 1e-3
    np.testing.assert_allclose(model(images(224)), expected, atol=1e-4)


# --- keras.applications: it computes the expected outputs itself.


def caffe(model, rgb):
    return model(keras.applications.vgg16.preprocess_input(rgb.copy()), training=False).numpy()


@pytest.mark.slow
@pytest.mark.parametrize(("net", "name"), [("D", "VGG16"), ("E", "VGG19")])
def test_keras_applications_with_top(net, name, tmp_path):
    keras.utils.set_random_seed(1)
    theirs = getattr(keras.applications, name)(weights=None, input_shape=(64, 64, 3), classes=CLASSES)
    rng = np.random.default_rng(0)
    for layer in theirs.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, rng.uniform(-0.2, 0.2, bias.shape)])
    last = theirs.get_layer("predictions")
    kernel, bias = last.get_weights()
    before = keras.Model(theirs.input, theirs.get_layer("fc2").output)
    scores = caffe(before, images(64)) @ kernel
    last.set_weights([kernel / scores.std(axis=0), bias - (scores / scores.std(axis=0)).mean(axis=0)])
    expected = caffe(theirs, images(64))
    assert expected.std(axis=0).max() > 1e-3
    theirs.save_weights(tmp_path / "new.weights.h5")
    theirs.save(tmp_path / "whole.h5")
    theirs.save(tmp_path / "whole.keras")
    # Keras 2 writes the newer format without the names of layers, so that it cannot be read.
    for file in ("new.weights.h5", "whole.h5", "whole.keras")[not KERAS_3 :]:
        source = formats.read_weights(str(tmp_path / file), net)
        model, report = model_of(source)
        assert (source.net, source.input_size, report.complete()) == (net, 64, True)
        np.testing.assert_allclose(model(images(64)), expected, atol=1e-4)


@pytest.mark.real_data
def test_the_real_trunk_without_top(real_data, tmp_path):
    path = real_data / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    source = formats.read_weights(str(path), "D")
    model, report = model_of(source)
    assert report.missing == ("fc6", "fc7", "fc8")
    with tarfile.open(real_data / "ilsvrc2012_mini" / "ILSVRC2012_img_val.tar") as tar:
        members = [member for member in tar if member.isfile()][:3]
        photos = [decoded(tar.extractfile(member).read()) for member in members]
    crops = np.stack([photo[:224, :224] for photo in photos if min(photo.shape[:2]) >= 224]).astype(np.float32)
    assert len(crops)
    theirs = keras.applications.VGG16(include_top=False, weights=str(path))
    ours = keras.Model(model.input, model.get_layer("block5_pool").output)
    expected = caffe(theirs, crops)
    np.testing.assert_allclose(ours(crops), expected, atol=1e-4 * expected.max())


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
def test_models_of_something_else(tmp_path):
    layers = keras.layers
    inputs = [keras.Input((8,)), keras.Input((8,))]
    keras.Model(inputs, layers.Dense(5)(layers.Concatenate()(inputs))).save(tmp_path / "two.keras")
    with pytest.raises(UserError, match=r"two\.keras takes \[\(None, 8\), \(None, 8\)\], where the nets here take RGB"):
        formats.read_weights(str(tmp_path / "two.keras"), "A")
    keras.Sequential([layers.Dense(5)]).save(tmp_path / "unbuilt.keras")
    with pytest.raises(UserError, match=r"unbuilt\.keras holds a model that was saved before it was built"):
        formats.read_weights(str(tmp_path / "unbuilt.keras"), "A")


def test_hdf5_that_cannot_be_used(tmp_path):
    with h5py.File(tmp_path / "nameless.h5", "w") as file:
        file["layers/conv2d/vars/0"] = np.zeros((3, 3, 3, 64))
    with pytest.raises(UserError, match=r"nameless\.h5 cannot be read .*: it does not name its layers"):
        formats.read_weights(str(tmp_path / "nameless.h5"), "D")
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(UserError, match=r"text\.h5 is none of the kinds of files that are read"):
        formats.read_weights(str(tmp_path / "text.h5"), "D")
    with pytest.raises(UserError, match=r"absent\.h5 is missing; give a \.keras file, a run's folder"):
        formats.read_weights(str(tmp_path / "absent.h5"), "D")
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file["model_weights"] = 1
    with pytest.raises(UserError, match=r"odd\.h5 cannot be read as weights of Keras"):
        formats.read_weights(str(tmp_path / "odd.h5"), "D")
    with pytest.raises(UserError, match=r"keras\.applications has nets D and E, not A"):
        formats.read_weights("keras_applications", "A")


@pytest.mark.parametrize(("num_classes", "with_fc_layers"), [(1000, True), (5, False)])
def test_the_fc_layers_are_downloaded_for_imagenets_classes_only(num_classes, with_fc_layers, monkeypatch):
    vgg16, asked = keras.applications.VGG16, []

    def downloaded(weights, include_top):
        asked.append((weights, include_top))
        return vgg16(weights=None, include_top=include_top, input_shape=(32, 32, 3))

    monkeypatch.setattr(keras.applications, "VGG16", downloaded)
    source = formats.read_weights("keras_applications", "D", num_classes)
    assert asked == [("imagenet", with_fc_layers)]
    assert source.net == "D"
    assert len(source.layers) == 13 + 3 * with_fc_layers
    assert ("fc8" in source.layers) == with_fc_layers


def test_a_download_that_fails_tells_the_way_out(monkeypatch):
    def unreachable(**_):
        raise OSError("no route to host")

    monkeypatch.setattr(keras.applications, "VGG19", unreachable)
    message = (
        r"VGG19 cannot be downloaded: no route to host; in place of keras_applications, give a file of its weights"
    )
    with pytest.raises(UserError, match=message):
        formats.read_weights("keras_applications", "E")


# --- KerasHub: a preset in its layout; NumPy computes the expected outputs in PyTorch's layout.


def write_preset(folder, state, net, dense_head):
    """Writes the state dict of a torchvision net as a KerasHub preset."""
    folder.mkdir()
    convolutions = [name.removesuffix(".weight") for name in state if name.startswith("features") and "weight" in name]
    names = [f"block{block}_conv{place + 1}" for block, sizes in enumerate(NETS[net], 1) for place in range(len(sizes))]

    def add(file, path, name, arrays):
        group = file.create_group(f"{path}/vars")
        group.attrs["name"] = name
        for index, array in enumerate(arrays):
            group[str(index)] = array

    with h5py.File(folder / "model.weights.h5", "w") as file:
        for index, (torch_name, name) in enumerate(zip(convolutions, names, strict=True)):
            arrays = state[f"{torch_name}.weight"].transpose(2, 3, 1, 0), state[f"{torch_name}.bias"]
            add(file, f"layers/conv2d_{index}", name, arrays)
    with h5py.File(folder / "task.weights.h5", "w") as file:
        for place, name in ((0, "fc1"), (3, "fc2"), (6, "predictions")):
            kernel, bias = state[f"classifier.{place}.weight"], state[f"classifier.{place}.bias"]
            kernel = kernel.reshape(FC_WIDTH, WIDTHS[-1], 7, 7).transpose(2, 3, 1, 0) if place == 0 else kernel.T
            if dense_head:
                kernel = kernel.reshape(-1, kernel.shape[-1])
            elif place == 3:
                kernel = kernel[np.newaxis, np.newaxis]
            add(file, f"layers/sequential/layers/{name}", name, (kernel, bias))
        add(file, "optimizer", "adam", (np.zeros(3),))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    config = {"scale": (1 / (255 * std)).tolist(), "offset": (-mean / std).tolist()}
    (folder / "image_converter.json").write_text(json.dumps({"config": config}))


@pytest.mark.parametrize("dense_head", [False, True])
def test_kerashub(dense_head, tmp_path):
    state = torch_state("A", False, seed=4)
    write_preset(tmp_path / "preset", state, "A", dense_head)
    model, report = model_of(formats.read_weights(str(tmp_path / "preset"), "A"))
    assert report.complete()
    expected = [torch_forward("A", state, False, image) for image in images(224)]
    np.testing.assert_allclose(model(images(224)), expected, atol=1e-4)
    (tmp_path / "preset" / "image_converter.json").unlink()
    with pytest.raises(UserError, match=r"image_converter\.json does not tell scale and offset of the images"):
        formats.read_weights(str(tmp_path / "preset"), "A")


# --- models of this package.


def test_a_run_that_has_checkpoints_only(tmp_path):
    model = build("A", CLASSES, input_size=32, mean_rgb=(1, 2, 3), width_multiplier=1 / 16)
    optimizer = keras.optimizers.SGD()
    optimizer.build(model.trainable_variables)
    flags = {"net": "A", "train_scale": "48", "input_size": 32, "batch_norm": False, "width_multiplier": 1 / 16}
    run_dir.write_run_record(tmp_path, flags, {}, {"num_classes": CLASSES, "mean_rgb": (1, 2, 3)})
    checkpoints = Checkpoints(tmp_path, model, [optimizer], Progress(Plateau(1)))
    with checkpoints.writer:
        checkpoints.save(Progress(Plateau(1)))
    source = formats.read_weights(str(tmp_path), "A")
    assert (source.net, source.mean_rgb) == ("A", (1, 2, 3))
    for name, layer in vgg.layers_with_weights(model).items():
        for received, expected in zip(source.layers[name], layer.get_weights(), strict=True):
            np.testing.assert_array_equal(received, expected)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds neither a model of a run nor"):
        formats.read_weights(str(tmp_path / "empty"), "A")


def test_a_saved_model_of_ours_keeps_its_mean(tmp_path):
    model = build("A", CLASSES, input_size=32, mean_rgb=(1, 2, 3), width_multiplier=1 / 16)
    saving.save_model(model, tmp_path / "a.keras")
    source = formats.read_weights(str(tmp_path / "a.keras"), "A")
    again, report = model_of(source)
    assert report.complete()
    np.testing.assert_array_equal(again(images(32)), model(images(32)))


def test_convolutions_that_need_batch_normalisation(tmp_path):
    torch_save(torch_state("A", True), tmp_path / "bn.pth")
    source = formats.read_weights(str(tmp_path / "bn.pth"), "A")
    with pytest.raises(UserError, match=r"bn\.pth has batch normalization, which vgg_a lacks: build it with --b"):
        transfer.transfer_weights(source, build("A", CLASSES, width_multiplier=1 / 16))
