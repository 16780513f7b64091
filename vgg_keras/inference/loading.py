"""Loads trained models for inference, once, and refuses those that cannot be tested as asked."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from vgg_keras.inference.posteriors import average_score_map
from vgg_keras.inference.protocol import DENSE, SCORES, TestProtocol, TrainedNet
from vgg_keras.models import fully_convolutional, metadata, plain_chain, probe, run_record, saving, vgg
from vgg_keras.models.metadata import ModelMetadata
from vgg_keras.models.preparation import SQUASH
from vgg_keras.utils import console, files, shell
from vgg_keras.utils.errors import UserError

_SAME_CLASSES = "name the data set that it was trained on, or a model that was trained on this one"


@dataclasses.dataclass(frozen=True)
class EvaluatedModel:
    """A loaded model and the scales at which it is tested.

    Attributes:
        path: the `.keras` file.
        net: the model, from square crops (B, S, S, 3), RGB 0..255, to posteriors (B, classes).
        trained: its net and training scale.
        test_scales: test scales Q in pixels.
        input_size: side of its crops in pixels.
        metadata: class names and training scale, as far as the file or the run beside it tells them.
    """

    path: Path
    net: keras.Model
    trained: TrainedNet
    test_scales: tuple[int, ...]
    input_size: int
    metadata: ModelMetadata

    @property
    def label_names(self) -> list[str]:
        """Label names in the order of the class indices; "class 0", "class 1", ... if they are unknown."""
        return self.metadata.known_label_names(self.num_classes)

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of the file, in hexadecimal digits."""
        return files.sha256(self.path)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self.net.output_shape[-1]

    def at_scales(self, protocol: TestProtocol) -> "EvaluatedModel":
        """Returns the same model, not loaded again, with the test scales of another protocol.

        Raises:
            UserError: the model cannot be tested in this way.
        """
        if DENSE in protocol.base_methods():
            fully_convolutional.require_convertible(self.net)
        test_scales = protocol.scales_for(self.trained, self.path, self.input_size)
        _check_scales(self.path, test_scales, self.input_size)
        return dataclasses.replace(self, test_scales=test_scales)

    def identity(self) -> dict:
        """Returns a JSON-ready description of everything in the model that a result depends on."""
        frozen = {"frozen_up_to": self.trained.frozen_up_to} if self.trained.frozen_up_to else {}
        return {
            "net": self.trained.net,
            "train_scale": self.trained.train_scale,
            **frozen,
            "test_scales": list(self.test_scales),
            "input_size": self.input_size,
            "sha256": self.sha256,
        }


def own_method(path: Path) -> str:
    """Returns how a model is tested if the user chooses nothing: SQUASH if it was validated so, else DENSE.

    Args:
        path: a `.keras` file or a run's folder.

    Raises:
        UserError: the model is missing or damaged.
    """
    path = run_record.find_model_file(path)
    saving.require_model_file(path)
    return SQUASH if metadata.read(path, None).validation_resize == SQUASH else DENSE


def load_for_inference(
    path: Path,
    protocol: TestProtocol,
    class_names: Sequence[str] | None = None,
    *,
    posteriors: bool = True,
    scores_boxes: bool = False,
    scaled: bool = True,
) -> EvaluatedModel:
    """Loads a model and checks that it can be tested as asked; call in the strategy's scope.

    Args:
        path: a `.keras` file or a run's folder, whose best model is loaded.
        protocol: the way in which the model is to be tested.
        class_names: class names of the data set in the order of their indices; None skips the comparison.
        posteriors: whether the model's outputs are used, which then have to be posteriors.
        scores_boxes: whether it is the --classifier beside a localizer, for the message about one that is none.
        scaled: whether the model gets the protocol's test scales; if not, `at_scales` is still to be called.

    Raises:
        UserError: the model is missing, has other classes, takes other input than RGB 0..255, gives no posteriors, or
            cannot be tested in this way.
    """
    path = run_record.find_model_file(path)
    net = saved = saving.load_model(path)
    if metadata.read(path, None).box_regression:
        if scores_boxes:
            raise UserError(f"--classifier={path} predicts boxes, not classes; name a net that predicts classes")
        raise UserError(
            f"{path} predicts boxes, not classes: predict takes it with --classifier, evaluate with "
            "--task=localization, and Python with load_localizer; all else, such as features, needs a classifier"
        )
    _check_shapes(path, net)
    probed = probe.run(net, str(path))
    _check_input(path, net, probed)
    if not plain_chain.is_plain(net):
        net = plain_chain.rebuild(net, probed) or net
    if DENSE in protocol.base_methods():
        fully_convolutional.require_convertible(net)
    if posteriors:
        net = _with_posteriors(path, net, probed)
        if DENSE in protocol.base_methods() and not vgg.begins_as_built(saved):
            _check_map(path, net, probed)
    num_classes, input_size = net.output_shape[-1], net.input_shape[1]
    described = metadata.read(path, num_classes)
    if class_names is not None:
        require_classes(path, num_classes, described.class_names, class_names)
    trained = TrainedNet(vgg.net_name(net) or net.name, described.train_scale, described.frozen_up_to)
    loaded = EvaluatedModel(path, net, trained, (), input_size, described)
    return loaded.at_scales(protocol) if scaled else loaded


