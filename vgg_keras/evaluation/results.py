"""Turns results of evaluations into JSON-ready records."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from vgg_keras.data.manifest import SplitManifest
from vgg_keras.evaluation import calibration
from vgg_keras.evaluation.evaluator import Result
from vgg_keras.utils.keras_compat import package_versions
from vgg_keras.utils.metrics import top_k_errors


def evaluation_record(
    description: Mapping[str, Any],
    devices: str,
    found: Sequence[Result],
    posteriors: np.ndarray,
    manifest: SplitManifest,
) -> dict[str, Any]:
    """Returns a finished evaluation as `evaluation.json` stores it.

    Args:
        description: everything that the results depend on: "settings", "images" and "models".
        devices: the devices on which it ran, as text.
        found: the results.
        posteriors: (N, classes) float32, those of the last result.
        manifest: the N images.
    """
    return {
        **description,
        "versions": package_versions(),
        "devices": devices,
        "results": [result_record(result) for result in found],
        "classes": class_records(posteriors, manifest),
        "confusions": confusions(posteriors, manifest.labels),
        "calibration": calibration.calibration_record(posteriors, manifest.labels),
    }


def result_record(result: Result) -> dict:
    """Returns a result as `evaluation.json` stores it."""
    published = result.published()
    papers = (
        {"table": published.table, "top1_error": published.top1, "top5_error": published.top5} if published else None
    )
    score = dataclasses.asdict(result.score)
    return {
        "nets": [trained.net for trained in result.models],
        "train_scales": [trained.train_scale for trained in result.models],
        "frozen_up_to": [trained.frozen_up_to for trained in result.models],
        "forms": [trained.form for trained in result.models],
        "test_scales": [list(scales) for scales in result.test_scales],
        "method": result.method,
        "flip": result.flip,
        "average": result.average,
        **score,
        "top1_mistakes": round(score["top1_error"] * score["num_images"] / 100),
        "top5_mistakes": round(score["top5_error"] * score["num_images"] / 100),
        "seconds": result.seconds,
        "images_per_second": result.images_per_second(),
        "paper": papers,
    }


def class_records(posteriors: np.ndarray, manifest: SplitManifest) -> list[dict]:
    """Returns the number of images and the errors of each class as `evaluation.json` stores them.

    Args:
        posteriors: (N, classes) float32.
        manifest: the images.

    Returns:
        One record for each class, in the order of the class indices; errors in percent, None for a class without
        images.
    """
    labels, names = manifest.labels, manifest.data.label_names
    count = np.bincount(labels, minlength=len(names))
    top1, top5 = (
        np.bincount(labels, weights=errors, minlength=len(names)) for errors in top_k_errors(posteriors, labels).numpy()
    )
    return [
        {
            "name": name,
            "images": int(count[index]),
            "top1_mistakes": int(top1[index]),
            "top5_mistakes": int(top5[index]),
            "top1_error": 100 * top1[index] / count[index] if count[index] else None,
            "top5_error": 100 * top5[index] / count[index] if count[index] else None,
        }
        for index, name in enumerate(names)
    ]


def confusion_matrix(posteriors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Counts the images of each class (row) by their predicted class (column).

    Args:
        posteriors: (N, classes) float32.
        labels: (N,) int32.

    Returns:
        (classes, classes) int64.
    """
    num_classes = posteriors.shape[1]
    return tf.math.confusion_matrix(labels, posteriors.argmax(axis=1), num_classes, dtype=tf.int64).numpy()


def confusions(posteriors: np.ndarray, labels: np.ndarray) -> list[list[int]]:
    """Returns [class, predicted class, images] for each pair that occurs, as `evaluation.json` stores it."""
    matrix = confusion_matrix(posteriors, labels)
    return [[int(row), int(column), int(matrix[row, column])] for row, column in np.argwhere(matrix)]
