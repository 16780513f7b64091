"""Takes the weights of a VGG out of a Keras model, by what its layers compute and in which order."""

import dataclasses
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from vgg_keras.models import plain_chain, probe, vgg
from vgg_keras.models.input_map import InputMap
from vgg_keras.models.probe import Probe, Step
from vgg_keras.utils import console
from vgg_keras.utils.errors import UserError
from vgg_keras.weights.assembly import CAFFE, FC_NAMES, assemble
from vgg_keras.weights.transfer import SourceWeights, transfer_weights

# The epsilon of batch normalization in `vgg.build`.
_EPSILON = 1e-5


def read_layers(model: keras.Model, name: str) -> SourceWeights:
    """Takes the weights out of a model: of this package, of keras.applications, or any that computes a VGG.

    A model of keras.applications may lie inside another model, and may have its preprocessing inside or not. What the
    model does to the pixels before its first convolution is folded in.

    Args:
        model: the model.
        name: its name in messages.

    Raises:
        UserError: the model is no net of the paper, or its convolutions compute something else than such a net's.
    """
    if vgg.begins_as_built(model):
        return SourceWeights.from_model(model, name)
    probed = probe.run(model, name)
    seen = probed.input_map
    if seen is None:
        raise UserError(
            f"{name} begins with no linear function of each pixel, followed by a convolution, so it cannot be "
            "converted to a net that takes RGB 0..255"
        )
    # The graph cannot tell what its users do to the images before; keras.applications documents it.
    if vgg.is_keras_applications_vgg(model, probed):
        seen = CAFFE
        console.say(f"{name} has no preprocessing inside: taken to expect that of keras.applications (blue first)")
    elif seen.is_identity():
        console.say(f"{name} has no preprocessing inside: taken to expect RGB 0..255 as it is")
    trunk, rest = _named_layers(probed.steps[probed.first_convolution :])
    source = assemble(name, trunk, rest, seen)
    _require_same_trunk(source, probed, seen)
    return source


def _named_layers(steps: Sequence[Step]) -> tuple[dict[str, list[np.ndarray]], dict[str, list[np.ndarray]]]:
    """Names layers by their order: `block1_conv1` and so on up to the last pool, and the other layers."""
    trunk: dict[str, list[np.ndarray]] = {}
    rest: dict[str, list[np.ndarray]] = {}
    block, position, name = 1, 0, ""
    for step in steps:
        layer = step.layer
        if isinstance(layer, keras.layers.MaxPooling2D):
            block, position = block + 1, 0
        elif isinstance(layer, keras.layers.Conv2D):
            position += 1
            name = f"block{block}_conv{position}"
            kernel, *bias = layer.get_weights()
            trunk[name] = [kernel, *(bias or [np.zeros(kernel.shape[-1], np.float32)])]
        elif isinstance(layer, keras.layers.BatchNormalization) and not rest:
            trunk[f"{name}_bn"] = _batch_norm(layer)
        elif layer.weights:
            rest[layer.name] = layer.get_weights()
    if _has_vgg_head(steps):
        dense = (step.layer.name for step in steps if isinstance(step.layer, keras.layers.Dense))
        names = dict(zip(dense, FC_NAMES, strict=True))
        rest = {names.get(layer, layer): arrays for layer, arrays in rest.items()}
    return trunk, rest


def _batch_norm(layer: keras.layers.BatchNormalization) -> list[np.ndarray]:
    """Returns the arrays of a batch normalization, for the epsilon of `vgg.build`."""
    arrays = layer.get_weights()
    if len(arrays) == 4:
        arrays[3] = arrays[3] + np.float32(layer.epsilon - _EPSILON)
    return arrays


