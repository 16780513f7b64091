"""Draws what a model sees in a photo, each view as a fragment of HTML, and finds out which views a model has."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from vgg_keras.data import photo_files
from vgg_keras.data.pixel_boxes import PixelBox
from vgg_keras.demo_page import fragments
from vgg_keras.demo_page.fragments import Bars, HeatScale
from vgg_keras.demo_page.subject import Subject
from vgg_keras.evaluation import figures
from vgg_keras.inference.predictions import Label, best_labels
from vgg_keras.inference.protocol import (
    CENTER_CROP,
    DENSE,
    EXPLANATIONS,
    GRAD_CAM,
    INTEGRATED_GRADIENTS,
    MULTI_CROP,
    OCCLUSION,
)
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.escaping import visible

# Number of classes that are shown, the likeliest ones.
TOP = 5
# Smaller side of the pictures in pixels, at most.
_SIDE = 480
# Names of the controls that a view may have, the fields of `Choices`.
LABEL, TEST_SCALES, METHOD = "label", "test_scales", "method"
# What the page calls the methods by which a label is explained.
METHOD_TITLES = {GRAD_CAM: "Grad-CAM", OCCLUSION: "occlusion", INTEGRATED_GRADIENTS: "integrated gradients"}
_OWN_CLASSES = "A net always names one of its own classes, whatever the photo shows."


@dataclasses.dataclass(frozen=True)
class Choices:
    """What the user chooses for the views.

    Attributes:
        label: index of the class.
        test_scales: test scales Q in pixels.
        method: how a label is explained, one of `protocol.EXPLANATIONS`.

    Raises:
        UserError: they are of other types; a client may send anything that equals one of the values on offer.
    """

    label: int
    test_scales: tuple[int, ...]
    method: str = GRAD_CAM

    def __post_init__(self) -> None:
        for name, value in ((LABEL, self.label), *((TEST_SCALES, side) for side in self.test_scales)):
            if type(value) is not int:  # True is an int too
                raise UserError(f"{name} must be a whole number; received {value!r}")
        if self.method not in EXPLANATIONS:
            raise UserError(f"{METHOD} must be one of {', '.join(EXPLANATIONS)}; received {self.method!r}")


@dataclasses.dataclass(frozen=True)
class View:
    """A way to look at a photo with a model.

    Attributes:
        name: name of the view, a word.
        title: what the page calls it.
        about: what it shows, in a sentence or two.
        controls: the fields of `Choices` that it depends on.
        draw: function of the models, a photo, (H, W, 3) uint8, and the choices that returns HTML; it raises a UserError
            if the photo or the model does not allow it.
        ability: function of the models and a photo that raises a UserError if the models do not allow the view.
    """

    name: str
    title: str
    about: str
    controls: Sequence[str]
    draw: Callable[[Subject, np.ndarray, Choices], str]
    ability: Callable[[Subject, np.ndarray], object]


def labels(subject: Subject, photo: np.ndarray) -> tuple[str, int]:
    """Classifies a photo.

    Returns:
        The best classes as HTML, and the index of the best one; of a localizer alone a hint, and 0.

    Raises:
        UserError: the model cannot be shown the photo.
    """
    if subject.classifier is None:
        return fragments.hint("The model tells where an object is, not what it is: choose the class below."), 0
    prediction = subject.classifier.classify(photo, top=TOP)
    assert not isinstance(prediction, list)
    rows = [Bars(label.name, [label.posterior]) for label in prediction.labels]
    shown_bars = fragments.bars("The likeliest classes and their posteriors", rows)
    how = fragments.hint(f"Computed from {subject.way()}. {_OWN_CLASSES}")
    return shown_bars + how, prediction.best.index


def shown(photo: np.ndarray, name: str) -> str:
    """Returns a photo, (H, W, 3) uint8, as HTML."""
    height, width = photo.shape[:2]
    return fragments.picture(figures.thumbnail(photo, _SIDE), f"{name}, {width}×{height} pixels")


def _score_map(subject: Subject, photo: np.ndarray, choices: Choices) -> str:
    if not choices.test_scales:
        return fragments.hint("Choose a test scale.")
    assert subject.classifier
    picture = figures.thumbnail(photo, _SIDE)
    size = (picture.shape[0], picture.shape[1])
    maps = [subject.classifier.score_map(photo, test_scale=side) for side in choices.test_scales]
    heat = np.mean([found.heat_map(choices.label, size) for found in maps], axis=0)
    name, scales = visible(subject.labels[choices.label]), ", ".join(map(str, choices.test_scales))
    grids = " and ".join("×".join(map(str, found.scores.shape[:2])) for found in maps)
    single = all(found.scores.shape[:2] == (1, 1) for found in maps)
    advice = ". One position only: choose a larger Q to see where." if single else ""
    return fragments.picture(
        figures.overlay(picture, heat),
        f"Class-score map of {name} over the photo",
        f"{name} at Q = {scales}: {grids} positions, posteriors from {heat.min():.3f} to {heat.max():.3f}{advice}",
        HeatScale("posterior of the class at each place of the photo"),
    )


def _protocols(subject: Subject, photo: np.ndarray, choices: Choices) -> str:
    assert subject.classifier
    model = subject.classifier
    dense, crops = (np.asarray(model.posteriors(photo, method=method)) for method in (DENSE, MULTI_CROP))
    chosen = {label.index: label for row in (dense, crops) for label in best_labels(row, subject.labels, TOP)}
    ordered = sorted(chosen, key=lambda index: -max(dense[index], crops[index]))
    rows = [Bars(subject.labels[index], [float(dense[index]), float(crops[index])]) for index in ordered]
    scales = ", ".join(map(str, model.scales()))
    return fragments.bars(f"Posteriors by both methods at Q = {scales}", rows, ("dense", "crops"))


def _explanation(subject: Subject, photo: np.ndarray, choices: Choices) -> str:
    assert subject.classifier
    found = subject.classifier.explain_prediction(photo, label=choices.label, method=choices.method)
    picture = figures.thumbnail(photo, _SIDE)
    # Shrunk before the highest value becomes 1, so that the picture has all colours of the scale.
    size = (picture.shape[1], picture.shape[0])
    values = np.asarray(Image.fromarray(found.values).resize(size, Image.Resampling.BILINEAR))
    return fragments.picture(
        figures.overlay(picture, figures.as_heat(values)),
        f"What speaks for {visible(found.label.name)} in the photo, by {METHOD_TITLES[found.method]}",
        f"{visible(found.label.name)}, posterior {found.label.posterior:.3f}: {METHOD_TITLES[found.method]}",
        HeatScale("how much the place speaks for the class, as a share of the place that speaks most for it"),
    )


def _boxes(subject: Subject, photo: np.ndarray, choices: Choices) -> str:
    assert subject.localizer
    found = None
    if subject.classifier:
        located = subject.localizer.find(photo, top=TOP)
        assert not isinstance(located, list)
        found = next((label for label in located.labels if label.index == choices.label), None)
    box = found.box if found else subject.localizer.box(photo, choices.label)
    label = found or Label(subject.labels[choices.label], choices.label, 0.0)
    how = (
        f"{visible(label.name)}, posterior {label.posterior:.3f}, by the whole photo"
        if found
        else f"{visible(label.name)}, by the {'whole' if subject.localizer.squashes else 'centre of the'} photo"
    )
    outlined = figures.thumbnail(photo_files.outlined(photo, box), _SIDE)
    return fragments.picture(outlined, f"Box of {visible(label.name)} on the photo", f"{how}: {_sides(box)}")


def _sides(box: PixelBox) -> str:
    return f"rows {box.ymin} to {box.ymax}, columns {box.xmin} to {box.xmax}"


def _compares(subject: Subject, photo: np.ndarray) -> None:
    """Raises a UserError if the classifier cannot be shown photos in several ways; one crop is the quickest to try."""
    assert subject.classifier
    for method in (DENSE, CENTER_CROP):
        subject.classifier.classify(photo, method=method)


_OF_CLASSIFIERS = (
    View(
        "map",
        "Map",
        "The class-score map: what the net sees at each place of the photo, resized so that its "
        "smaller side has Q pixels. The larger Q is, the finer is the map; the maps of several Q are averaged.",
        (LABEL, TEST_SCALES),
        _score_map,
        lambda subject, photo: subject.classifier and subject.classifier.score_map(photo),
    ),
    View(
        "protocols",
        "Photo or crops",
        "The paper's two ways to classify a photo. Dense: the net looks at the whole photo and at its mirror image. "
        "Crops: it looks at a 5×5 grid of crops and their mirror images.",
        (),
        _protocols,
        _compares,
    ),
    View(
        "explanation",
        "Reasons",
        "Where the net looked. Grad-CAM: the channels of the last convolution, weighted by their influence on the "
        "class. Occlusion: how far the posterior falls when a square hides the place; it takes the longest. "
        "Integrated gradients: each pixel's part of the score.",
        (LABEL, METHOD),
        _explanation,
        lambda subject, photo: subject.classifier and subject.classifier.explain_prediction(photo),
    ),
)
_OF_LOCALIZERS = (
    View(
        "boxes",
        "Box",
        "Where the net sees an object of the class.",
        (LABEL,),
        _boxes,
        lambda subject, photo: subject.localizer and subject.localizer.box(photo, 0),
    ),
)


def usable(subject: Subject, photo: np.ndarray) -> tuple[list[View], list[str]]:
    """Tries the views on a photo, which also prepares the models for the first visitor.

    Args:
        subject: the models.
        photo: (H, W, 3) uint8.

    Returns:
        The views that the models allow, and for each of the others a line that says why not.
    """
    candidates = [*(_OF_LOCALIZERS if subject.localizer else ()), *(_OF_CLASSIFIERS if subject.classifier else ())]
    reasons = [_why_not(view, subject, photo) for view in candidates]
    found = [view for view, why_not in zip(candidates, reasons, strict=True) if not why_not]
    notes = [why_not for why_not in reasons if why_not]
    if not subject.classifier:
        notes.append(
            "Labels, maps and explanations need a net that chooses the classes: start the demo with --classifier."
        )
    return found, notes


def _why_not(view: View, subject: Subject, photo: np.ndarray) -> str:
    """Tries a view on a photo; returns a line that says why the models do not allow it, or "" if they do."""
    try:
        view.ability(subject, photo)
    except UserError as error:
        return f"“{view.title}” is not shown: {error}"
    return ""
