"""Sets how much of an input pipeline is computed at a time, in the place of the tuner of `tf.data`.

The tuner sleeps between its measurements, longer each time, up to a minute. An iterator that is deleted wakes it up and
waits for its end. But TensorFlow (2.21) wakes it up first, and only then notes that it is called off. If a core is
idle, the tuner is often quick enough to find nothing noted, and sleeps on: one in six epochs, validations or tests, and
at times every second one, ended with up to a minute in which nothing happened. There is little to tune: a pipeline has
one map, which decodes and crops, and as many threads as cores.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from vgg_keras.utils.hardware import cpu_count

# Number of batches that are ready before they are asked for. Two would do if all took the same time.
_READY_BATCHES = 4


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the same data set without the tuner; data sets that are made of it have none either."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def in_parallel(dataset: tf.data.Dataset, function: Callable[..., Any]) -> tf.data.Dataset:
    """Applies a function to the elements of a data set, with a call for each core, and keeps their order."""
    return dataset.map(function, num_parallel_calls=cpu_count(), deterministic=True)


def ahead(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the same batches, of which a few are computed before they are asked for; without the tuner."""
    return untuned(dataset.prefetch(_READY_BATCHES))
