"""Tests which images the reports show."""

import numpy as np

from vgg_keras.evaluation import highlights


def test_labels_that_are_likely_wrong():
    labels = np.array([0, 0, 1, 1, 1, 1])
    first = [0.9, 0.2, 0.3, 0.4, 0.65, 0.52]
    posteriors = np.stack([first, 1 - np.array(first)], axis=1)
    # Where it is the label, class 0 has a posterior of 0.55 on average, class 1 one of 0.5325. So the second image
    # counts for class 1 (0.8, and 0.2 for its label), the fifth for class 0 (0.65 and 0.35). The last one is a mistake
    # too, but with 0.52 the net is less sure of class 0 than usual.
    assert highlights.likely_wrong_labels(posteriors, labels) == [1, 4]


def test_a_class_without_images_takes_none():
    posteriors = np.array([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1]])
    assert highlights.likely_wrong_labels(posteriors, np.array([0, 0, 1])) == []


def test_no_label_is_suspicious_where_all_is_right():
    assert highlights.likely_wrong_labels(np.eye(3), np.arange(3)) == []
