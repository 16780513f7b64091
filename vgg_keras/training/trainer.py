"""The loop: epochs of steps, validation, the plateau rule, history, checkpoints, the best model."""

import dataclasses
import math
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf
import tqdm

from vgg_keras.training.checkpoints import Checkpoints, Progress, save_model
from vgg_keras.training.run_dir import BEST_MODEL, CHECKPOINTS, History
from vgg_keras.training.schedules import LearningRate, Plateau
from vgg_keras.training.train_step import Steps
from vgg_keras.utils.cli import UserError, progress_bar
from vgg_keras.utils.metrics import Score


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How long a run goes on and how often it reports.

    Attributes:
        epochs: the last epoch.
        max_steps: stop after so many steps in all; 0 for no such limit.
        steps_per_epoch: steps of an epoch.
        learning_rate: of each step.
        patience: of the plateau rule, in epochs.
        early_stop: stop after so many epochs without a better model; 0: never.
        checkpoint_every: steps between checkpoints inside an epoch.
        log_every: steps between looks at the loss.
        keep_checkpoints: how many checkpoints to keep.
    """

    epochs: int
    max_steps: int
    steps_per_epoch: int
    learning_rate: LearningRate
    patience: int
    early_stop: int = 0
    checkpoint_every: int = 1000
    log_every: int = 20
    keep_checkpoints: int = 3


class Trainer:
    """Trains one model in one folder, and goes on from the newest checkpoint there.

    Args:
        steps: the compiled steps.
        schedule: how long.
        folder: the run's folder.
        training: `training(epoch, first_step)` opens the batches of an epoch from a step on.
        validation: `validation()` opens the batches of the validation split.
        chief: whether this process writes files and speaks.
    """

    def __init__(
        self,
        steps: Steps,
        schedule: Schedule,
        folder: Path,
        training: Callable[[int, int], Iterable],
        validation: Callable[[], Iterable],
        *,
        chief: bool = True,
    ):
        self._steps, self._schedule, self._folder = steps, schedule, folder
        self._training, self._validation, self._chief = training, validation, chief
        self._checkpoints = Checkpoints(
            folder / CHECKPOINTS,
            steps.model,
            steps.optimizers.members,
            Progress(Plateau(schedule.patience)),
            keep=schedule.keep_checkpoints,
            chief=chief,
        )
        self._history = History(folder) if chief else None
        self._progress = self._checkpoints.restore()
        if chief:
            self._history.keep_first(self._progress.history_lines)

    def fit(self) -> Progress:
        """Trains to the end of the schedule; returns where it ended.

        Raises:
            UserError: the loss is not a number.
        """
        if self._progress.global_step:
            where = f"epoch {self._progress.epoch + 1}, step {self._progress.global_step}"
            self._say("nothing left to do: the run has ended" if self.finished else f"continuing at {where}")
        while not self.finished:
            started, first_step = time.monotonic(), self._progress.step
            self._run_epoch()
            trained = time.monotonic()
            validation = self._steps.evaluate(self._validation())
            num_images = (self._progress.step - first_step) * self._steps.batch_size
            self._end_epoch(validation, trained - started, num_images)
        return self._progress

    @property
    def finished(self) -> bool:
        """Whether the schedule has come to its end."""
        progress, schedule = self._progress, self._schedule
        out_of_steps = 0 < schedule.max_steps <= progress.global_step
        return out_of_steps or progress.epoch >= schedule.epochs or progress.plateau.finished or self._stopped_early()

    def _stopped_early(self) -> bool:
        return 0 < self._schedule.early_stop <= self._progress.epochs_since_best

    def _rate(self, step: int) -> float:
        return self._schedule.learning_rate.at(step, self._progress.plateau)

    def _run_epoch(self) -> None:
        """Does the steps that are left of the epoch (or of the whole run)."""
        schedule = self._schedule
        batches = iter(self._training(self._progress.epoch, self._progress.step))
        last = schedule.steps_per_epoch
        if schedule.max_steps:
            last = min(last, self._progress.step + schedule.max_steps - self._progress.global_step)
        rate = None
        with self._bar(last) as bar:
            # The sums stay on the device until somebody looks, so that steps can queue up.
            waiting = []
            for _ in range(self._progress.step, last):
                before, rate = rate, self._rate(self._progress.global_step)
                if rate != before:
                    self._steps.optimizers.set_rate(rate)
                waiting.append(self._steps.train(next(batches), self._progress.global_step))
                self._advance(1)
                save = self._progress.step % schedule.checkpoint_every == 0 and self._progress.step < last
                if save or self._progress.step % schedule.log_every == 0 or self._progress.step == last:
                    self._look(waiting, bar)
                if save:
                    self._checkpoints.save(self._progress)

    def _advance(self, steps: int) -> None:
        progress = self._progress
        self._progress = dataclasses.replace(
            progress, step=progress.step + steps, global_step=progress.global_step + steps
        )

    def _look(self, waiting: list[tf.Tensor], bar: tqdm.tqdm) -> None:
        """Adds the waiting steps' sums to the epoch's, shows them, and stops at a loss that is not a number."""
        before = sums = np.array(self._progress.sums)
        for step_sums in waiting:
            sums = sums + step_sums.numpy()
        if not math.isfinite(sums[0]):
            raise UserError(
                f"the loss is not a number any more at step {self._progress.global_step}: lower --learning_rate, "
                "or start from other weights (--initializer, --init_from); "
                f"the last good checkpoint, if there is one, is in {self._folder / 'checkpoints'}"
            )
        if self._chief:
            loss, _, _, images = sums - before
            self._history.add_step_loss(self._progress.global_step, loss / images)
        bar.update(len(waiting))
        waiting.clear()
        self._progress = dataclasses.replace(self._progress, sums=tuple(sums.tolist()))
        bar.set_postfix_str(f"loss {sums[0] / sums[3]:.4f}, top-1 error {100 * sums[1] / sums[3]:.1f}%")

    def _bar(self, total: int) -> tqdm.tqdm:
        return progress_bar(
            f"epoch {self._progress.epoch + 1}",
            total,
            " steps",
            initial=self._progress.step,
            leave=False,
            disable=not self._chief,
        )

    def _end_epoch(self, validation: Score, seconds: float, num_images: int) -> None:
        """Reports, keeps the best model, applies the plateau rule, saves a checkpoint."""
        progress = self._progress
        complete = progress.step == self._schedule.steps_per_epoch
        if self._chief:
            self._report(Score.from_sums(progress.sums), validation, seconds, num_images, complete)
        better = (validation.top1_error, validation.loss) < (progress.best_error, progress.best_loss)
        if better and self._chief:
            save_model(self._steps.model, self._folder / BEST_MODEL)
        if better:
            progress = dataclasses.replace(
                progress, best_error=validation.top1_error, best_loss=validation.loss, epochs_since_best=0
            )
        if complete:
            progress = dataclasses.replace(
                progress,
                epoch=progress.epoch + 1,
                step=0,
                sums=(0.0,) * 4,
                plateau=self._updated(progress.plateau, validation.top1_error),
                epochs_since_best=0 if better else progress.epochs_since_best + 1,
                # An unfinished epoch's line is not final: a run that goes on writes a whole one.
                history_lines=progress.history_lines + 1,
            )
        before, self._progress = self._progress, progress
        self._checkpoints.save(progress)
        self._say_what_changed(before)

    def _updated(self, plateau: Plateau, error: float) -> Plateau:
        """Returns the plateau rule's state after an epoch, if it decides anything."""
        return plateau if self._schedule.learning_rate.cosine_steps else plateau.update(error)

    def _say_what_changed(self, before: Progress) -> None:
        after = self._progress
        if after.plateau.finished:
            self._say("the validation error has stopped improving at the last learning rate: finished")
        elif after.plateau.drops > before.plateau.drops:
            initial = self._schedule.learning_rate.initial
            rates = " -> ".join(f"{initial * plateau.factor():g}" for plateau in (before.plateau, after.plateau))
            self._say(f"the validation error has stopped improving: learning rate {rates}")
        elif self._stopped_early():
            self._say(f"no better model in {after.epochs_since_best} epochs: finished")

    def _report(self, training: Score, validation: Score, seconds: float, num_images: int, complete: bool) -> None:
        progress = self._progress
        rate = self._rate(max(progress.global_step - 1, 0))  # the last step's
        entry = {
            "epoch": progress.epoch + 1,
            "complete": complete,
            "step": progress.global_step,
            "learning_rate": rate,
            "seconds": seconds,
            "images_per_second": num_images / seconds,
        }
        for split, score in (("training", training), ("validation", validation)):
            entry |= {f"{split}_{key}": value for key, value in dataclasses.asdict(score).items()}
        entry |= {f"validation_{name}": value for name, value in self._steps.metrics.results().items()}
        self._history.append(entry)
        self._say(
            f"epoch {entry['epoch']}{'' if complete else ' (unfinished)'}, step {progress.global_step}, "
            f"learning rate {rate:g}, {entry['images_per_second']:.1f} images/s\n"
            f"  training:   {training.num_images:,} photos, {training}\n"
            f"  validation: {validation.num_images:,} photos, {validation}"
        )

    def _say(self, text: str) -> None:
        if self._chief:
            tqdm.tqdm.write(text, file=sys.stdout)
