"""Loads a trained model to classify photos, draw class-score maps and compute features in Python."""

import abc
import functools
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from vgg_keras.api.score_map import ScoreMap
from vgg_keras.data.photo_files import BadImage
from vgg_keras.inference import descriptors, image_inputs
from vgg_keras.inference.image_inputs import ImageInput, ImageInputs, NamedPhoto
from vgg_keras.inference.loading import load_for_inference
from vgg_keras.inference.predictions import Prediction, best_labels
from vgg_keras.inference.predictor import Predictor
from vgg_keras.inference.protocol import CENTER_CROP, DENSE, METHODS, MULTI_CROP, TestProtocol
from vgg_keras.models import fully_convolutional, run_record
from vgg_keras.serving import exporter, versions
from vgg_keras.serving.exported_model import ExportedSignatures
from vgg_keras.utils.errors import UserError, did_you_mean
from vgg_keras.utils.options import PathLike

_METHODS = (DENSE, MULTI_CROP, CENTER_CROP)


class TrainedModel(abc.ABC):
    """A trained model that is shown photos; made by `load`, which reads the weights once.

    Attributes:
        path: the `.keras` file, or the folder of the exported version.
        labels: label names in the order of the class indices.
    """

    path: Path
    labels: list[str]

    def classify(
        self,
        images: ImageInputs,
        *,
        method: str | None = None,
        test_scales: str | int | Sequence[int] = "",
        top: int = 5,
    ) -> Prediction | list[Prediction]:
        """Classifies photos by the paper's test protocol (arXiv:1409.1556, sect. 3.2).

        >>> import vgg_keras as vgg
        >>> model = vgg.load("runs/drawn")
        >>> model.classify("runs/drawn/samples/0.jpg", top=2).labels[0].index in range(5)
        True
        >>> len(model.classify("runs/drawn/samples", method="center_crop"))
        8

        Args:
            images: one image or several: paths of files, folders and globs; encoded images; Pillow images; arrays of
                RGB levels 0..255, (H, W, 3).
            method: what the net is shown of a photo: "dense", the whole, with its mirror image; "multi_crop", a 5x5
                grid of crops and their mirror images; "center_crop", the centre. None: "dense", or that of the export.
            test_scales: test scales Q, the smaller sides in pixels to which photos are rescaled: 256 or (256, 288);
                "single" or "multi": those of the paper for the model's training scale; "" means "single", or those of
                the export.
            top: number of labels of each photo.

        Returns:
            The labels of the photo; a list if several images were given.

        Raises:
            UserError: an image cannot be read, or the model cannot be shown images in this way.
        """
        if top < 1:
            raise UserError(f"top={top} must be at least 1")
        photos = image_inputs.read_images(images)
        rows = self._posteriors(photos, method, _scales_text(test_scales))
        found = [
            Prediction(photo.file, best_labels(row, self.labels, top)) for photo, row in zip(photos, rows, strict=True)
        ]
        return found[0] if image_inputs.is_single(images) else found

    def posteriors(
        self, images: ImageInputs, *, method: str | None = None, test_scales: str | int | Sequence[int] = ""
    ) -> np.ndarray:
        """Computes posteriors: takes the arguments of `classify`; returns (classes,), or (N, classes), float 0..1.

        >>> import vgg_keras as vgg
        >>> vgg.load("runs/drawn").posteriors("runs/drawn/samples").shape
        (8, 5)
        """
        rows = self._posteriors(image_inputs.read_images(images), method, _scales_text(test_scales))
        return rows[0] if image_inputs.is_single(images) else rows

    @abc.abstractmethod
    def _posteriors(self, photos: Sequence[NamedPhoto], method: str | None, test_scales: str) -> np.ndarray:
        """Returns (N, classes)."""

    @abc.abstractmethod
    def score_map(self, image: ImageInput, *, test_scale: int | None = None) -> ScoreMap:
        """Computes the class-score map of a photo: the scores of all classes for each position of the net's window.

        >>> import vgg_keras as vgg
        >>> found = vgg.load("runs/drawn").score_map("runs/drawn/samples/0.jpg", test_scale=96)
        >>> found.scores.shape[2]
        5

        Args:
            image: the photo, in any form that `classify` takes.
            test_scale: test scale Q, the smaller side in pixels to which the photo is rescaled; None: the model's.

        Raises:
            UserError: the image cannot be read, or the model cannot be made fully convolutional.
        """

    @abc.abstractmethod
    def features(
        self, images: ImageInputs, layers: Sequence[str] = ("fc7",), *, test_scales: str | int | Sequence[int] = ""
    ) -> dict[str, np.ndarray]:
        """Computes descriptors: a layer's outputs, averaged over the photo, its mirror image and the test scales.

        >>> import vgg_keras as vgg
        >>> features = vgg.load("runs/drawn").features("runs/drawn/samples", layers=["fc7", "block5_pool"])
        >>> {layer: array.shape for layer, array in features.items()}
        {'fc7': (8, 256), 'block5_pool': (8, 32)}

        Args:
            images: one image or several, in any form that `classify` takes.
            layers: names of the layers, such as "fc7", the penultimate one (arXiv:1409.1556, appendix B).
            test_scales: test scales Q, as `classify` takes them.

        Returns:
            {layer: (N, channels) float32, rows of length 1}; for one image (channels,).

        Raises:
            UserError: an image cannot be read, or the model has no such layer.
        """

    @property
    @abc.abstractmethod
    def keras_model(self) -> keras.Model:
        """The Keras model, from (B, S, S, 3) float32, RGB 0..255, to posteriors (B, classes).

        Raises:
            UserError: an exported model has none.
        """

    def __repr__(self) -> str:
        shown = ", ".join(self.labels[:5]) + (", ..." if len(self.labels) > 5 else "")
        return f"{type(self).__name__}({str(self.path)!r}: {len(self.labels)} classes: {shown})"


