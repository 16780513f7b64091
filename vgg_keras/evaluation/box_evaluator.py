"""Tests localizers on one split: errors of each localizer and test scale, and of all boxes together."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from vgg_keras.data.boxed_split import BoxedSplit
from vgg_keras.evaluation.box_results import BoxResult, ChosenClasses, overlaps_of_split
from vgg_keras.evaluation.records import require_same_images
from vgg_keras.evaluation.saved_boxes import SavedBoxes
from vgg_keras.inference import views
from vgg_keras.inference.box_positions import JOIN
from vgg_keras.inference.box_predictions import PositionBoxes, predict_boxes
from vgg_keras.inference.loading import EvaluatedModel
from vgg_keras.inference.localizer import Localizer
from vgg_keras.inference.protocol import DENSE
from vgg_keras.inference.views import ViewSpec
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.resumable_array import ResumableArray
from vgg_keras.utils.teamwork import Team
from vgg_keras.utils.work_items import Items

# What an evaluation tests: a localizer, or the boxes that an earlier evaluation saved.
Locator = Localizer | SavedBoxes


def method_of(model: Locator, method: str) -> str:
    """Returns the method by which a model's boxes are or were computed: that of the evaluation, or of their file."""
    return model.info["method"] if isinstance(model, SavedBoxes) else method


class BoxEvaluator:
    """Tests localizers on one split, one at a time, and resumes where a killed process stopped.

    Args:
        split: the images and the boxes of their objects.
        method: DENSE, CENTER_CROP or SQUASH; CROP_AND_SQUASH, if all localizers are saved boxes.
        chosen: the classes on each image.
        scorer: the classifier that scores boxes, or None.
        folder: folder in which the predictions are kept during the evaluation.
        flip: whether the boxes of mirrored views are averaged in.
        team: the workers that share the images; None: this process has all of them.
    """

    def __init__(
        self,
        split: BoxedSplit,
        method: str,
        chosen: ChosenClasses,
        scorer: EvaluatedModel | None,
        folder: Path,
        *,
        flip: bool,
        team: Team | None = None,
    ):
        self._team = team or Team()
        self._split, self._method, self._chosen = split, method, chosen
        self._scorer, self._folder, self._flip = scorer, folder, flip

    def test(self, model: Locator, index: int) -> tuple[list[BoxResult], dict[int, PositionBoxes]]:
        """Tests one localizer.

        Args:
            model: the localizer, or its saved boxes.
            index: its index among the evaluation's localizers; part of its files' names.

        Returns:
            The results in the order in which they are shown, the last one over all scales; and the boxes at each test
            scale Q in pixels.

        Raises:
            UserError: a record cannot be read, a prediction is not finite, or memory ran out.
        """
        by_scale = model.by_scale if isinstance(model, SavedBoxes) else self._predict(model, index)
        single = list(by_scale.items()) if len(by_scale) > 1 else []
        results = [self._result([(model, {side: part})], f"{index}_merged_{side}") for side, part in single]
        return [*results, self._result([(model, by_scale)], f"{index}_merged")], dict(by_scale)

    def fuse(self, parts: Sequence[tuple[Locator, Mapping[int, PositionBoxes]]]) -> BoxResult:
        """Returns the result of several localizers, whose boxes at all their scales are merged together (app. A.2).

        Args:
            parts: each localizer and its boxes at each test scale, as `test` returns them.
        """
        return self._result(parts, "merged")

    def _predict(self, model: Localizer, index: int) -> dict[int, PositionBoxes]:
        predictor = model.position_predictor(self._scorer)
        return {
            side: predict_boxes(
                self._folder / f"{index}_boxes_{side}.npy",
                predictor,
                self._split,
                self._chosen.labels,
                ViewSpec(self._method, side, model.input_size, batch_size=1),
                flip=self._flip,
                title=f"{model.trained.net} boxes Q={side}",
                model_name=str(model.path),
                team=self._team,
            )
            for side in model.test_scales
        }

    def _result(self, parts: Sequence[tuple[Locator, Mapping[int, PositionBoxes]]], name: str) -> BoxResult:
        """Joins the boxes of localizers and scales, and finds out which are right; a file of a name keeps the boxes."""
        boxes = [part for _, by_scale in parts for part in by_scale.values()]
        methods = tuple(method_of(model, self._method) for model, _ in parts)
        joined = self._join(boxes, name, methods[0])  # methods that are merged are joined in the same way
        found = joined.values()[self._split.has_box].reshape(-1, self._chosen.labels.shape[1], 4)
        return BoxResult(
            nets=tuple(model.trained for model, _ in parts),
            kinds=tuple(model.kind for model, _ in parts),
            test_scales=tuple(tuple(by_scale) for _, by_scale in parts),
            methods=methods,
            flip=self._flip,
            found=found,
            overlaps=overlaps_of_split(found, self._chosen, self._split),
            seconds=joined.seconds + sum(part.seconds for part in boxes),
        )

    def _join(self, parts: Sequence[PositionBoxes], name: str, method: str) -> ResumableArray:
        """Returns one box of each class on each image with boxes, (N, k * 4) as rows."""
        manifest, has_box = self._split.manifest, self._split.has_box

        def compute(outputs: ResumableArray, wanted: np.ndarray, advance: Callable[[], None]) -> None:
            for index in np.flatnonzero(wanted).tolist():
                predicted = np.concatenate([part.of_image(index) for part in parts])
                joined = JOIN[method](predicted, manifest.sizes[index])
                outputs.store(index, joined.astype(np.float32).reshape(-1))
                advance()

        items = Items.of_rows("merging boxes", len(manifest), wanted=has_box, stays=False)
        return self._team.fill(self._folder / f"{name}.npy", 4 * self._chosen.labels.shape[1], items, compute)


def require_testable(
    model: Locator, split: BoxedSplit, method: str, scorer: EvaluatedModel | None, batch_size: int
) -> None:
    """Checks, before anything is written, what would otherwise fail in the middle of the evaluation.

    Args:
        model: a localizer, or its saved boxes.
        split: the images.
        method: DENSE, CENTER_CROP or SQUASH.
        scorer: the classifier that scores boxes, or None.
        batch_size: number of crops whose pixels an image may have at most, if that is more than usual.

    Raises:
        UserError: saved boxes are of other images, an image would not fit into memory, or the classifier has other
            classes or another input size than the localizer.
    """
    if isinstance(model, SavedBoxes):
        _require_same_images(model, split)
        return
    if scorer:
        model.require_scorer(scorer)
    if method == DENSE:
        views.require_images_fit(split.manifest, ViewSpec(DENSE, max(model.test_scales), model.input_size, batch_size))


def _require_same_images(saved: SavedBoxes, split: BoxedSplit) -> None:
    require_same_images(saved.path, saved.info["images"], split.identity())
    has_rows = [np.diff(part.ends, prepend=0) > 0 for part in saved.by_scale.values()]
    if not all(np.array_equal(rows, split.has_box) for rows in has_rows):
        raise UserError(
            f"{saved.path} is of other images than these: others of them have no boxes; compute it again with "
            "--save_posteriors"
        )


def require_same_classes(saved: SavedBoxes, chosen: ChosenClasses) -> None:
    """Checks that saved boxes are of some classes on their images.

    Raises:
        UserError: they are not.
    """
    if not np.array_equal(saved.chosen.labels, chosen.labels):
        raise UserError(
            f"{saved.path} holds boxes of other classes on these images than are asked for; choose the classes of both "
            "with the same --classifier"
        )
