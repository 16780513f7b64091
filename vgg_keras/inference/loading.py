"""The models of an evaluation: what each is, how it was trained, at which scales it is tested; wrong ones refused."""

import dataclasses
import functools
import hashlib
import json
import mmap
from collections.abc import Sequence
from pathlib import Path

import keras

from vgg_keras.data.labels import CLASS_INDICES
from vgg_keras.evaluation import published
from vgg_keras.evaluation.published import CENTER_CROP, DENSE, TrainedNet
from vgg_keras.inference.posteriors import SCORES, SavedPosteriors
from vgg_keras.models import fully_convolutional, vgg
from vgg_keras.training import checkpoints, run_dir
from vgg_keras.utils.cli import UserError
from vgg_keras.weights import transfer


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How models are tested (arXiv:1409.1556, sect. 3.2).

    Attributes:
        method: of `paper.METHODS`.
        test_scales: paper.SINGLE, paper.MULTI, sides as "256,288", or "": what the paper uses for one scale.
        flip: whether views are averaged with their mirror images; None: all but the centre crop.
        average: of a class-score map, of `posteriors.AVERAGES`.
    """

    method: str = DENSE
    test_scales: str = ""
    flip: bool | None = None
    average: str = SCORES

    def base_methods(self) -> tuple[str, ...]:
        """Returns the methods whose posteriors are averaged."""
        return (DENSE, published.MULTI_CROP) if self.method == published.BOTH else (self.method,)

    def flips(self) -> bool:
        """Returns whether views are averaged with their mirror images."""
        return self.method != CENTER_CROP if self.flip is None else self.flip

    def scales_of(self, trained: TrainedNet, path: Path) -> tuple[int, ...]:
        """Returns the test scales Q of a model.

        Raises:
            UserError: they are illegible, or follow from a training scale that nobody knows.
        """
        if self.test_scales in ("", published.SINGLE, published.MULTI):
            if not trained.train_scale:
                raise UserError(
                    f"{path} has no {run_dir.RECORD} beside it that tells the scale it was trained with; "
                    "give --test_scales=Q,..., such as 256"
                )
            return published.test_scales(trained.scale_range(), self.test_scales or published.SINGLE)
        try:
            scales = tuple(int(side) for side in self.test_scales.split(","))
        except ValueError:
            scales = ()
        if not scales or min(scales) < 1 or len(set(scales)) < len(scales):
            raise UserError(
                f"--test_scales={self.test_scales} must be different sides in pixels, such as 256 or 256,384,512, "
                f"or {published.SINGLE} or {published.MULTI}"
            )
        return scales


@dataclasses.dataclass(frozen=True)
class ModelUnderTest:
    """A model under test.

    Attributes:
        path: a `.keras` file, or the `.npz` file with what it said in an earlier evaluation.
        trained: its net ("A", or the Keras model's name if it is none of the paper's) and training scale ("": unknown).
        test_scales: Q, pixels.
        input_size: side of its crops, pixels.
        saved: the contents of the `.npz` file, or None.
    """

    path: Path
    trained: TrainedNet
    test_scales: tuple[int, ...]
    input_size: int
    saved: SavedPosteriors | None = None

    @functools.cached_property
    def sha256(self) -> str:
        """Of the model's file, also where only what it said is there."""
        return self.saved.info["model"]["sha256"] if self.saved else _sha256(self.path)

    def map_scale(self) -> int:
        """Returns the scale at which class-score maps are drawn: at the test scales a map has few positions."""
        return max(*self.test_scales, 2 * self.input_size)

    def load(self) -> keras.Model:
        """Loads the `.keras` file."""
        return checkpoints.load_model(self.path)

    def identity(self) -> dict:
        """Returns what of it a result depends on, as JSON has it."""
        return {
            "net": self.trained.net,
            "train_scale": self.trained.train_scale,
            "test_scales": list(self.test_scales),
            "input_size": self.input_size,
            "sha256": self.sha256,
        }


