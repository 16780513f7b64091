"""Saves and loads the boxes of one localizer on a split, so that they can be merged with those of others later.

Localizers that are tested at different scales are fused in this way, as classifiers are from their posteriors.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vgg_keras.evaluation.box_results import ChosenClasses
from vgg_keras.inference.box_positions import NUM_VALUES
from vgg_keras.inference.box_predictions import PositionBoxes
from vgg_keras.inference.protocol import AVERAGES, DENSE, LOCALIZERS_METHODS, TestProtocol, TrainedNet
from vgg_keras.models import run_record
from vgg_keras.models.architectures import BOX_REGRESSIONS, LOCALIZATION
from vgg_keras.utils import array_files, side_files
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.files import write_atomically
from vgg_keras.utils.structures import TEXT, TRUTH, Maybe, either, number, one_of, whole

_INFO = {
    "model": {
        "net": TEXT,
        "train_scale": either(run_record.TRAIN_SCALE, one_of("")),
        "frozen_up_to": Maybe(TEXT),
        "box_regression": one_of(*BOX_REGRESSIONS),
        "test_scales": [whole(1)],
        "input_size": whole(1),
        "sha256": TEXT,
    },
    "classifiers": [{"path": TEXT, "sha256": TEXT}],
    "images": {"num_images": whole(1), "num_classes": whole(1), "sha256_of_boxes": TEXT},
    "settings": {
        "task": one_of(LOCALIZATION),
        "method": one_of(*LOCALIZERS_METHODS),
        "flip": TRUTH,
        "average": one_of(*AVERAGES),
    },
    "method": one_of(*LOCALIZERS_METHODS),
    "seconds": [number(0)],
}
_WAY_OUT = "compute them again with evaluate --task=localization --save_posteriors"


@dataclasses.dataclass(frozen=True)
class SavedBoxes:
    """The boxes of one localizer at all positions of the images of a split.

    Attributes:
        path: the `.npz` file.
        chosen: the classes whose boxes these are, on each of the N images.
        by_scale: the boxes at each test scale Q in pixels.
        info: JSON-ready description of the localizer, the classifiers, the images and the settings.
    """

    path: Path
    chosen: ChosenClasses
    by_scale: Mapping[int, PositionBoxes]
    info: Mapping[str, Any]

    @property
    def trained(self) -> TrainedNet:
        """Net and training scale of the localizer."""
        model = self.info["model"]
        return TrainedNet(model["net"], model["train_scale"], model.get("frozen_up_to", ""))

    @property
    def kind(self) -> str:
        """SCR or PCR."""
        return self.info["model"]["box_regression"]

    @property
    def test_scales(self) -> tuple[int, ...]:
        """Test scales Q in pixels."""
        return tuple(self.by_scale)

    def identity(self) -> dict:
        """Returns a JSON-ready description of the localizer."""
        return self.info["model"]

    def save(self) -> None:
        """Writes the file, complete or not at all."""
        info = {**self.info, "seconds": [part.seconds for part in self.by_scale.values()]}
        arrays: dict[str, Any] = {"info": np.array(json.dumps(info)), "labels": self.chosen.labels}
        arrays["posteriors"] = self.chosen.posteriors
        for index, part in enumerate(self.by_scale.values()):
            arrays |= {f"boxes_{index}": part.values, f"ends_{index}": part.ends}
        write_atomically(self.path, lambda temporary: np.savez(temporary, **arrays))

    @classmethod
    def load(cls, path: Path) -> "SavedBoxes":
        """Reads a file that `save` wrote.

        Raises:
            UserError: the file is missing or damaged, or holds no boxes.
        """
        content = array_files.read_arrays(path, _WAY_OUT)
        if {"info", "labels"} <= content.keys() and not {"posteriors", "boxes_0"} & content.keys():
            raise UserError(
                f"{path} holds posteriors of a classifier, not boxes; name boxes of localizers with --model, or leave "
                "out --task=localization"
            )
        if not {"info", "labels", "posteriors", "boxes_0", "ends_0"} <= content.keys():
            held = ", ".join(content) or "nothing"
            raise side_files.damaged(path, f"it holds {held}, and no boxes of a localizer", _WAY_OUT)
        info = side_files.parse_json(str(content.pop("info")), _INFO, f"{path}, in its info,", _WAY_OUT)
        problem = _find_problem(content, info)
        if problem:
            raise side_files.damaged(path, problem, _WAY_OUT)
        by_scale = {
            side: PositionBoxes(content[f"boxes_{index}"], content[f"ends_{index}"], info["seconds"][index])
            for index, side in enumerate(info["model"]["test_scales"])
        }
        return cls(path, ChosenClasses(content["labels"], content["posteriors"]), by_scale, info)

    def require_protocol(self, protocol: TestProtocol) -> None:
        """Checks that the boxes were computed by a protocol.

        Raises:
            UserError: the method or the test scales differ.
        """
        method = self.info["method"]
        if method not in protocol.method.split("+"):
            raise UserError(
                f"{self.path} holds {method}, not {protocol.method}; choose --method so, or save the boxes of all "
                "localizers with --save_posteriors, and merge their files"
            )
        if protocol.test_scales:
            own = dataclasses.replace(protocol, method=method)
            asked = own.scales_for(self.trained, self.path, self.info["model"]["input_size"])
            if asked != self.test_scales:
                raise UserError(
                    f"{self.path} was computed at Q = {self.test_scales}, --test_scales asks for {asked}; leave it "
                    "out, or compute the boxes so"
                )


def _find_problem(content: Mapping[str, np.ndarray], info: Mapping[str, Any]) -> str:
    """Returns what in the arrays contradicts the description or is no box; "" if nothing does."""
    labels, posteriors, scales = content["labels"], content["posteriors"], info["model"]["test_scales"]
    if labels.ndim != 2 or labels.dtype.kind != "i" or posteriors.shape != labels.shape or not labels.size:
        return f"its labels are {labels.shape} {labels.dtype}, its posteriors {posteriors.shape}"
    if not ((labels >= 0) & (labels < info["images"]["num_classes"])).all():
        return f"a label is not one of its {info['images']['num_classes']} classes"
    if posteriors.dtype.kind != "f" or not ((posteriors >= 0) & (posteriors <= 1)).all():
        return "its posteriors are not numbers from 0 to 1"
    if not scales or len(set(scales)) < len(scales) or len(info["seconds"]) != len(scales):
        return f"it holds the scales {scales}"
    if (np.diff(np.sort(labels, axis=1)) == 0).any():
        return "it holds a class of an image twice"
    views = 1 + info["settings"]["flip"]
    for index in range(len(scales)):
        values, ends = (content.get(f"{name}_{index}", np.zeros(0)) for name in ("boxes", "ends"))
        width = labels.shape[1] * NUM_VALUES
        if ends.shape != labels.shape[:1] or ends.dtype.kind != "i" or (np.diff(ends, prepend=0) < 0).any():
            return f"ends_{index} does not give the positions of {len(labels)} images"
        if info["method"] != DENSE and not np.isin(np.diff(ends, prepend=0), (0, views)).all():
            return f"ends_{index} does not give {views} positions of each image that has boxes"
        if values.shape != (ends[-1], width) or values.dtype != np.float32:
            return f"boxes_{index} is {values.shape} {values.dtype}, should be {(int(ends[-1]), width)} float32"
        if not np.isfinite(values).all():
            return f"boxes_{index} holds values that are no finite numbers"
    return ""