class KerasFileModel(TrainedModel):
    """A model of a `.keras` file, which can be shown photos in every way of the paper.

    Args:
        path: a `.keras` file, or a run's folder.

    Raises:
        UserError: the file is missing or damaged, or does not take square RGB images.
    """

    def __init__(self, path: Path):
        self._model = load_for_inference(path, TestProtocol(CENTER_CROP))
        self.path, self.labels = self._model.path, self._model.label_names
        self._predictors: dict[TestProtocol, Predictor] = {}

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

    def _posteriors(self, photos: Sequence[NamedPhoto], method: str | None, test_scales: str) -> np.ndarray:
        predictor = self._predictor(TestProtocol(_require_method(method or DENSE), test_scales))
        rows = [_named(photo, predictor.posteriors) for photo in photos]
        return np.stack(rows)

    def score_map(self, image: ImageInput, *, test_scale: int | None = None) -> ScoreMap:
        """See `TrainedModel.score_map`."""
        photo = image_inputs.single(image)
        protocol = TestProtocol(DENSE, _scales_text(test_scale or ""))
        (side, *_) = self._model.at_scales(protocol).test_scales
        predictor = self._predictor(TestProtocol(DENSE, str(side), flip=False))
        scores = _named(photo, predictor.score_map)
        return ScoreMap(photo.pixels, scores, side, self._model.input_size, self.labels)

    def features(
        self, images: ImageInputs, layers: Sequence[str] = ("fc7",), *, test_scales: str | int | Sequence[int] = ""
    ) -> dict[str, np.ndarray]:
        """See `TrainedModel.features`."""
        photos = image_inputs.read_images(images)
        protocol = TestProtocol(DENSE, _scales_text(test_scales))
        model = self._model.at_scales(protocol)
        found = {}
        for layer in [layers] if isinstance(layers, str) else layers:
            describe = descriptors.PhotoDescriber(model, self._map_net, layer)
            rows = np.stack([_named(photo, describe) for photo in photos])
            found[layer] = rows[0] if image_inputs.is_single(images) else rows
        return found


