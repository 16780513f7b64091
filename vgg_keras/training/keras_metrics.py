"""Computes further metrics of the validation split, chosen by name among those of Keras and tensorflow-addons."""

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.utils import keras_compat


class ValidationMetrics:
    """Metrics that compare posteriors (N, classes) with one-hot labels (N, classes).

    Args:
        described: arguments by the metric's name, such as {"TopKCategoricalAccuracy": {"k": 2}} or
            {"Addons>CohenKappa": {"num_classes": 5}}; {}: no metrics.

    Raises:
        ValueError: a metric does not exist, or does not take the arguments.
        UserError: a metric belongs to tensorflow-addons, which is not installed.
    """

    def __init__(self, described: Mapping[str, Mapping]):
        self._metrics = [_make(name, arguments) for name, arguments in described.items()]

    def __bool__(self) -> bool:
        return bool(self._metrics)

    def reset(self) -> None:
        """Resets all metrics."""
        for metric in self._metrics:
            metric.reset_state()

    def update(self, labels: np.ndarray, scores: np.ndarray) -> None:
        """Adds images to all metrics.

        Args:
            labels: (N,) int32.
            scores: (N, classes) float32, logits.
        """
        posteriors = tf.nn.softmax(scores)
        targets = tf.one_hot(labels, scores.shape[1])
        for metric in self._metrics:
            metric.update_state(targets, posteriors)

    def results(self) -> dict[str, float | list[float]]:
        """Returns each metric's value by its Keras name, such as "cohen_kappa": a number, or one for each class."""
        return {metric.name: np.asarray(metric.result(), float).tolist() for metric in self._metrics}


def _make(name: str, arguments: Mapping) -> keras.metrics.Metric:
    keras_compat.register_addons(name)
    made = keras.saving.get_registered_object(name) or getattr(keras.metrics, name, None)
    if not (isinstance(made, type) and issubclass(made, keras.metrics.Metric)):
        raise ValueError(f"--metrics: {name} is no metric of Keras, such as TopKCategoricalAccuracy")
    try:
        return made(**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"--metrics: {name} cannot be made with {dict(arguments)}: {error}") from error
