"""The nets, the training and the test protocol of VGG (arXiv:1409.1556) in TensorFlow and Keras.

Importing the package loads neither TensorFlow nor Keras: the rooms that need them import them.
"""

import os

from vgg_keras.version import __version__

# Both are read when TensorFlow and Keras are first imported. The nets use TensorFlow ops inside Keras layers, so no
# other Keras backend can run them; and without the second, every verb opens with a page of start-up notes of the
# runtime.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__all__ = ["__version__"]
