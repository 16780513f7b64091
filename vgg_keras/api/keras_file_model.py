"""Loads a `.keras` file, which can be shown photos in every way of the paper."""

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path

import keras
import numpy as np

from vgg_keras.api.explanation import Explanation
from vgg_keras.api.score_map import ScoreMap
from vgg_keras.api.trained_model import TrainedModel, scales_text
from vgg_keras.inference import descriptors, image_inputs
from vgg_keras.inference.image_inputs import ImageInput, ImageInputs, NamedPhoto
from vgg_keras.inference.loading import load_for_inference, own_method
from vgg_keras.inference.predictions import Label, label_index
from vgg_keras.inference.predictor import Predictor
from vgg_keras.inference.protocol import CENTER_CROP, DENSE, MULTI_CROP, TestProtocol
from vgg_keras.models import fully_convolutional
from vgg_keras.models.preparation import SQUASH
from vgg_keras.utils import cli
from vgg_keras.utils.errors import UserError, did_you_mean

_METHODS = (DENSE, MULTI_CROP, CENTER_CROP, SQUASH)


class KerasFileModel(TrainedModel):
    """A model of a `.keras` file, which can be shown photos in every way of the paper.

    Args:
        path: a `.keras` file, or a run's folder.

    Raises:
        UserError: the file is missing or damaged, or does not take square RGB images.
    """

    def __init__(self, path: Path):
        self._model = load_for_inference(path, TestProtocol(CENTER_CROP))
        self._own_method = own_method(path)
        self.path, self.labels = self._model.path, self._model.label_names
        self.input_size = self._model.input_size
        self._predictors: dict[TestProtocol, Predictor] = {}
        self._describers: dict[tuple[TestProtocol, str], descriptors.PhotoDescriber] = {}

    @property
    def keras_model(self) -> keras.Model:
        """The Keras model, from (B, S, S, 3) float32, RGB 0..255, to posteriors (B, classes)."""
        return self._model.net

    @functools.cached_property
    def _map_net(self) -> keras.Model:
        return fully_convolutional.convert(self._model.net)

    def _predictor(self, protocol: TestProtocol) -> Predictor:
        if protocol not in self._predictors:
            model = self._model.at_scales(protocol)
            map_net = self._map_net if protocol.method == DENSE else None
            self._predictors[protocol] = Predictor(model, protocol, map_net=map_net)
        return self._predictors[protocol]

    def _posteriors(self, photos: Iterable[NamedPhoto], method: str | None, test_scales: str) -> np.ndarray:
        predictor = self._predictor(TestProtocol(_require_method(method or self._own_method), test_scales))
        with cli.quiet_logs():  # TensorFlow's, that photos of many shapes make it trace many functions
            return np.stack([image_inputs.of_named(photo, predictor.posteriors) for photo in photos])

    def scales(self, test_scales: str | int | Sequence[int] = "") -> tuple[int, ...]:
        """See `TrainedModel.scales`."""
        return self._model.at_scales(TestProtocol(CENTER_CROP, scales_text(test_scales))).test_scales

    def score_map(self, image: ImageInput, *, test_scale: int | None = None) -> ScoreMap:
        """See `TrainedModel.score_map`."""
        photo = image_inputs.single(image)
        protocol = TestProtocol(DENSE, scales_text(test_scale or ""))
        (side, *_) = self._model.at_scales(protocol).test_scales
        predictor = self._predictor(TestProtocol(DENSE, str(side), flip=False))
        scores = image_inputs.of_named(photo, predictor.score_map)
        return ScoreMap(photo.pixels, scores, side, self._model.input_size, self.labels)

    def _explain(
        self, photo: NamedPhoto, label: str | int | None, method: str, layer: str, test_scales: str
    ) -> Explanation:
        predictor = self._predictor(TestProtocol(DENSE, test_scales))
        posteriors = image_inputs.of_named(photo, predictor.posteriors)
        index = int(posteriors.argmax()) if label is None else label_index(label, self.labels)
        values = predictor.explainer(photo.pixels, index, method, layer)
        return Explanation(photo.pixels, values, Label(self.labels[index], index, float(posteriors[index])), method)

    def features(
        self, images: ImageInputs, layers: Sequence[str] = ("fc7",), *, test_scales: str | int | Sequence[int] = ""
    ) -> dict[str, np.ndarray]:
        """See `TrainedModel.features`."""
        protocol = TestProtocol(DENSE, scales_text(test_scales))
        describers = {
            layer: self._describer(protocol, layer) for layer in ([layers] if isinstance(layers, str) else layers)
        }
        rows: dict[str, list[np.ndarray]] = {layer: [] for layer in describers}
        for photo in image_inputs.read_images(images):
            for layer, describe in describers.items():
                rows[layer].append(image_inputs.of_named(photo, describe))
        single = image_inputs.is_single(images)
        return {layer: found[0] if single else np.stack(found) for layer, found in rows.items()}

    def _describer(self, protocol: TestProtocol, layer: str) -> descriptors.PhotoDescriber:
        key = (protocol, layer)
        if key not in self._describers:
            model = self._model.at_scales(protocol)
            self._describers[key] = descriptors.PhotoDescriber(model, self._map_net, layer)
        return self._describers[key]


def _require_method(method: str) -> str:
    if method not in _METHODS:
        raise UserError(f"method={method} must be one of {', '.join(_METHODS)}{did_you_mean(method, _METHODS)}")
    return method
