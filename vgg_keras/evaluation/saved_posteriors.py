"""Saves and loads the posteriors of one model on a split, so that a later fusion need not run the net again.

An evaluation that was killed resumes from other files, those of `utils.resumable_array` in its folder `partial`.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vgg_keras.inference.protocol import AVERAGES, DENSE, TestProtocol, TrainedNet
from vgg_keras.models import run_record
from vgg_keras.models.preparation import SQUASH
from vgg_keras.utils import array_files, side_files
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.files import write_atomically
from vgg_keras.utils.structures import TEXT, TRUTH, MapOf, Maybe, either, number, one_of, whole

SUFFIX = ".npz"
_INFO = {
    "model": {
        "net": TEXT,
        "train_scale": either(run_record.TRAIN_SCALE, one_of("")),
        "frozen_up_to": Maybe(TEXT),
        "form": Maybe(TEXT),
        "test_scales": [whole(1)],
        "input_size": whole(1),
        "sha256": TEXT,
    },
    "images": {"num_images": whole(1), "num_classes": whole(1)},
    "flip": TRUTH,
    "average": one_of(*AVERAGES),
    "seconds": MapOf(number(0)),
}
_WAY_OUT = "compute them again with evaluate --save_posteriors"
_SLACK = 1e-3  # of float32


def is_saved(path: Path) -> bool:
    """Returns whether a path names a file of saved posteriors or boxes, not a model or a run's folder."""
    return path.suffix == SUFFIX and not path.is_dir()


@dataclasses.dataclass(frozen=True)
class SavedPosteriors:
    """The posteriors of one model on a split.

    Attributes:
        path: the `.npz` file.
        by_method: posteriors by each method but "both", (N, classes) float32, averaged over the test scales.
        labels: true classes, (N,) int32.
        info: JSON-ready description of the model, the images and the settings, and the seconds for each method.
    """

    path: Path
    by_method: Mapping[str, np.ndarray]
    labels: np.ndarray
    info: Mapping[str, Any]

    @property
    def trained(self) -> TrainedNet:
        """Net and training scale of the model."""
        model = self.info["model"]
        return TrainedNet(model["net"], model["train_scale"], model.get("frozen_up_to", ""), model.get("form", ""))

    @property
    def test_scales(self) -> tuple[int, ...]:
        """Test scales Q in pixels, over which the posteriors are averaged."""
        return tuple(self.info["model"]["test_scales"])

    def own_method(self) -> str:
        """Returns the method of a fusion if the user chooses none: SQUASH if the posteriors are of it, else DENSE."""
        return SQUASH if SQUASH in self.by_method else DENSE

    def identity(self) -> dict:
        """Returns a JSON-ready description of the model."""
        return self.info["model"]

    def settings(self) -> dict:
        """Returns a JSON-ready description of how the posteriors were computed."""
        return {"methods": sorted(self.by_method), "flip": self.info["flip"], "average": self.info["average"]}

    def same_as(self, others: Iterable["SavedPosteriors"]) -> bool:
        """Returns whether one of some others holds the posteriors of the same model, computed in the same way."""
        own = (self.identity(), self.settings())
        return any((other.identity(), other.settings()) == own for other in others)

    def save(self) -> None:
        """Writes the file, complete or not at all."""
        arrays: dict[str, Any] = {"labels": self.labels, "info": np.array(json.dumps(self.info)), **self.by_method}
        write_atomically(self.path, lambda temporary: np.savez(temporary, **arrays))

    @classmethod
    def load(cls, path: Path) -> "SavedPosteriors":
        """Reads a file that `save` wrote.

        Raises:
            UserError: the file is missing or damaged, or holds no posteriors.
        """
        content = array_files.read_arrays(path, _WAY_OUT)
        if not {"info", "labels"} <= content.keys():
            held = ", ".join(content) or "nothing"
            raise side_files.damaged(path, f"it holds {held}, and no info or labels", _WAY_OUT)
        if "boxes_0" in content:
            raise UserError(
                f"{path} holds boxes of a localizer, not posteriors; test them as a --model of --task=localization"
            )
        info = side_files.parse_json(str(content.pop("info")), _INFO, f"{path}, in its info,", _WAY_OUT)
        saved = cls(path, labels=content.pop("labels"), info=info, by_method=content)
        problem = saved.find_problem()
        if problem:
            raise side_files.damaged(path, problem, _WAY_OUT)
        return saved

    def find_problem(self) -> str:
        """Returns what in the arrays contradicts the description or is no posterior; "" if nothing does."""
        images, classes = self.info["images"]["num_images"], self.info["images"]["num_classes"]
        if self.labels.shape != (images,) or self.labels.dtype.kind != "i":
            return f"its labels are {self.labels.shape} {self.labels.dtype}, should be ({images},) integers"
        if not ((self.labels >= 0) & (self.labels < classes)).all():
            return f"a label is not one of its {classes} classes"
        if not self.by_method or set(self.by_method) != set(self.info["seconds"]):
            return f"it holds the methods {list(self.by_method)}, should hold {list(self.info['seconds'])}"
        for method, posteriors in self.by_method.items():
            if posteriors.shape != (images, classes) or posteriors.dtype != np.float32:
                return f"{method} is {posteriors.shape} {posteriors.dtype}, should be ({images}, {classes}) float32"
            # Negated, so that a NaN fails too.
            if not (posteriors.min() >= 0 and np.abs(posteriors.sum(axis=1) - 1).max() < _SLACK):
                return f"{method} holds rows that are no posteriors (numbers from 0 to 1 with the sum 1)"
        return ""

    def require_protocol(self, protocol: TestProtocol) -> None:
        """Checks that the posteriors were computed by a protocol.

        Raises:
            UserError: a method is missing, or the test scales, the use of mirror images or the averages differ.
        """
        lacking = [method for method in protocol.base_methods() if method not in self.by_method]
        if lacking:
            raise UserError(
                f"{self.path} holds {', '.join(self.by_method)}, not {', '.join(lacking)}; choose --method so"
            )
        if protocol.test_scales:
            asked = protocol.scales_for(self.trained, self.path, self.info["model"]["input_size"])
            if asked != self.test_scales:
                raise UserError(f"{self.path} was computed at Q = {self.test_scales}, --test_scales asks for {asked}")
        settings: dict[str, Any] = {"flip": protocol.flips()}
        if DENSE in protocol.base_methods():
            settings["average"] = protocol.average
        for name, setting in settings.items():
            if self.info[name] != setting:
                raise UserError(f"{self.path} was computed with {name} = {self.info[name]}, here it would be {setting}")
