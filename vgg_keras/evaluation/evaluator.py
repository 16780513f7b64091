"""Tests models on one split: errors for each model, test scale and method, and for their fusion."""

import dataclasses
import gc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from vgg_keras.data.manifest import SplitManifest
from vgg_keras.evaluation.published import PublishedResult, find_published
from vgg_keras.evaluation.records import require_same_images
from vgg_keras.evaluation.saved_posteriors import SavedPosteriors
from vgg_keras.inference.batch_predict import predict_split
from vgg_keras.inference.loading import EvaluatedModel
from vgg_keras.inference.passes import ExternalModel, Pass
from vgg_keras.inference.posteriors import DistributedPredictor
from vgg_keras.inference.protocol import BOTH, CENTER_CROP, DENSE, TestProtocol, TrainedNet
from vgg_keras.inference.views import ViewSpec, require_images_fit
from vgg_keras.models import fully_convolutional
from vgg_keras.models.preparation import SQUASH
from vgg_keras.utils.metrics import Score, top_k_errors
from vgg_keras.utils.teamwork import Team

# What an evaluation tests: a model, one that is no Keras model, or the posteriors that an earlier evaluation saved.
TestedModel = EvaluatedModel | ExternalModel
Evaluable = TestedModel | SavedPosteriors


@dataclasses.dataclass(frozen=True)
class Result:
    """The errors of one model, or of several whose posteriors are averaged, by one method.

    Attributes:
        models: net and training scale of each model.
        method: one of `protocol.METHODS`.
        test_scales: test scales Q of each model in pixels.
        flip: whether mirror images were averaged in.
        average: what was averaged over a class-score map, one of `protocol.AVERAGES`.
        score: loss and errors.
        wrong: (2, N) bool: whether each image is a top-1 error, and a top-5 error.
        seconds: wall time of inference in seconds, reading and decoding included.
    """

    models: tuple[TrainedNet, ...]
    method: str
    test_scales: tuple[tuple[int, ...], ...]
    flip: bool
    average: str
    score: Score
    wrong: np.ndarray
    seconds: float

    def images_per_second(self) -> float:
        """Returns the throughput in images per second; 0 if nothing was timed."""
        return self.score.num_images / self.seconds if self.seconds else 0.0

    def published(self) -> PublishedResult | None:
        """Returns the paper's row for these nets and scales and this way of testing, or None."""
        rows = find_published(self.models, self.method, self.test_scales, flip=self.flip, average=self.average)
        return rows[0] if rows else None


@dataclasses.dataclass(frozen=True)
class TimedPosteriors:
    """Posteriors and the time that they took.

    Attributes:
        posteriors: (N, classes) float32.
        seconds: wall time in seconds.
    """

    posteriors: np.ndarray
    seconds: float

    @classmethod
    def mean(cls, parts: Sequence["TimedPosteriors"]) -> "TimedPosteriors":
        """Returns the mean of several posteriors, and the sum of their seconds."""
        # Added one by one: the posteriors of 50,000 images and 1,000 classes take 200 MB, and there may be many.
        total = np.zeros(parts[0].posteriors.shape, np.float64)
        for part in parts:
            total += part.posteriors
        return cls((total / len(parts)).astype(np.float32), sum(part.seconds for part in parts))


