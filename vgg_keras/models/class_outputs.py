"""Cuts a classifier down to its first classes, where it was trained with more outputs than its data set has classes."""

import keras

from vgg_keras.utils import keras_compat

_SCORES = "fc8"


@keras_compat.own_settings()
def keep_first(model: keras.Model, count: int | None) -> keras.Model:
    """Returns a net that knows the first classes of another one alone.

    Their scores are the same, so that their posteriors are those of the other net, divided by their sum.

    Args:
        model: a net of `vgg.build` that gives posteriors.
        count: number of classes to keep; None: all outputs, whatever they are.

    Returns:
        A copy, or the model itself if it has no other outputs.
    """
    if count in (None, model.output_shape[-1]):
        return model

    def copied(layer: keras.layers.Layer) -> keras.layers.Layer:
        changed = {"units": count} if layer.name == _SCORES else {}
        return type(layer).from_config({**layer.get_config(), **changed})

    cut = keras.models.clone_model(model, clone_function=copied)
    for layer in cut.layers:
        weights = model.get_layer(layer.name).get_weights()
        layer.set_weights([array[..., :count] for array in weights] if layer.name == _SCORES else weights)
    return cut
