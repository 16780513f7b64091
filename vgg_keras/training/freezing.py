"""Divides a net into frozen layers and layers that are trained (arXiv:1409.1556, appendix B)."""

from collections.abc import Collection

import keras

from vgg_keras.models.vgg import layers_with_weights
from vgg_keras.utils.errors import UserError


def trained_layers(model: keras.Model, frozen_up_to: str = "") -> list[keras.layers.Layer]:
    """Returns the layers of a chain that are trained, in order.

    Args:
        model: a chain of layers, such as `vgg.build` makes.
        frozen_up_to: name of the last layer that is not trained; "": all layers are trained.

    Raises:
        UserError: the layer does not exist, or no layer with weights follows it.
    """
    if not frozen_up_to:
        return list(model.layers)
    names = [layer.name for layer in model.layers]
    last = max(names.index(name) for name in layers_with_weights(model))
    if frozen_up_to not in names[:last]:
        raise UserError(
            f"--freeze_up_to={frozen_up_to} is not a layer of {model.name} with layers to train after it; "
            f"it has {', '.join(names[1:last])}"
        )
    return list(model.layers[names.index(frozen_up_to) + 1 :])


def frozen_net(model: keras.Model, frozen_up_to: str) -> keras.Model:
    """Returns the net from the images to the outputs of the last frozen layer.

    Args:
        model: a chain of layers, such as `vgg.build` makes.
        frozen_up_to: name of the last frozen layer.

    Returns:
        A model from (B, H, W, 3) float32, RGB 0..255, to (B, h, w, C), for images of any size, if the layer's outputs
        are a map; otherwise from (B, S, S, 3) to (B, features).
    """
    last = model.get_layer(frozen_up_to)
    if len(last.output.shape) != 4:
        return keras.Model(model.input, last.output)
    inputs = outputs = keras.Input((None, None, 3))
    for layer in model.layers[1 : model.layers.index(last) + 1]:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def output_net(model: keras.Model, frozen_up_to: str = "") -> keras.Model:
    """Returns the net from the outputs of the last frozen layer to those of the last layer with weights.

    They are the class scores (B, classes), logits, or boxes (B, n).

    Args:
        model: a net of `vgg.build`.
        frozen_up_to: name of the last frozen layer; "": the net takes images.
    """
    start = model.get_layer(frozen_up_to).output if frozen_up_to else model.input
    last = list(layers_with_weights(model).values())[-1]
    return keras.Model(start, last.output)


def require_freezable(
    model: keras.Model, frozen_up_to: str, pretrained: Collection[str], *, as_map: bool = False
) -> None:
    """Checks that no layer with random weights is frozen.

    Args:
        model: the net.
        frozen_up_to: name of the last frozen layer; "": no layer is frozen.
        pretrained: names of the layers whose weights come from another model.
        as_map: whether the outputs of the last frozen layer have to be a map, because crops of it will be drawn.

    Raises:
        UserError: the layer does not exist, its outputs are not a map, or a frozen layer has random weights.
    """
    trained = {layer.name for layer in trained_layers(model, frozen_up_to)}
    random = [name for name in layers_with_weights(model) if name not in trained and name not in pretrained]
    if random:
        raise UserError(
            f"--freeze_up_to={frozen_up_to} would leave random weights as they are ({', '.join(random)}): "
            "give them with --init_from, or freeze less"
        )
    if as_map and len(model.get_layer(frozen_up_to).output.shape) != 4:
        raise UserError(f"--cache_side: the outputs of {frozen_up_to} are no map to draw crops of; freeze less")
