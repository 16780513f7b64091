"""The passes of an evaluation, and what comes of them: errors for each model, scale, method and fusion."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from vgg_keras.evaluation.published import BOTH, CENTER_CROP, DENSE, Published, rows_of
from vgg_keras.inference import batch_predict
from vgg_keras.inference.loading import ModelUnderTest, Protocol
from vgg_keras.inference.posteriors import PosteriorFunction, SavedPosteriors
from vgg_keras.inference.views import ImagesUnderTest
from vgg_keras.models import fully_convolutional
from vgg_keras.utils.cli import UserError
from vgg_keras.utils.metrics import Score
from vgg_keras.utils.resumable_array import Rows


@dataclasses.dataclass(frozen=True)
class Result:
    """The errors of one model, or several fused, in one way of testing.

    Attributes:
        models: the models.
        method: of `paper.METHODS`.
        test_scales: Q of each model, pixels.
        flip: whether mirror images were averaged in.
        score: loss and errors.
        seconds: wall time that the nets took for it, reading and decoding included.
    """

    models: tuple[ModelUnderTest, ...]
    method: str
    test_scales: tuple[tuple[int, ...], ...]
    flip: bool
    score: Score
    seconds: float

    def images_per_second(self) -> float:
        """Returns images a second; 0 where nothing was timed."""
        return self.score.num_images / self.seconds if self.seconds else 0.0

    def published(self) -> Published | None:
        """Returns the paper's row for these nets, scales and method, or None; the paper always flips."""
        rows = rows_of([model.trained for model in self.models], self.method, self.test_scales)
        return rows[0] if rows and self.flip else None


@dataclasses.dataclass(frozen=True)
class Timed:
    """Posteriors and the seconds that they took.

    Attributes:
        posteriors: (N, classes) float32.
        seconds: wall time.
    """

    posteriors: np.ndarray
    seconds: float

    @classmethod
    def mean(cls, parts: Sequence["Timed"]) -> "Timed":
        """Returns the mean of several posteriors, and the sum of their seconds."""
        # One after the other: the posteriors of 50,000 images and 1,000 classes are 200 MB, and there may be many.
        total = np.zeros(parts[0].posteriors.shape, np.float64)
        for part in parts:
            total += part.posteriors
        return cls((total / len(parts)).astype(np.float32), sum(part.seconds for part in parts))


class Evaluator:
    """Tests models on one split, one after the other, and goes on where a killed process stopped.

    Args:
        images: the images.
        protocol: how to test.
        folder: where the posteriors of each pass are kept while the evaluation lasts.
        strategy: the devices.
        batch_size: crops at a time, of all devices together; whole images as many as have the same number of pixels.
    """

    def __init__(
        self,
        images: ImagesUnderTest,
        protocol: Protocol,
        folder: Path,
        strategy: tf.distribute.Strategy,
        batch_size: int,
    ):
        self._images, self._protocol, self._folder = images, protocol, folder
        self._strategy, self._batch_size = strategy, batch_size
        self._flip = protocol.flips()

    def check(self, model: ModelUnderTest) -> None:
        """Refuses what would fail in the middle of the work.

        Raises:
            UserError: saved posteriors are of other images, or an image would not fit into memory.
        """
        if model.saved:
            found, identity = model.saved.info["images"], self._images.identity()
            if found != identity:
                raise UserError(f"{model.path} is of other images than these: {found}, not {identity}")
        elif self._protocol.method != CENTER_CROP:
            self._images.survey.check_extents(max(model.test_scales), model.input_size, self._batch_size)

    def test(self, model: ModelUnderTest, place: int) -> tuple[list[Result], dict[str, Timed]]:
        """Tests one model.

        Args:
            model: the model.
            place: its place among the evaluation's models; names its files.

        Returns:
            Its results in the order in which they are shown, the last one the whole; and for each method the posteriors
            averaged over the test scales.

        Raises:
            UserError: a record or the model cannot be used.
        """
        of_scales, by_method = ({}, self._saved(model)) if model.saved else self._passes(model, place)
        return self._results([model], of_scales, by_method), by_method

    def fuse(self, models: Sequence[ModelUnderTest], by_method: Mapping[str, Timed]) -> list[Result]:
        """Returns the results of several models together, given the means of their posteriors for each method."""
        return self._results(models, {}, by_method)

    def _results(
        self,
        models: Sequence[ModelUnderTest],
        of_scales: Mapping[str, list[Result]],
        by_method: Mapping[str, Timed],
    ) -> list[Result]:
        """Returns each method's results at single scales, then at all together; the mean of the methods at the end."""
        results = []
        for method, timed in by_method.items():
            results += [*of_scales.get(method, ()), self._result(models, method, timed)]
        if self._protocol.method == BOTH:
            results.append(self._result(models, BOTH, Timed.mean(list(by_method.values()))))
        return results

    def _result(self, models: Sequence[ModelUnderTest], method: str, timed: Timed, side: int = 0) -> Result:
        score = Score.of_posteriors(timed.posteriors, self._images.survey.labels)
        scales = tuple((side,) if side else model.test_scales for model in models)
        return Result(tuple(models), method, scales, self._flip, score, timed.seconds)

    def _saved(self, model: ModelUnderTest) -> dict[str, Timed]:
        return {
            method: Timed(model.saved.by_method[method], model.saved.info["seconds"][method])
            for method in self._protocol.base_methods()
        }

    def _passes(self, model: ModelUnderTest, place: int) -> tuple[dict[str, list[Result]], dict[str, Timed]]:
        of_scales, by_method = {}, {}
        for method in self._protocol.base_methods():
            parts = {side: Timed(rows.values(), rows.seconds) for rows, side in self._rows(model, method, place)}
            if len(parts) > 1:
                of_scales[method] = [self._result([model], method, timed, side) for side, timed in parts.items()]
            by_method[method] = Timed.mean(list(parts.values()))
        return of_scales, by_method

    def _rows(self, model: ModelUnderTest, method: str, place: int) -> Iterator[tuple[Rows, int]]:
        """Yields the finished posteriors of a method at each test scale; loads the model only if it is needed."""
        num_images, num_classes = len(self._images.survey), len(self._images.data.class_names)
        function = functools.cache(lambda: self._function(model, method))
        for side in model.test_scales:
            rows = Rows(self._folder / f"{place}_{method}_{side}.npy", num_images, num_classes)
            batch_predict.fill(
                rows,
                function,
                self._images,
                method=method,
                smallest_side=side,
                crop_size=model.input_size,
                batch_size=self._batch_size,
                title=f"{model.trained.net} {method} Q={side}",
                what=str(model.path),
            )
            yield rows, side

    def _function(self, model: ModelUnderTest, method: str) -> PosteriorFunction:
        keras.backend.clear_session()
        with self._strategy.scope():
            source = model.load()
            net = fully_convolutional.convert(source) if method == DENSE else source
        return PosteriorFunction(net, self._strategy, average=self._protocol.average, flip=self._flip)


def saved_posteriors(
    model: ModelUnderTest, images: ImagesUnderTest, protocol: Protocol, by_method: Mapping[str, Timed]
) -> SavedPosteriors:
    """Returns what a later evaluation needs to fuse a model without running it again."""
    info = {
        "model": model.identity(),
        "images": images.identity(),
        "flip": protocol.flips(),
        "average": protocol.average,
        "seconds": {method: timed.seconds for method, timed in by_method.items()},
    }
    arrays = {method: timed.posteriors for method, timed in by_method.items()}
    return SavedPosteriors(arrays, images.survey.labels, info)
