"""Registers the layers of the nets with Keras; import it before `keras.saving.load_model` loads a net A-LRN.

`.keras` files of A-LRN that were saved before the layers moved to `vgg_keras.models.layers` name this module.
"""

from vgg_keras.models.layers import LocalResponseNormalization

__all__ = ["LocalResponseNormalization"]
