"""Writes photos as TFRecords, with a verb for each kind of source (`flowers`, `imagenet`, `image_folder`)."""

# First, so that a verb that is asked to stop while the rest is loaded ends with one line.
from vgg_keras.utils import early_signals  # noqa: F401
