"""Loads an exported SavedModel, which is shown photos in the way that was chosen when it was exported."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import keras
import numpy as np

from vgg_keras.api.score_map import ScoreMap
from vgg_keras.api.trained_model import TrainedModel, scales_text
from vgg_keras.inference import image_inputs
from vgg_keras.inference.image_inputs import ImageInput, ImageInputs, NamedPhoto
from vgg_keras.models.architectures import LOCALIZATION
from vgg_keras.serving import export_record
from vgg_keras.serving.exported_model import ExportedSignatures
from vgg_keras.serving.servable import BOXES
from vgg_keras.utils.errors import UserError


class ExportedModel(TrainedModel):
    """A model that `export` wrote as a SavedModel; it is shown photos in the way that was chosen then.

    Args:
        version: folder of the version.

    Raises:
        UserError: the folder holds no SavedModel that `export` wrote.
    """

    def __init__(self, version: Path):
        self.path, self._record = version, export_record.read(version)
        if self._record.get("task") == LOCALIZATION:
            raise UserError(
                f"{version} predicts boxes, not classes: tf.saved_model.load gives its signature {BOXES}, and "
                f"load_localizer loads the model that it was exported from, {self._record['source']}"
            )
        self._signatures = ExportedSignatures(version, self._record["num_classes"])
        self.labels, self.input_size = self._signatures.label_names, self._record["input_size"]

    @property
    def keras_model(self) -> keras.Model:
        """Raises a UserError: a SavedModel holds a graph, and no Keras model."""
        raise UserError(f"{self.path} is a SavedModel, which holds no Keras model; load {self._record['source']}")

    def _posteriors(self, photos: Iterable[NamedPhoto], method: str | None, test_scales: str) -> np.ndarray:
        self._require_same(method, test_scales)
        return np.stack([image_inputs.of_named(photo, self._signatures.posterior) for photo in photos])

    def _require_same(self, method: str | None, test_scales: str) -> None:
        exported = ",".join(map(str, self._record["test_scales"]))
        for name, asked, have in (("method", method, self._record["method"]), ("test_scales", test_scales, exported)):
            if asked and asked != have:
                raise UserError(
                    f"{self.path} was exported with {name}={have}, and cannot be shown photos with {name}={asked}; "
                    f"load the model that it was exported from, {self._record['source']}"
                )

    def scales(self, test_scales: str | int | Sequence[int] = "") -> tuple[int, ...]:
        """See `TrainedModel.scales`; an exported model has those of its export alone."""
        self._require_same(None, scales_text(test_scales))
        return tuple(self._record["test_scales"])

    def score_map(self, image: ImageInput, *, test_scale: int | None = None) -> ScoreMap:
        """See `TrainedModel.score_map`."""
        photo = image_inputs.single(image)
        side = test_scale or self._record["test_scales"][0]
        if side < self.input_size:
            raise UserError(f"test_scale={side} must be at least {self.input_size}, the side of the input")
        scores = self._signatures.score_map(photo.pixels, side)
        return ScoreMap(photo.pixels, scores, side, self.input_size, self.labels)

    def features(
        self, images: ImageInputs, layers: Sequence[str] = ("fc7",), *, test_scales: str | int | Sequence[int] = ""
    ) -> dict[str, np.ndarray]:
        """See `TrainedModel.features`; an exported model has those of its penultimate layer alone."""
        names = [layers] if isinstance(layers, str) else list(layers)
        if names != ["fc7"]:
            raise UserError(f"{self.path} was exported with the features of fc7 alone; load {self._record['source']}")
        self._require_same(None, scales_text(test_scales))
        photos = image_inputs.read_images(images)
        rows = np.stack([image_inputs.of_named(photo, self._signatures.features) for photo in photos])
        return {"fc7": rows[0] if image_inputs.is_single(images) else rows}
