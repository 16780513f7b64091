"""Trains a model epoch by epoch, with validation, the plateau rule, history, checkpoints and the best model."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from vgg_keras.models.metadata import ModelMetadata
from vgg_keras.models.saving import write_model
from vgg_keras.training import messages
from vgg_keras.training.checkpoints import Checkpoints
from vgg_keras.training.inputs import Batches
from vgg_keras.training.progress import Progress
from vgg_keras.training.run_log import RunLog
from vgg_keras.training.schedules import Plateau, Schedule
from vgg_keras.training.train_step import TrainStep
from vgg_keras.utils import console, stopping
from vgg_keras.utils.console import progress_bar
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.metrics import Score
from vgg_keras.utils.words import counted

# Number of augmented images that are kept as a picture at the start of a run.
_SHOWN_IMAGES = 16


class _StopAsked(Exception):
    """Leaves an epoch in which the process was asked to stop."""


class Trainer:
    """Trains one model in one run folder, and resumes from a checkpoint in it; writes nothing before `fit`.

    Args:
        train_step: the compiled steps.
        schedule: the length of the run.
        folder: the run's folder.
        start: result of `resuming.choose`.
        batches: the batches of training and validation.
        metadata: what the best model's file tells about it.
        chief: whether this process is the chief, which writes files and reports.
        agree: function from a name and this worker's value to the chief's value, on which the workers of a cluster wait
            for each other.
    """

    def __init__(
        self,
        train_step: TrainStep,
        schedule: Schedule,
        folder: Path,
        start: str,
        batches: Batches,
        *,
        metadata: ModelMetadata | None = None,
        chief: bool = True,
        agree: Callable[[str, str], str] = lambda name, value: value,
    ):
        self._agree = agree
        self._train_step, self._schedule, self._folder = train_step, schedule, folder
        self._batches, self._metadata, self._chief = batches, metadata, chief
        self._report: Callable[[str], None] = console.say if chief else lambda message: None
        self._checkpoints = Checkpoints(
            folder,
            train_step.model,
            train_step.optimizers.members,
            Progress(Plateau(schedule.patience)),
            keep=schedule.keep_checkpoints,
            chief=chief,
        )
        self._progress = self._checkpoints.restore(start)
        self._log: RunLog | None = None
        self._stop_request = stopping.StopRequest()
        self._stops = False

    def fit(self) -> Progress:
        """Trains to the end of the schedule; returns the progress at the end.

        The folder of a run that has gone beyond its schedule is left as it is.

        A process that is asked to stop meanwhile saves a checkpoint first.

        Raises:
            UserError: the loss became NaN or infinite.
        """
        if not self.gone_beyond:
            self._checkpoints.mend()
        if self.finished:
            self._report(messages.nothing_left(self._progress, self._schedule))
            return self._progress
        if self._progress.global_step:
            self._report(f"continuing at epoch {self._progress.epoch + 1}, step {self._progress.global_step}")
        else:
            # From here on the run has begun, and without a checkpoint it would not be resumed.
            with self._checkpoints.writer:
                self._checkpoints.save(self._progress)
        if self._chief:
            self._log = RunLog(self._folder, self._train_step.model, self._progress)
        with stopping.advising(self._how_to_continue), self._checkpoints.writer:
            self._fit_until_stopped()
            if self._stops:
                raise stopping.Stopped(0)
        return self._progress

    def _how_to_continue(self) -> str:
        return messages.how_to_continue(self.global_step, self._checkpoints.saved_step)

    def _fit_until_stopped(self) -> None:
        notice = "a checkpoint is saved after this step; once more ends the run without it"
        with stopping.held_back(notice) as self._stop_request:
            while not self.finished and not self._stops:
                self._fit_epoch()
            self._checkpoints.writer.wait()
            if self._stops:
                if self._chief:
                    console.conclude(messages.stopped(self._stop_request.signal_name, self._progress))
                # The chief may need longer for its checkpoint than the others, who must not leave it before.
                self._agree("stopped", "")

    def _fit_epoch(self) -> None:
        """Trains to the end of the epoch and validates; saves a checkpoint where the process is asked to stop."""
        started, first_step = time.monotonic(), self._progress.step
        try:
            self._run_epoch()
            trained = time.monotonic()
            validation = self._train_step.evaluate(self._until_stopped(self._batches.validation()))
        except _StopAsked:
            self._stops = True
            self._save()
            return
        num_images = (self._progress.step - first_step) * self._train_step.batch_size
        self._end_epoch(validation, trained - started, num_images)

    def _until_stopped(self, batches: Iterable) -> Iterator:
        """Yields batches; raises `_StopAsked` when the process is asked to stop.

        In a cluster the workers learn from the sums of a step that one of them was asked (`_update_loss`), so that all
        stop at the same step.
        """
        for batch in batches:
            if self._stop_request.made and not self._train_step.in_cluster:
                raise _StopAsked
            yield batch

    @property
    def global_step(self) -> int:
        """Number of steps done in the whole run."""
        return self._progress.global_step

    @property
    def gone_beyond(self) -> bool:
        """Whether the run had more steps than its schedule has, since an earlier command asked for them."""
        return bool(messages.gone_beyond(self._progress, self._schedule))

    @property
    def finished(self) -> bool:
        """Whether the schedule has come to its end, with a best model, or the run went beyond it before."""
        progress, schedule = self._progress, self._schedule
        stopped_early = schedule.stops_early(progress.epochs_since_best)
        # A run that was stopped after its last step is validated when it is resumed.
        out_of_steps = 0 < schedule.max_steps <= progress.global_step and math.isfinite(progress.best_error)
        ended = out_of_steps or progress.epoch >= schedule.epochs or progress.plateau.finished or stopped_early
        return ended or self.gone_beyond

    def _rate(self, step: int) -> float:
        return self._schedule.learning_rate.at(step, self._progress.plateau)

    def _run_epoch(self) -> None:
        """Does the steps that are left of the epoch (or of the whole run)."""
        schedule = self._schedule
        last = schedule.steps_per_epoch
        if schedule.max_steps:
            last = min(last, self._progress.step + schedule.max_steps - self._progress.global_step)
        rate = math.nan  # differs from every rate, so that the first one is set
        batches = self._until_stopped(self._batches.training(self._progress.epoch, self._progress.step))
        # The sums stay on the device until they are displayed, so that steps can queue up.
        pending_sums: list[tf.Tensor] = []
        with self._bar(last) as bar:
            try:
                for _ in range(self._progress.step, last):
                    batch = next(batches)
                    before, rate = rate, self._rate(self._progress.global_step)
                    if rate != before:
                        self._train_step.optimizers.set_rate(rate)
                    asked = self._stop_request.made
                    pending_sums.append(self._train_step.train(batch, self._progress.global_step, asked))
                    self._progress = self._progress.after_steps(1)
                    self._keep_first_images(batch)
                    save = self._progress.step % schedule.checkpoint_every == 0 and self._progress.step < last
                    if save or self._progress.step % schedule.log_every == 0 or self._progress.step == last:
                        self._update_loss(pending_sums, bar)
                    if save:
                        self._save()
            except _StopAsked:
                if pending_sums:
                    self._update_loss(pending_sums, bar)
                raise

    def _save(self) -> None:
        if self._log:
            self._log.flush()
        self._checkpoints.save(self._progress)

    def _keep_first_images(self, batch) -> None:
        """Keeps a picture of augmented images of the run's first step; a feature cache has none."""
        if self._log and self._progress.global_step == 1 and self._train_step.takes_images:
            images = self._train_step.gather(self._train_step.shown(batch)["image"])
            self._log.add_training_images(1, images[:_SHOWN_IMAGES])

    def _update_loss(self, pending_sums: list[tf.Tensor], bar: tqdm.tqdm) -> None:
        """Adds the pending steps' sums to the epoch's, displays them, and stops the run if the loss is not finite.

        Raises:
            _StopAsked: a worker of the cluster was asked to stop.
            Exception: that of the thread that writes checkpoints.
        """
        self._checkpoints.writer.check()
        before = sums = np.array(self._progress.sums)
        asked = False
        for found in tf.stack(pending_sums).numpy():  # one transfer from the device
            sums, asked = sums + found[: len(sums)], asked or found[len(sums) :].any()
        if not math.isfinite(sums[0]):
            raise messages.diverged(self._progress, self._folder)
        if self._log:
            loss, _, _, images = sums - before
            if images:  # of photos without a box nothing is learned
                self._log.add_step_loss(self._progress.global_step, loss / images)
        bar.update(len(pending_sums))
        pending_sums.clear()
        self._progress = dataclasses.replace(self._progress, sums=tuple(sums.tolist()))
        if sums[3]:
            bar.set_postfix_str(
                f"loss {sums[0] / sums[3]:.4f}, {self._train_step.objective.error_name} {100 * sums[1] / sums[3]:.1f}%"
            )
        if asked:
            raise _StopAsked

    def _bar(self, total: int) -> tqdm.tqdm:
        return progress_bar(
            f"epoch {self._progress.epoch + 1} of {self._schedule.epochs}",
            total,
            " steps",
            initial=self._progress.step,
            leave=False,
            disable=not self._chief,
        )

    def _end_epoch(self, validation: Score, seconds: float, num_images: int) -> None:
        """Reports, keeps the best model, applies the plateau rule, saves a checkpoint."""
        if not math.isfinite(validation.loss):
            raise messages.diverged(self._progress, self._folder)
        progress = self._progress
        complete = progress.step == self._schedule.steps_per_epoch
        better = progress.is_better(validation)
        best_weights = self._train_step.model.get_weights() if better else []
        # The loss alone does not tell: a ReLU may take NaN for 0.
        if not all(np.isfinite(array).all() for array in best_weights):
            raise messages.diverged(self._progress, self._folder)
        if not progress.sums[3]:  # an epoch that --max_steps cuts short
            raise UserError(
                f"no photo of the {counted(progress.step, 'step')} of this epoch has a box to learn from; give more "
                "steps (--max_steps) or a larger --batch_size"
            )
        training = Score.from_sums(progress.sums)
        entry = self._describe_epoch(training, validation, seconds, num_images, complete)
        if self._log:
            self._log.add_epoch(entry, better)
            scores = {"training": training, "validation": validation}
            self._report(messages.epoch(entry, self._schedule, scores, self._train_step.objective))
        write_best = None
        if better and self._chief:
            best = self._train_step.best_model(best_weights)
            write_best = functools.partial(write_model, best, metadata=self._metadata)
        progress = progress.after_validation(validation)
        if complete:  # an unfinished epoch's entry is not final: a run that is resumed writes a whole one
            progress = progress.after_epoch(entry, self._updated_plateau(progress.plateau, validation.top1_error))
        before, self._progress = self._progress, progress
        self._checkpoints.save(progress, write_best)
        if text := messages.change(before, progress, self._schedule):
            self._report(text)

    def _updated_plateau(self, plateau: Plateau, error: float) -> Plateau:
        """Returns the plateau rule's state after an epoch; a cosine schedule does not use the rule."""
        return plateau if self._schedule.learning_rate.cosine_steps else plateau.update(error)

    def _describe_epoch(
        self, training: Score, validation: Score, seconds: float, num_images: int, complete: bool
    ) -> dict[str, Any]:
        """Returns the epoch's entry in the history."""
        progress = self._progress
        entry: dict[str, Any] = {
            "epoch": progress.epoch + 1,
            "complete": complete,
            "step": progress.global_step,
            "learning_rate": self._rate(max(progress.global_step - 1, 0)),  # the last step's
            "seconds": seconds,
            "images_per_second": num_images / seconds,
        }
        for split, score in (("training", training), ("validation", validation)):
            entry |= {f"{split}_{key}": value for key, value in self._train_step.objective.figures(score).items()}
        entry |= {f"validation_{name}": value for name, value in self._train_step.metrics.results().items()}
        return entry
