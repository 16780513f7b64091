"""Provides the nets, the training and the test protocol of VGG (arXiv:1409.1556) in TensorFlow and Keras.

Importing the package loads neither TensorFlow nor Keras: only the modules that need them import them.
"""

import os

from vgg_keras.version import __version__

# Keras and TensorFlow read these when they are first imported. The nets use TensorFlow ops inside Keras layers, so no
# other Keras backend can run them. Without the log level, TensorFlow's start-up messages would fill a page before the
# output of every verb.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__all__ = ["__version__"]
