"""Shows the photos of a split to an exported model as its users would: encoded, or as views that they cut out."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow as tf

from vgg_keras.inference.loading import require_classes
from vgg_keras.inference.passes import Pass, RefusedView
from vgg_keras.inference.protocol import TestProtocol, TrainedNet
from vgg_keras.inference.views import ENCODED, ViewSpec
from vgg_keras.models import run_record
from vgg_keras.serving import export_record, export_steps, versions
from vgg_keras.serving.agreement import ConvertedModel
from vgg_keras.serving.found_export import FoundExport
from vgg_keras.serving.onnx_export import ONNX_FILE, load_onnx
from vgg_keras.serving.servable import CLASSIFY
from vgg_keras.serving.tflite_export import load_tflite
from vgg_keras.utils.errors import UserError, reason


@dataclasses.dataclass(frozen=True)
class EvaluatedExport:
    """A loaded export and the scales at which it is tested; an `inference.passes.ExternalModel`.

    Attributes:
        found: the export.
        test_scales: test scales Q in pixels.
        model: its function from encoded photos to posteriors, or the model of another runtime.
    """

    found: FoundExport
    test_scales: tuple[int, ...]
    model: Callable[[tf.Tensor], np.ndarray] | ConvertedModel

    @classmethod
    def load(cls, found: FoundExport, protocol: TestProtocol, class_names: Sequence[str]) -> "EvaluatedExport":
        """Loads an export.

        Args:
            found: the export.
            protocol: the way in which it is tested, as `FoundExport.settled` returned it.
            class_names: class names of the data set in the order of their indices.

        Raises:
            UserError: the export is damaged, has other classes, or needs packages that are not installed.
        """
        path, num_classes = found.path, found.record["num_classes"]
        known = run_record.read_class_names(found.version / versions.EXTRA, num_classes)
        require_classes(path, num_classes, known, class_names)
        test_scales = found.test_scales(protocol)
        export_record.require_whole(found.version, None if found.saved_model else path.name)
        if found.saved_model:
            return cls(found, test_scales, _load_saved_model(path))
        return cls(found, test_scales, load_onnx(path) if path.name == ONNX_FILE else load_tflite(path, str(path)))

    @property
    def path(self) -> Path:
        """The folder of a SavedModel, or the file of another format."""
        return self.found.path

    @property
    def trained(self) -> TrainedNet:
        """Net, training scale and form."""
        return self.found.trained

    @property
    def input_size(self) -> int:
        """Side of its crops in pixels."""
        return self.found.record["input_size"]

    def identity(self) -> dict:
        """Returns a JSON-ready description of everything in the model that a result depends on."""
        return {
            "net": self.trained.net,
            "train_scale": self.trained.train_scale,
            "form": self.trained.form,
            "test_scales": list(self.test_scales),
            "input_size": self.input_size,
            "temperature": self.found.record.get("temperature", 1.0),
            "sha256": self.found.sha256,
        }

    def passes(self, method: str, protocol: TestProtocol, batch_size: int) -> Iterator[Pass]:
        """Yields one pass for a SavedModel, which looks at all scales itself, else one for each test scale."""
        width = self.found.record["num_classes"]
        if not isinstance(self.model, ConvertedModel):
            spec = ViewSpec(ENCODED, min(self.test_scales), self.input_size, batch_size)
            yield Pass(method, 0, spec, _EncodedPosteriors(self.model, width))
            return
        predict = _ViewPosteriors(self.model, width, protocol.flips())
        for side in self.test_scales:
            yield Pass(f"{method}_{side}", side, ViewSpec(method, side, self.input_size, batch_size), predict)


def _load_saved_model(version: Path) -> Callable[[tf.Tensor], np.ndarray]:
    try:
        signatures = export_steps.load_signatures(version)
        classify = signatures[CLASSIFY]
    except Exception as error:  # TensorFlow and the file system raise errors of many kinds
        raise UserError(f"{version} is no SavedModel that can be loaded: {reason(error)}") from error
    return lambda image_bytes: classify(image_bytes=image_bytes)["posterior"].numpy()


@dataclasses.dataclass(frozen=True)
class _EncodedPosteriors:
    """Posteriors of encoded photos, in requests of a batch each.

    Attributes:
        classify: function from (B,) string to (B, classes) float32.
        width: number of classes.
    """

    classify: Callable[[tf.Tensor], np.ndarray]
    width: int
    gives_posteriors: ClassVar[bool] = True

    def __call__(self, views: tf.Tensor) -> np.ndarray:
        try:
            return self.classify(views)
        except tf.errors.InvalidArgumentError:
            # The message names the refused photos in a form that is for people: so they are looked for one by one.
            refused = next(found for place, view in enumerate(views) if (found := self._refusal(place, view)))
            raise refused from None

    def _refusal(self, place: int, view: tf.Tensor) -> RefusedView | None:
        try:
            self.classify(view[tf.newaxis])
        except tf.errors.InvalidArgumentError as error:
            return RefusedView(place, reason(error))
        return None


@dataclasses.dataclass(frozen=True)
class _ViewPosteriors:
    """Posteriors of views that the user of a runtime has cut out.

    Attributes:
        model: the model; one that takes no other size than its own takes one view at a time.
        width: number of classes.
        flip: whether each view is averaged with its mirror image.
    """

    model: ConvertedModel
    width: int
    flip: bool
    gives_posteriors: ClassVar[bool] = True

    def __call__(self, views: tf.Tensor) -> np.ndarray:
        seen = views.numpy()
        outputs = self._of(seen)
        return (outputs + self._of(seen[:, :, ::-1])) / 2 if self.flip else outputs

    def _of(self, views: np.ndarray) -> np.ndarray:
        if self.model.whole:
            return self.model.run(views)
        return _with_sum_1(np.concatenate([self.model.run(view[np.newaxis]) for view in views]))


def _with_sum_1(posteriors: np.ndarray) -> np.ndarray:
    """Returns posteriors divided by their sum, which those in 256ths miss; where all of them are 0, they are equal."""
    total = posteriors.sum(axis=1, keepdims=True)
    return np.where(total > 0, posteriors / np.maximum(total, 1e-6), 1 / posteriors.shape[1]).astype(np.float32)