def inspect(path: str, protocol: Protocol, class_names: Sequence[str] | None = None) -> ModelUnderTest:
    """Looks a model over before the hours of work.

    Args:
        path: a `.keras` file, a run's folder, or a file of saved posteriors.
        protocol: how it is to be tested.
        class_names: of the data set, in the order of the indices; None where there is none to compare with.

    Raises:
        UserError: it is missing, has other classes, or cannot be tested in this way.
    """
    place = run_dir.model_file(Path(path))
    model = _inspect_saved(place, protocol) if place.suffix == ".npz" else _inspect_keras(place, protocol, class_names)
    too_small = [side for side in model.test_scales if side < model.input_size]
    if too_small:
        raise UserError(
            f"--test_scales: {place} looks at {model.input_size}x{model.input_size} pixels; "
            f"it cannot be tested at Q = {', '.join(map(str, too_small))}"
        )
    return model


def _inspect_keras(path: Path, protocol: Protocol, class_names: Sequence[str] | None) -> ModelUnderTest:
    model = checkpoints.load_model(path)
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[1] is None or shape[1] != shape[2] or shape[3] != 3:
        raise UserError(f"{path} takes {shape}; what is tested takes (batch, S, S, 3), S a number: square RGB crops")
    if transfer.is_of_keras_applications(model):
        raise UserError(
            f"{path} is of keras.applications and takes blue first, the mean subtracted; make a net of it that takes "
            f"RGB 0..255: python -m vgg_keras.pretrained --source={path} --output=NET.keras"
        )
    if len(model.outputs) != 1 or len(model.output_shape) != 2:
        raise UserError(f"{path} gives {model.output_shape}; what is tested gives (batch, classes)")
    if DENSE in protocol.base_methods():
        fully_convolutional.require_convertible(model)
    if class_names is not None:
        _check_classes(path, model.output_shape[-1], class_names)
    trained = TrainedNet(vgg.net_of(model) or model.name, run_dir.read_train_scale(path.parent))
    return ModelUnderTest(path, trained, protocol.scales_of(trained, path), shape[1])


def _sha256(path: Path) -> str:
    # hashlib.file_digest came with Python 3.11.
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return hashlib.sha256(content).hexdigest()


def _check_classes(path: Path, num_classes: int, class_names: Sequence[str]) -> None:
    beside = path.parent / CLASS_INDICES
    if beside.exists():
        indices = json.loads(beside.read_text(encoding="utf-8"))
        known = sorted(indices, key=indices.get)
        differing = [pair for pair in zip(known, class_names, strict=False) if pair[0] != pair[1]]
        if differing:
            ours, theirs = differing[0]
            raise UserError(f"{path} knows other classes than the data set: {ours!r} where that has {theirs!r}")
    if num_classes != len(class_names):
        raise UserError(f"{path} knows {num_classes} classes, the data set has {len(class_names)}")


def _inspect_saved(path: Path, protocol: Protocol) -> ModelUnderTest:
    saved = SavedPosteriors.load(path)
    identity = saved.info["model"]
    lacking = [method for method in protocol.base_methods() if method not in saved.by_method]
    if lacking:
        raise UserError(f"{path} holds {', '.join(saved.by_method)}, not {', '.join(lacking)}; choose --method so")
    model = ModelUnderTest(
        path,
        TrainedNet(identity["net"], identity["train_scale"]),
        tuple(identity["test_scales"]),
        identity["input_size"],
        saved,
    )
    if protocol.test_scales:
        asked = protocol.scales_of(model.trained, path)
        if asked != model.test_scales:
            raise UserError(f"{path} was computed at Q = {model.test_scales}, --test_scales asks for {asked}")
    settings = {"flip": protocol.flips()}
    if DENSE in protocol.base_methods():
        settings["average"] = protocol.average
    for name, asked in settings.items():
        if saved.info[name] != asked:
            raise UserError(f"{path} was computed with {name} = {saved.info[name]}, here it would be {asked}")
    return model
