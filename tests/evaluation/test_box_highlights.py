"""Tests what the reports of localizers show, with errors and places worked out by hand."""

import numpy as np
import pytest

from vgg_keras.data import datasets
from vgg_keras.data.boxed_split import BoxedSplit
from vgg_keras.evaluation import box_figures
from vgg_keras.evaluation.box_highlights import BoxHighlights, BoxTest
from vgg_keras.evaluation.box_results import BoxResult, ChosenClasses
from vgg_keras.inference.protocol import TrainedNet

GREY, BLACK, WHITE, GREEN, RED = 90, (0, 0, 0), (255, 255, 255), (50, 205, 50), (255, 0, 0)


@pytest.mark.parametrize(("right", "colour"), [(True, GREEN), (False, RED)])
def test_objects_are_white_and_a_box_is_green_or_red(right, colour):
    photo = np.full((20, 40, 3), GREY, np.uint8)
    objects, predicted = np.array([[0, 0, 0.5, 0.5]]), np.array([0.25, 0.5, 1, 1])
    drawn = box_figures.with_boxes(photo, objects, predicted, right=right)
    # The object has rows 0 to 9 and columns 0 to 19; the box rows 5 to 19 and columns 20 to 39. Lines have a pixel.
    assert [tuple(drawn[0, 0]), tuple(drawn[1, 1]), tuple(drawn[9, 19]), tuple(drawn[8, 18])] == [BLACK, WHITE] * 2
    assert [tuple(drawn[5, 20]), tuple(drawn[6, 21]), tuple(drawn[7, 22]), tuple(drawn[18, 38])] == [
        *(colour, colour, BLACK, colour),
    ]
    for row, column in ((5, 5), (2, 30), (12, 30), (15, 10)):
        assert tuple(drawn[row, column]) == (GREY,) * 3
    assert (photo == GREY).all()  # the photo itself is left alone


def test_photos_are_counted_by_how_well_their_boxes_fit():
    (axes,) = box_figures.overlaps(np.array([0.0, 0.02, 0.49, 0.51, 0.52, 1.0])).axes
    counts = {round(bar.get_x(), 2): (bar.get_height(), bar.get_facecolor()) for bar in axes.patches}
    assert {place: count for place, (count, _) in counts.items() if count} == {0.0: 2, 0.45: 1, 0.5: 2, 0.95: 1}
    assert counts[0.45][1] == counts[0.0][1] != counts[0.5][1] == counts[0.95][1]


@pytest.fixture(scope="module")
def split(drawn_data):
    return BoxedSplit.read(datasets.open_data(str(drawn_data)), "validation", 10)


def found(split, overlaps, labels):
    overlaps = np.array(overlaps, np.float32)
    chosen = ChosenClasses(np.array(labels, np.int32), np.full(np.shape(labels), 0.5, np.float32))
    boxes = np.tile(np.array([0.25, 0.25, 0.75, 0.75], np.float32), (*overlaps.shape, 1))
    named = (TrainedNet("A", "48", ""),), ("scr",), ((48,),)
    return BoxTest(BoxResult(*named, ("dense",), False, boxes, overlaps, 1.0), chosen, split)


def test_one_box_an_image(split):
    true, names = split.manifest.labels, split.manifest.data.label_names
    overlaps = np.linspace(0.05, 0.95, 10)  # the first five are wrong
    shown = BoxHighlights.of(found(split, overlaps[:, np.newaxis], true[:, np.newaxis]))
    assert [picture.caption for picture in shown.worst] == [
        f"{names[true[row]]}, IoU {overlaps[row]:.2f}" for row in range(5)
    ]
    assert len(shown.first) == 10
    assert shown.classes.columns == ["class", "photos", "top-1 err. %", "mean IoU"]
    expected = {}
    for label in set(true.tolist()):
        rows = [row for row in range(10) if true[row] == label]
        wrong = 100 * sum(row < 5 for row in rows) / len(rows)
        mean = sum(overlaps[row] for row in rows) / len(rows)
        expected[names[label]] = [str(len(rows)), f"{wrong:.2f}", f"{mean:.3f}"]
    assert {name: rest for name, *rest in shown.classes.rows} == expected
    errors = [float(row[2]) for row in shown.classes.rows]
    assert errors == sorted(errors, reverse=True)
    assert (shown.note, shown.overlaps.argmin()) == ("", 0)


def test_several_boxes_an_image(split):
    true = split.manifest.labels
    other = (true + 1) % 5
    # The second box is the true class's, and right on all images but the first two; on the second the class is missed.
    labels = np.stack([other, true], axis=1)
    labels[1, 1] = (true[1] + 2) % 5
    overlaps = np.tile([0.0, 0.8], (10, 1))
    overlaps[0], overlaps[1] = [0, 0.3], [0, 0]
    shown = BoxHighlights.of(found(split, overlaps, labels))
    assert [picture.caption.split(", ")[1] for picture in shown.worst] == ["IoU 0.00", "IoU 0.30"]
    assert shown.classes.columns == ["class", "photos", "top-1 err. %", "top-5 err. %", "mean IoU"]
    assert {row[2] for row in shown.classes.rows} == {"100.00"}
    assert "On 1 of 10 photos (10.0%) the classifier did not choose the true class" in shown.scored
