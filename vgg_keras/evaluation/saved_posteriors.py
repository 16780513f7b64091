"""Saves and loads the posteriors of one model on a split, so that a later fusion need not run the net again.

An evaluation that was killed resumes from other files, those of `utils.resumable_array` in its folder `partial`.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vgg_keras.inference.protocol import DENSE, TestProtocol, TrainedNet
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.files import write_atomically

SUFFIX = ".npz"
_INFO_KEYS = {"model", "images", "flip", "average", "seconds"}


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
        return TrainedNet(self.info["model"]["net"], self.info["model"]["train_scale"])

    @property
    def test_scales(self) -> tuple[int, ...]:
        """Test scales Q in pixels, over which the posteriors are averaged."""
        return tuple(self.info["model"]["test_scales"])

    def identity(self) -> dict:
        """Returns a JSON-ready description of the model."""
        return self.info["model"]

    def save(self) -> None:
        """Writes the file, complete or not at all."""
        arrays: dict[str, Any] = {"labels": self.labels, "info": np.array(json.dumps(self.info)), **self.by_method}
        write_atomically(self.path, lambda temporary: np.savez(temporary, **arrays))

    @classmethod
    def load(cls, path: Path) -> "SavedPosteriors":
        """Reads a file that `save` wrote.

        Raises:
            UserError: the file is missing, holds no posteriors, or was written by another version of the package.
        """
        try:
            with np.load(path) as arrays:
                content = dict(arrays)
            info = json.loads(str(content.pop("info")))
            if set(info) != _INFO_KEYS:
                raise UserError(f"{path} was written by another version: it tells {', '.join(info)}")
            return cls(path, labels=content.pop("labels"), info=info, by_method=content)
        except UserError:
            raise
        except FileNotFoundError as error:
            raise UserError(f"{path} is missing; evaluate --save_posteriors writes such files") from error
        except Exception as error:  # zipfile, NumPy and json raise many kinds of errors
            raise UserError(f"{path} does not hold posteriors of an evaluation: {error}") from error

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