class Evaluator:
    """Tests models on one split, one model at a time, and resumes where a killed process stopped.

    Args:
        manifest: the images.
        protocol: the way in which models are tested.
        folder: folder in which the posteriors at each scale are kept during the evaluation.
        strategy: the devices.
        batch_size: number of crops in a batch, of all devices together; whole images are batched to as many pixels.
        team: the workers that share the images; None: this process has all of them.
        title: begin of the titles of the progress bars.
    """

    def __init__(
        self,
        manifest: SplitManifest,
        protocol: TestProtocol,
        folder: Path,
        strategy: tf.distribute.Strategy,
        batch_size: int,
        team: Team | None = None,
        title: str = "",
    ):
        self._title = title
        self._team = team
        self._manifest, self._protocol, self._folder = manifest, protocol, folder
        self._strategy, self._batch_size = strategy, batch_size
        self._flip = protocol.flips()

    def check(self, model: Evaluable) -> None:
        """Checks in advance what would otherwise fail in the middle of the evaluation.

        Raises:
            UserError: saved posteriors belong to other images, or an image would not fit into memory.
        """
        if isinstance(model, SavedPosteriors):
            require_same_images(model.path, model.info["images"], self._manifest.identity())
        elif self._protocol.method not in (CENTER_CROP, SQUASH):
            largest = ViewSpec(DENSE, max(model.test_scales), model.input_size, self._batch_size)
            require_images_fit(self._manifest, largest)

    def test(self, model: Evaluable, index: int) -> tuple[list[Result], dict[str, TimedPosteriors]]:
        """Tests one model.

        Args:
            model: the model.
            index: its index among the evaluation's models; part of its files' names.

        Returns:
            The results in the order in which they are shown, the last one over all scales and methods; and for each
            method the posteriors averaged over the test scales.

        Raises:
            UserError: a record cannot be read, an output is not a posterior, or memory ran out.
        """
        if isinstance(model, SavedPosteriors):
            by_scale: dict[str, list[Result]] = {}
            by_method = self._read_saved(model)
        else:
            by_scale, by_method = self._run(model, index)
        return self._results([model], by_scale, by_method), by_method

    def fuse(self, models: Sequence[Evaluable], by_method: Mapping[str, TimedPosteriors]) -> list[Result]:
        """Returns the results of several models whose posteriors are averaged.

        Args:
            models: the models.
            by_method: for each method the mean of the models' posteriors.
        """
        return self._results(models, {}, by_method)

    def _results(
        self,
        models: Sequence[Evaluable],
        by_scale: Mapping[str, list[Result]],
        by_method: Mapping[str, TimedPosteriors],
    ) -> list[Result]:
        """Returns each method's results at single scales, then over all scales; the mean of the methods at the end."""
        results = []
        for method, timed in by_method.items():
            results += [*by_scale.get(method, ()), self._result(models, method, timed)]
        if self._protocol.method == BOTH:
            results.append(self._result(models, BOTH, TimedPosteriors.mean(list(by_method.values()))))
        return results

    def _result(self, models: Sequence[Evaluable], method: str, timed: TimedPosteriors, side: int = 0) -> Result:
        score = Score.from_posteriors(timed.posteriors, self._manifest.labels)
        wrong = top_k_errors(timed.posteriors, self._manifest.labels).numpy() > 0
        scales = tuple((side,) if side else model.test_scales for model in models)
        nets, average = tuple(model.trained for model in models), self._protocol.average
        return Result(nets, method, scales, self._flip, average, score, wrong, timed.seconds)

    def _read_saved(self, model: SavedPosteriors) -> dict[str, TimedPosteriors]:
        return {
            method: TimedPosteriors(model.by_method[method], model.info["seconds"][method])
            for method in self._protocol.base_methods()
        }

    def _run(self, model: TestedModel, index: int) -> tuple[dict[str, list[Result]], dict[str, TimedPosteriors]]:
        by_scale, by_method = {}, {}
        for method in self._protocol.base_methods():
            parts = dict(self._run_method(model, method, index))
            if len(parts) > 1:
                by_scale[method] = [self._result([model], method, timed, side) for side, timed in parts.items()]
            by_method[method] = TimedPosteriors.mean(list(parts.values()))
            # Keras's models refer to themselves: without this, the converted copies of a fusion's nets pile up.
            gc.collect()
        return by_scale, by_method

    def _run_method(self, model: TestedModel, method: str, index: int) -> Iterator[tuple[int, TimedPosteriors]]:
        """Yields each test scale Q in pixels, and the posteriors of a method at that scale."""
        if isinstance(model, EvaluatedModel):
            passes = self._passes(model, method)
        else:
            passes = model.passes(method, self._protocol, self._batch_size)
        for one in passes:
            scales = one.side or ", ".join(map(str, model.test_scales))
            outputs = predict_split(
                self._folder / f"{index}_{one.name}.npy",
                one.predict,
                self._manifest,
                one.spec,
                title=f"{self._title}{model.trained.net} {method} Q={scales}",
                model_name=str(model.path),
                team=self._team,
            )
            yield one.side, TimedPosteriors(outputs.values(), outputs.seconds)

    def _passes(self, model: EvaluatedModel, method: str) -> Iterator[Pass]:
        """Yields a pass for each test scale of a model."""
        with self._strategy.scope():
            net = fully_convolutional.convert(model.net) if method == DENSE else model.net
        predictor = DistributedPredictor(net, self._strategy, average=self._protocol.average, flip=self._flip)
        for side in model.test_scales:
            spec = ViewSpec(method, side, model.input_size, self._batch_size)
            yield Pass(f"{method}_{side}", side, spec, predictor)

    def posteriors_to_save(
        self, model: TestedModel, by_method: Mapping[str, TimedPosteriors], path: Path
    ) -> SavedPosteriors:
        """Returns a model's posteriors together with the description that a later fusion checks.

        Args:
            model: the model.
            by_method: its posteriors, as `test` returns them.
            path: the file in which they will be saved.
        """
        info = {
            "model": model.identity(),
            "images": self._manifest.identity(),
            "flip": self._protocol.flips(),
            "average": self._protocol.average,
            "seconds": {method: timed.seconds for method, timed in by_method.items()},
        }
        arrays = {method: timed.posteriors for method, timed in by_method.items()}
        return SavedPosteriors(path, arrays, self._manifest.labels, info)
