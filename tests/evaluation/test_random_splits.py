"""Tests random splits on counts worked out by hand."""

import hashlib

import numpy as np
import pytest

from vgg_keras.evaluation import random_splits
from vgg_keras.utils.errors import UserError

CLASSES = ("ant", "bee", "cat")
COUNTS = (12, 11, 40)
LABELS = np.repeat(np.arange(3), COUNTS)
NAMES = [f"{name}/{index}.jpg" for name, count in zip(CLASSES, COUNTS, strict=True) for index in range(count)]


def draw(labels=LABELS, names=NAMES, classes=CLASSES, count=3, train=10, test=5, seed=0):
    return random_splits.draw(
        labels, names, classes, count=count, train_per_class=train, test_per_class=test, seed=seed
    )


def names_of(split, names=NAMES):
    return {part: sorted(found) for part, found in split.record(names).items()}


@pytest.mark.parametrize(("test", "expected"), [(5, [2, 1, 5]), (0, [2, 1, 30]), (1, [1, 1, 1])])
def test_as_many_images_of_each_class(test, expected):
    for split in draw(test=test):
        parts = [np.bincount(LABELS[part], minlength=3).tolist() for part in (split.fitted, split.held_out, split.test)]
        assert parts == [[8, 8, 8], [2, 2, 2], expected]  # a fifth of ten is held out
        everything = np.concatenate([split.fitted, split.held_out, split.test])
        assert len(set(everything.tolist())) == len(everything)
        assert split.training.tolist() == sorted([*split.fitted, *split.held_out])


@pytest.mark.parametrize(("train", "held_out"), [(2, 1), (3, 1), (8, 2), (10, 2)])
def test_a_fifth_is_held_out(train, held_out):
    (split,) = draw(count=1, train=train)
    assert (len(split.held_out), len(split.fitted)) == (3 * held_out, 3 * (train - held_out))


def test_the_draw_is_that_of_hashes_of_the_names():
    second = draw(seed=7)[1]
    order = sorted(range(11), key=lambda i: hashlib.sha256(f"7\n1\nbee\nbee/{i}.jpg".encode()).hexdigest())
    bees = {part: [n for n in names if n[0] == "b"] for part, names in names_of(second).items()}
    expected = {"held_out": order[:2], "fitted": order[2:10], "test": order[10:]}
    assert bees == {part: sorted(f"bee/{i}.jpg" for i in indices) for part, indices in expected.items()}


def test_the_order_of_the_records_and_other_classes_play_no_part():
    drawn = [names_of(split) for split in draw()]
    mixed = np.random.default_rng(0).permutation(len(NAMES))
    shuffled = [NAMES[i] for i in mixed]
    assert [names_of(split, shuffled) for split in draw(LABELS[mixed], shuffled)] == drawn
    few = [names_of(split, NAMES[:23]) for split in draw(LABELS[:23], NAMES[:23], CLASSES[:2])]
    assert few == [{part: [n for n in names if n[0] != "c"] for part, names in split.items()} for split in drawn]


def test_splits_and_seeds_differ():
    tests = [tuple(split.test) for seed in (0, 1) for split in draw(seed=seed)]
    assert len(set(tests)) == 6


def test_each_image_is_drawn_as_often():
    splits = draw(count=300, train=10, test=20)
    cats = np.concatenate([split.training for split in splits])
    counts = np.bincount(cats, minlength=len(NAMES))[23:]
    assert counts.sum() == 300 * 10
    # Of 300 draws a cat is in 75 on average, with a deviation of 7.5.
    assert 75 - 5 * 7.5 < counts.min() < counts.max() < 75 + 5 * 7.5


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (
            11,
            r"--train_per_class=11 needs 12 images of each class, one of them to test; class bee has 11; use --train",
        ),
        (
            12,
            r"class bee has 11 \(2 classes have too few\); use --train_per_class=10 at most, or leave such classes out",
        ),
    ],
)
def test_a_class_with_too_few_images(train, message):
    with pytest.raises(UserError, match=message):
        draw(train=train)


def test_a_class_that_no_number_suits():
    with pytest.raises(UserError, match="class dog has 0; leave such classes out of the data set"):
        draw(classes=(*CLASSES, "dog"))
