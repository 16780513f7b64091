"""Loads what a demo shows: a classifier, a localizer, or both."""

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from vgg_keras.api import loading
from vgg_keras.api.trained_localizer import TrainedLocalizer
from vgg_keras.api.trained_model import TrainedModel
from vgg_keras.inference.loading import own_method
from vgg_keras.inference.protocol import CENTER_CROP, DENSE, MULTI_CROP, TestProtocol
from vgg_keras.models import run_record
from vgg_keras.models.preparation import SQUASH
from vgg_keras.serving import export_record, versions
from vgg_keras.serving.found_export import FILE_FORMS
from vgg_keras.utils import paths
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.escaping import visible
from vgg_keras.utils.paths import PathLike

_OTHER_FORMS = {".tflite": "TFLite", ".onnx": "ONNX"}
# Number of classes that the description of a model names.
_NAMED_CLASSES = 5
# Test scales to choose from, as parts of the one that suits the model: larger ones give finer maps.
_LARGER_SCALES = (1.0, 1.5, 2.0)
# What a net looks at by each method, with mirror images and without.
_WAYS = {
    DENSE: ("the whole photo", "the whole photo and its mirror image"),
    MULTI_CROP: ("a 5×5 grid of crops", "a 5×5 grid of crops and their mirror images"),
    CENTER_CROP: ("the centre crop", "the centre crop and its mirror image"),
    SQUASH: ("the photo, squashed to a square", "the photo, squashed to a square, and its mirror image"),
}


@dataclasses.dataclass(frozen=True)
class Subject:
    """The models of a demo.

    Attributes:
        classifier: the net that tells the classes; None: there is none.
        localizer: the net that tells the boxes; None: there is none.
    """

    classifier: TrainedModel | None
    localizer: TrainedLocalizer | None

    @property
    def labels(self) -> Sequence[str]:
        """Label names in the order of the class indices."""
        return self.main.labels

    @property
    def main(self) -> TrainedModel | TrainedLocalizer:
        """The model that the demo was started for."""
        found = self.localizer or self.classifier
        assert found
        return found

    @property
    def path(self) -> Path:
        """The `.keras` file, or the folder of an exported version."""
        return self.main.path

    @property
    def name(self) -> str:
        """A short name of the model: that of its run or file."""
        path = self.path.resolve()
        # The folders of exported versions have numbers for names.
        named_by_folder = path.name == run_record.BEST_MODEL or path.is_dir()
        return visible(path.parent.name if named_by_folder else path.stem)

    def describe(self) -> str:
        """Returns the model's file, what it predicts, and its classes, in a line."""
        named = ", ".join(map(visible, self.labels[:_NAMED_CLASSES]))
        more = ", ..." if len(self.labels) > _NAMED_CLASSES else ""
        kind = "boxes of" if self.localizer else ""
        chosen = f"; {self.classifier.path} chooses them" if self.localizer and self.classifier else ""
        return " ".join(filter(None, [f"{self.path}:", kind, f"{len(self.labels):,} classes: {named}{more}{chosen}"]))

    def way(self) -> str:
        """Returns what the classifier looks at to find its posteriors."""
        assert self.classifier
        path = self.classifier.path
        if path.is_dir():
            record = export_record.read(path)
            method, flip = record["method"], record["flip"]
        else:
            method = own_method(path)
            flip = TestProtocol(method).flips()
        return f"{_WAYS[method][flip]}, Q = {', '.join(map(str, self.classifier.scales()))}"

    def scales(self) -> list[int]:
        """Returns the test scales Q in pixels to choose from, the one that suits the model first."""
        assert self.classifier
        own, *others = self.classifier.scales()
        larger = [round(own * factor) for factor in _LARGER_SCALES]
        with contextlib.suppress(UserError):  # the training scale is not known, or too small for three scales
            others += self.classifier.scales("multi")
        return [own, *sorted({side for side in (*others, *larger) if side >= self.classifier.input_size} - {own})]


def load(model: PathLike, classifier: PathLike) -> Subject:
    """Loads the models of a demo.

    Args:
        model: whatever `vgg_keras.load` and `vgg_keras.load_localizer` take.
        classifier: the net that chooses the classes of a localizer; "": none is given.

    Raises:
        UserError: a model is missing, damaged or of the wrong kind, or the two do not fit together.
    """
    _require_shown(model)
    if not classifier and not loading.is_localizer(model):
        return Subject(loading.load(model), None)
    chooser = _load_classifier(classifier) if classifier else None
    return Subject(chooser, loading.load_localizer(model, classifier=classifier or None))


def _load_classifier(path: PathLike) -> TrainedModel:
    try:
        return loading.load(path)
    except UserError as error:
        raise UserError(f"--classifier={path}: {error}") from error


def _require_shown(model: PathLike) -> None:
    """Refuses exports of the formats that the demo does not show."""
    path = Path(paths.expand(str(model), str(model)))
    if path.is_dir() and not (path / run_record.BEST_MODEL).exists() and versions.numbers(path):
        path = versions.newest(path)
    if (path / export_record.MAIN_FILE).is_file():
        return
    files = [path / name for name in FILE_FORMS] if path.is_dir() else [path]
    suffixes = {file.suffix for file in files if file.is_file()}
    forms = " and ".join(form for suffix, form in _OTHER_FORMS.items() if suffix in suffixes)
    if forms:
        verb = "holds files of" if path.is_dir() else "is a file of"
        raise UserError(
            f"--model={model}: the demo shows runs, .keras files and SavedModels, and {path} {verb} {forms}; give the "
            "run that it was exported from"
        )
