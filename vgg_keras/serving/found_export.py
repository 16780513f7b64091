"""Finds out whether a path names an exported model, and how that model may be shown photos; loads no graph."""

import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import Any

from vgg_keras.inference.protocol import CENTER_CROP, METHODS, MULTI_CROP, OWN, TestProtocol, TrainedNet
from vgg_keras.models import run_record
from vgg_keras.models.architectures import LOCALIZATION
from vgg_keras.models.preparation import SQUASH
from vgg_keras.serving import export_record, versions
from vgg_keras.serving.export_record import MAIN_FILE
from vgg_keras.serving.onnx_export import ONNX_FILE
from vgg_keras.serving.tflite_export import TFLITE_FORMS
from vgg_keras.utils import files
from vgg_keras.utils.arithmetic import parse_whole
from vgg_keras.utils.errors import UserError

SAVED_MODEL_FORM, _ONNX_FORM = "SavedModel", "ONNX"
FILE_FORMS = {ONNX_FILE: _ONNX_FORM, **TFLITE_FORMS}
_SUFFIXES = {Path(name).suffix for name in FILE_FORMS}
# The ways in which the user of a format may show photos to it: a SavedModel does all itself.
_CROPS = (CENTER_CROP, MULTI_CROP, SQUASH)
_METHODS = {_ONNX_FORM: METHODS, **dict.fromkeys(TFLITE_FORMS.values(), _CROPS)}


@dataclasses.dataclass(frozen=True)
class FoundExport:
    """An exported classifier that is not loaded.

    Attributes:
        path: the folder of a SavedModel, or the file of another format.
        version: folder of its version.
        form: name of its format.
        record: its description, the content of `export.json`.
    """

    path: Path
    version: Path
    form: str
    record: dict[str, Any]

    @property
    def saved_model(self) -> bool:
        """Whether it is a SavedModel, whose graph holds the whole of its protocol."""
        return self.form == SAVED_MODEL_FORM

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of the file, or of the names and SHA-256 of all files of the SavedModel, in hexadecimal digits."""
        if not self.saved_model:
            return files.sha256(self.path)
        inside = sorted(path for path in self.path.rglob("*") if path.is_file() and versions.EXTRA not in path.parts)
        listed = "".join(f"{path.relative_to(self.path)} {files.sha256(path)}\n" for path in inside)
        return hashlib.sha256(listed.encode()).hexdigest()

    def kept_folders(self, output: Path) -> list[Path]:
        """Returns the folders around an output that it must not lie in: a version, this one or one beside it.

        Args:
            output: what is to be written. A folder with the number of a version would be taken for the newest one.
        """
        beside = self.version.resolve().parent
        output = output.resolve()
        first = output.relative_to(beside).parts[:1] if output.is_relative_to(beside) else ()
        return [self.version, *(beside / name for name in first if parse_whole(name) is not None)]

    @property
    def trained(self) -> TrainedNet:
        """Net, training scale and form."""
        precision = self.record["precision"]
        form = self.form if precision == "float32" else f"{self.form} {precision}"
        return TrainedNet(self.record["net"], self.record.get("train_scale", ""), form=form)

    def settled(self, asked: TestProtocol) -> TestProtocol:
        """Returns the protocol by which it is tested: what is not asked for is as the export has it.

        Args:
            asked: the protocol that the user asks for; without test scales, those of the export hold.

        Raises:
            UserError: the export cannot be shown photos in this way.
        """
        record, fixed = self.record, self.saved_model
        method = asked.method if asked.method != OWN else record["method"]
        if method not in ([record["method"]] if fixed else _METHODS[self.form]):
            self._refuse("method", method, record["method"] if fixed else " or ".join(_METHODS[self.form]))
        flip = record["flip"] if asked.flip is None else asked.flip
        if fixed and flip != record["flip"]:
            self._refuse("flip", flip, record["flip"])
        average = record.get("average", TestProtocol.average)
        if asked.average not in (TestProtocol.average, average) and self.form not in TFLITE_FORMS.values():
            self._refuse("average", asked.average, average)
        return dataclasses.replace(asked, method=method, flip=flip, average=average)

    def test_scales(self, settled: TestProtocol) -> tuple[int, ...]:
        """Returns its test scales Q in pixels.

        Args:
            settled: the protocol that `settled` returned.

        Raises:
            UserError: other scales are asked for than those in its graph, or such that are smaller than its input.
        """
        own, input_size = tuple(self.record["test_scales"]), self.record["input_size"]
        if settled.method == SQUASH != self.record["method"]:
            own = (input_size,)
        if not settled.test_scales:
            return own
        asked = settled.scales_for(self.trained, self.path, input_size)
        if self.saved_model and asked != own:
            self._refuse("test_scales", ",".join(map(str, asked)), ",".join(map(str, own)))
        if min(asked) < input_size:
            raise UserError(
                f"--test_scales: {self.path} looks at {input_size}x{input_size} pixels; it cannot be tested at "
                f"Q = {min(asked)}"
            )
        return asked

    def _refuse(self, name: str, asked: object, have: object) -> None:
        raise UserError(
            f"{self.path} ({self.form}) can only be tested with --{name}={have}, not {asked}; leave that out, or test "
            f"the model that it was exported from, {self.record['source']}"
        )


def find(path: Path) -> FoundExport | None:
    """Returns the export that a path names, or None if it names none.

    Args:
        path: the folder of a model's versions, of which the newest is taken, the folder of a version, or an `.onnx` or
            `.tflite` file.

    Raises:
        UserError: the version holds several models, has no description, or is of a net that predicts boxes.
    """
    if path.is_dir():
        given = path
        if not (path / run_record.BEST_MODEL).exists() and (numbers := versions.numbers(path)):
            path /= str(numbers[-1])
        if (path / MAIN_FILE).is_file():
            return _described(path, path, SAVED_MODEL_FORM)
        inside = [path / name for name in FILE_FORMS if (path / name).is_file()]
        if len(inside) > 1:
            raise UserError(f"{path} holds several models; name one of them: {', '.join(map(str, inside))}")
        if path != given and not inside:
            raise UserError(
                f"{path}, the newest version in {given}, holds no exported model; export again, or remove it"
            )
        return find(inside[0]) if inside else None
    if path.suffix not in _SUFFIXES or not path.is_file():
        return None
    if path.name not in FILE_FORMS:
        raise UserError(
            f"{path} is not called {' or '.join(FILE_FORMS)}: only a file that vgg_keras.export wrote, in the folder "
            "of its version, tells how it is shown photos"
        )
    return _described(path, path.parent, FILE_FORMS[path.name])


def _described(path: Path, version: Path, form: str) -> FoundExport:
    record = export_record.read(version)
    if record.get("task") == LOCALIZATION:
        raise UserError(
            f"{path} predicts boxes, not classes: serve_check compares it with the model that it was exported from, "
            f"and evaluate --task=localization tests that, {record['source']}"
        )
    return FoundExport(path, version, form, record)