def _check_scales(path: Path, test_scales: Sequence[int], input_size: int) -> None:
    too_small = [side for side in test_scales if side < input_size]
    if too_small:
        raise UserError(
            f"--test_scales: {path} looks at {input_size}x{input_size} pixels; "
            f"it cannot be tested at Q = {', '.join(map(str, too_small))}"
        )


def _check_shapes(path: Path, net: keras.Model) -> None:
    shape = net.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[1] is None or shape[1] != shape[2] or shape[3] != 3:
        raise UserError(f"{path} takes {shape}; what is tested takes (batch, S, S, 3), S a number: square RGB crops")
    if len(net.outputs) != 1 or len(net.output_shape) != 2:
        raise UserError(f"{path} gives {net.output_shape}; what is tested gives (batch, classes)")


def _check_input(path: Path, net: keras.Model, probed: probe.Probe) -> None:
    """Refuses a model that takes preprocessed images; warns of one that may.

    Raises:
        UserError: the model is of keras.applications, and its preprocessing is not inside.
    """
    if vgg.is_keras_applications_vgg(net, probed):
        raise UserError(
            f"{path} is of keras.applications and takes blue first, the mean subtracted; put "
            "keras.applications.vgg16.preprocess_input into the model, or make a net of its convolutions that takes "
            f"RGB 0..255: {shell.command('vgg_keras.pretrained', source=path, output='NET.keras')}"
        )
    if probed.shows_pixels_unchanged() and not vgg.begins_as_built(net):
        console.warn(
            f"{path} neither scales its input nor subtracts a mean: it is shown RGB 0..255. If it was trained on other "
            "input, such as 0..1, put that into the model (keras.layers.Rescaling)"
        )


def _check_map(path: Path, net: keras.Model, probed: probe.Probe) -> None:
    """Checks that the class-score map of a crop is the crop's scores, for a model that others made.

    Raises:
        UserError: the posteriors of the map differ from those of the model.
    """
    scores = fully_convolutional.convert(net)(probed.images, training=False)
    by_map = average_score_map(scores, SCORES).numpy()
    if np.abs(by_map - np.asarray(net(probed.images, training=False))).max() > probe.SLACK:
        raise UserError(
            f"{path} computes its posteriors in another way than by a softmax of its last dense layer, so that it "
            "cannot be tested densely; give --method=multi_crop"
        )


def _with_posteriors(path: Path, net: keras.Model, probed: probe.Probe) -> keras.Model:
    """Returns a model that gives posteriors: the model itself, or with a softmax if it is known to end in logits.

    Raises:
        UserError: the model gives something else, or its outputs are not finite.
    """
    why = probe.why_no_posteriors(probed.outputs)
    if why is None:
        return net
    if np.isfinite(probed.outputs).all() and saving.takes_logits(path):
        console.warn(f"{path} ends in scores, as the loss that it was compiled with expects: a softmax is appended")
        return keras.Model(net.inputs, keras.layers.Softmax(dtype="float32")(net.outputs[0]), name=net.name)
    raise UserError(f"{path} {why}")


def require_classes(path: Path, num_classes: int, known: Sequence[str], class_names: Sequence[str]) -> None:
    """Checks that a model knows the classes of a data set, in the same order.

    Args:
        path: the model's file, for messages.
        num_classes: number of classes of the model.
        known: their names; empty if they are unknown.
        class_names: class names of the data set.

    Raises:
        UserError: a class differs, or their number.
    """
    differing = [pair for pair in zip(known, class_names, strict=False) if pair[0] != pair[1]]
    if differing:
        ours, theirs = differing[0]
        raise UserError(
            f"{path} knows other classes than the data set: {ours!r} where that has {theirs!r}; {_SAME_CLASSES}"
        )
    if num_classes != len(class_names):
        raise UserError(f"{path} knows {num_classes} classes, the data set has {len(class_names)}; {_SAME_CLASSES}")
