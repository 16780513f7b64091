"""Divides the class scores of a net, what goes into its softmax, by a temperature (arXiv:1706.04599, sect. 4.2)."""

import keras

from vgg_keras.utils import keras_compat
from vgg_keras.utils.errors import UserError


@keras_compat.own_settings()
def tempered(model: keras.Model, temperature: float) -> keras.Model:
    """Returns a net with the posteriors `softmax(scores / temperature)`.

    The weights and biases of the last dense layer are divided, so that the net needs no further operation, and keeps
    the accuracy of its scores where they are computed in 8-bit integers.

    Args:
        model: a net that ends in a dense layer and a softmax, which may be the layer's activation.
        temperature: above 0.

    Returns:
        A net that shares all layers but the last, or the model itself if the temperature is 1.

    Raises:
        UserError: the net ends in something else.
    """
    if temperature == 1:
        return model
    *_, before, last = model.layers
    scoring = last if isinstance(last, keras.layers.Dense) else before
    ends_in_softmax = _is_softmax(last) if last is scoring else _is_softmax(last) and _is_linear(scoring)
    if not isinstance(scoring, keras.layers.Dense) or not ends_in_softmax:
        raise UserError(
            f"{model.name} ends in {last.name}, not in a dense layer and a softmax, so that its scores cannot be "
            "divided by a temperature; leave out --temperature"
        )
    kernel, *bias = scoring.get_weights()
    divided = keras.layers.Dense(scoring.units, use_bias=bool(bias), name=scoring.name, dtype="float32")
    scores = divided(scoring.input)
    divided.set_weights([array / temperature for array in (kernel, *bias)])
    return keras.Model(model.input, keras.layers.Softmax(dtype="float32")(scores), name=model.name)


def _is_softmax(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.Softmax) or getattr(layer, "activation", None) is keras.activations.softmax


def _is_linear(layer: keras.layers.Layer) -> bool:
    return getattr(layer, "activation", None) is keras.activations.linear