def _has_vgg_head(steps: Sequence[Step]) -> bool:
    """Returns whether three dense layers after the last pool compute what FC6, FC7 and FC8 do."""
    dense = [step for step in steps if isinstance(step.layer, keras.layers.Dense)]
    pools = [step for step in steps if isinstance(step.layer, keras.layers.MaxPooling2D)]
    if len(dense) != len(FC_NAMES) or not pools or any(step.inputs.ndim != 2 for step in dense):
        return False
    first, second, scores = (step.inputs @ step.layer.get_weights()[0] + _bias(step.layer) for step in dense)
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    received = (dense[0].inputs, dense[1].inputs, dense[2].inputs, dense[2].outputs)
    expected = (
        (pools[-1].outputs.reshape(len(scores), -1),),
        (np.maximum(first, 0),),
        (np.maximum(second, 0),),
        (scores, exponentials / exponentials.sum(axis=1, keepdims=True)),
    )
    return all(
        any(plain_chain.computes_the_same(one, values) for one in allowed)
        for values, allowed in zip(received, expected, strict=True)
    )


def _bias(layer: keras.layers.Dense) -> np.ndarray | float:
    _, *bias = layer.get_weights()
    return bias[0] if bias else 0.0


def _require_same_trunk(source: SourceWeights, probed: Probe, seen: InputMap) -> None:
    """Checks on the images that a net of the paper with these weights has the same map after its last pool.

    Raises:
        UserError: it has another one: there is another activation, padding or layer between the convolutions.
    """
    pools = [step for step in probed.steps if isinstance(step.layer, keras.layers.MaxPooling2D)]
    net = vgg.build(
        source.net or "",
        input_size=None,
        mean_rgb=source.mean_rgb,
        batch_norm=source.has_batch_norm(),
        width_multiplier=source.width_multiplier(),
        include_top=False,
    )
    trunk = {layer: arrays for layer, arrays in source.layers.items() if layer.startswith("block")}
    if transfer_weights(dataclasses.replace(source, layers=trunk), net).other_shape:
        return  # of other widths than the paper's: the transfer into the user's net reports the layers
    after_pool = keras.Model(net.input, net.get_layer(f"block{len(pools)}_pool").output)
    if not plain_chain.computes_the_same(np.asarray(after_pool(_images(probed, seen))), pools[-1].outputs):
        raise UserError(
            f"{source.name} has the kernels of net {source.net}, but computes something else with them: another "
            "activation, padding or normalization stands between its convolutions"
        )


def _images(probed: Probe, seen: InputMap) -> np.ndarray:
    """Returns the images that, after the preprocessing `seen`, are what the model received."""
    if probed.input_map == seen:
        return probed.images
    return (probed.images @ np.linalg.inv(np.asarray(seen.matrix)).T + np.asarray(seen.mean)).astype(np.float32)


def rename_keras_applications(layers: Mapping[str, Sequence[np.ndarray]], name: str, seen: InputMap) -> SourceWeights:
    """Renames and sorts the layers of keras.applications or KerasHub: block1_conv1, ..., fc1, fc2, predictions.

    Args:
        layers: arrays of each layer, by name.
        name: name of the file in messages.
        seen: what the first convolution sees of an image.

    Raises:
        UserError: they are not the layers of a net of the paper.
    """
    ours = dict(zip(("fc1", "fc2", "predictions"), FC_NAMES, strict=True))
    renamed = {ours.get(layer, layer): list(arrays) for layer, arrays in layers.items()}
    trunk = {layer: arrays for layer, arrays in sorted(renamed.items()) if layer.startswith("block")}
    # Some heads consist of convolutions, those of `vgg.build` of dense layers.
    rest = {
        layer: [_as_dense(array) for array in arrays] if layer in FC_NAMES else arrays
        for layer, arrays in renamed.items()
        if layer not in trunk
    }
    return assemble(name, trunk, rest, seen)


def _as_dense(array: np.ndarray) -> np.ndarray:
    """Reshapes the kernel of a convolution over its whole input to a dense layer's; returns other arrays unchanged."""
    return array.reshape(-1, array.shape[-1]) if array.ndim == 4 and array.size else array