class ExportedModel(TrainedModel):
    """A model that `export` wrote as a SavedModel; it is shown photos in the way that was chosen then.

    Args:
        version: folder of the version.

    Raises:
        UserError: the folder holds no SavedModel that `export` wrote.
    """

    def __init__(self, version: Path):
        self.path, self._record = version, exporter.read_record(version)
        self._signatures = ExportedSignatures(version)
        self.labels = self._signatures.label_names

    @property
    def keras_model(self) -> keras.Model:
        """Raises a UserError: a SavedModel holds a graph, and no Keras model."""
        raise UserError(f"{self.path} is a SavedModel, which holds no Keras model; load {self._record['source']}")

    def _posteriors(self, photos: Sequence[NamedPhoto], method: str | None, test_scales: str) -> np.ndarray:
        self._require_same(method, test_scales)
        return np.stack([self._signatures.posterior(photo.pixels) for photo in photos])

    def _require_same(self, method: str | None, test_scales: str) -> None:
        exported = ",".join(map(str, self._record["test_scales"]))
        for name, asked, have in (("method", method, self._record["method"]), ("test_scales", test_scales, exported)):
            if asked and asked != have:
                raise UserError(
                    f"{self.path} was exported with {name}={have}, and cannot be shown photos with {name}={asked}; "
                    f"load the model that it was exported from, {self._record['source']}"
                )

    def score_map(self, image: ImageInput, *, test_scale: int | None = None) -> ScoreMap:
        """See `TrainedModel.score_map`."""
        photo = image_inputs.single(image)
        side = test_scale or self._record["test_scales"][0]
        if side < self._record["input_size"]:
            raise UserError(f"test_scale={side} must be at least {self._record['input_size']}, the side of the input")
        scores = self._signatures.score_map(photo.pixels, side)
        return ScoreMap(photo.pixels, scores, side, self._record["input_size"], self.labels)

    def features(
        self, images: ImageInputs, layers: Sequence[str] = ("fc7",), *, test_scales: str | int | Sequence[int] = ""
    ) -> dict[str, np.ndarray]:
        """See `TrainedModel.features`; an exported model has those of its penultimate layer alone."""
        names = [layers] if isinstance(layers, str) else list(layers)
        if names != ["fc7"]:
            raise UserError(f"{self.path} was exported with the features of fc7 alone; load {self._record['source']}")
        self._require_same(None, _scales_text(test_scales))
        photos = image_inputs.read_images(images)
        rows = np.stack([self._signatures.features(photo.pixels) for photo in photos])
        return {"fc7": rows[0] if image_inputs.is_single(images) else rows}


def load(path: PathLike) -> TrainedModel:
    """Loads a trained model.

    >>> import vgg_keras as vgg
    >>> vgg.load("runs/drawn").labels
    ['daisy', 'dandelion', 'rose', 'sunflower', 'tulip']

    Args:
        path: a run's folder, whose best model is loaded; a `.keras` file; or an exported SavedModel, the folder of its
            versions (the newest is loaded) or of one version.

    Raises:
        UserError: there is no such model, or it cannot be read.
    """
    found = Path(path).expanduser()
    if (found / exporter.MAIN_FILE).is_file():
        return ExportedModel(found)
    if found.is_dir() and not (found / run_record.BEST_MODEL).exists():
        if versions.numbers(found):
            return ExportedModel(versions.newest(found))
        raise UserError(f"{found} holds neither {run_record.BEST_MODEL} of a run nor versions of an exported model")
    if not found.exists():
        beside = [entry.name for entry in found.parent.iterdir()] if found.parent.is_dir() else []
        raise UserError(f"{found} does not exist{did_you_mean(found.name, beside)}")
    return KerasFileModel(found)


def _named(photo: NamedPhoto, compute):
    """Calls a function of a photo's pixels, and names the photo in its error."""
    try:
        return compute(photo.pixels)
    except BadImage as error:
        raise UserError(f"{photo.file or 'an image'}: {error}") from error


def _require_method(method: str) -> str:
    if method not in _METHODS:
        raise UserError(f"method={method} must be one of {', '.join(_METHODS)}{did_you_mean(method, METHODS)}")
    return method


def _scales_text(test_scales: str | int | Sequence[int]) -> str:
    """Returns test scales as `--test_scales` takes them: "256,288"."""
    if isinstance(test_scales, str):
        return test_scales
    sides = [test_scales] if isinstance(test_scales, (int, np.integer)) else test_scales
    return ",".join(map(str, sides))
