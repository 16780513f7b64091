"""Computes the learning rate of each step: a warm-up, then the rule of arXiv:1409.1556, sect. 3.1, or half a cosine.

Also describes the length of a run.
"""

import dataclasses
import math

# The plateau rule divides the learning rate by this number.
DROP_FACTOR = 10


@dataclasses.dataclass(frozen=True)
class Plateau:
    """The plateau rule: it divides the learning rate by 10 whenever the validation error stops improving.

    Attributes:
        patience: number of epochs without a new best error after which the rate drops.
        max_drops: number of drops; the next plateau ends the run.
        best_error: lowest validation error so far, in percent.
        bad_epochs: number of epochs since the best error or the last drop.
        drops: number of drops so far.
        finished: whether the rule has ended the run.
    """

    patience: int
    max_drops: int = 3
    best_error: float = math.inf
    bad_epochs: int = 0
    drops: int = 0
    finished: bool = False

    def update(self, error: float) -> "Plateau":
        """Returns the rule's state after an epoch with a validation error in percent."""
        if error < self.best_error:
            return dataclasses.replace(self, best_error=error, bad_epochs=0)
        if self.bad_epochs + 1 < self.patience:
            return dataclasses.replace(self, bad_epochs=self.bad_epochs + 1)
        if self.drops < self.max_drops:
            return dataclasses.replace(self, bad_epochs=0, drops=self.drops + 1)
        return dataclasses.replace(self, bad_epochs=self.bad_epochs + 1, finished=True)

    def factor(self) -> float:
        """Returns the factor of the initial learning rate in the next epoch: 1, 0.1, 0.01, ..."""
        return 1 / DROP_FACTOR**self.drops


@dataclasses.dataclass(frozen=True)
class LearningRate:
    """The learning rate as a function of the step.

    Attributes:
        initial: learning rate after the warm-up.
        warm_up_steps: number of steps in which the rate grows linearly to `initial` (arXiv:1706.02677, sect. 2.2); 0:
            no warm-up.
        cosine_steps: step at which half a cosine reaches 0 (arXiv:1608.03983, without restarts); 0: the plateau rule
            applies instead.
    """

    initial: float
    warm_up_steps: int = 0
    cosine_steps: int = 0

    def at(self, step: int, plateau: Plateau) -> float:
        """Returns the learning rate of a step.

        Args:
            step: index of the step in the whole run, from 0.
            plateau: state of the plateau rule, which a cosine schedule does not use.
        """
        if step < self.warm_up_steps:
            return self.initial * (step + 1) / self.warm_up_steps
        if not self.cosine_steps:
            return self.initial * plateau.factor()
        done = (step - self.warm_up_steps) / max(self.cosine_steps - self.warm_up_steps, 1)
        return self.initial * (1 + math.cos(math.pi * min(done, 1.0))) / 2


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The length of a run, and how often it saves and reports.

    Attributes:
        epochs: number of epochs.
        max_steps: number of steps after which the run stops; 0 for no such limit.
        steps_per_epoch: number of steps of an epoch.
        learning_rate: learning rate of each step.
        patience: patience of the plateau rule in epochs.
        early_stop: number of epochs without a better model after which the run stops; 0: never.
        checkpoint_every: number of steps between checkpoints inside an epoch.
        log_every: number of steps between updates of the displayed loss.
        keep_checkpoints: number of checkpoints to keep.
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

    def stops_early(self, epochs_since_best: int) -> bool:
        """Returns whether a run ends that has had no better model in a number of epochs."""
        return 0 < self.early_stop <= epochs_since_best
