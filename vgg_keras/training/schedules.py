"""The learning rate of each step: the rule of arXiv:1409.1556, sect. 3.1, or half a cosine; either after a warm-up."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Plateau:
    """Divides the rate by 10 whenever the validation error stops improving, three times, and then stops the run.

    Attributes:
        patience: epochs without a new best error before the rate drops.
        max_drops: how often it drops; the next plateau ends the run.
        best_error: lowest validation error so far, in percent.
        bad_epochs: epochs since then, or since the last drop.
        drops: how often the rate has dropped.
        finished: whether the run has ended.
    """

    patience: int
    max_drops: int = 3
    best_error: float = math.inf
    bad_epochs: int = 0
    drops: int = 0
    finished: bool = False

    def update(self, error: float) -> "Plateau":
        """Returns the rule's state after an epoch that ended with this validation error, in percent."""
        if error < self.best_error:
            return dataclasses.replace(self, best_error=error, bad_epochs=0)
        if self.bad_epochs + 1 < self.patience:
            return dataclasses.replace(self, bad_epochs=self.bad_epochs + 1)
        if self.drops < self.max_drops:
            return dataclasses.replace(self, bad_epochs=0, drops=self.drops + 1)
        return dataclasses.replace(self, bad_epochs=self.bad_epochs + 1, finished=True)

    def factor(self) -> float:
        """Returns what the initial rate is multiplied by in the next epoch."""
        return 1 / 10**self.drops


@dataclasses.dataclass(frozen=True)
class LearningRate:
    """The rate as a function of the step.

    Attributes:
        initial: the rate after the warm-up.
        warm_up_steps: steps in which it grows linearly up to there (arXiv:1706.02677, sect. 2.2); 0 for none.
        cosine_steps: the step at which half a cosine reaches 0 (arXiv:1608.03983, without restarts); 0: the plateau
            rule decides instead.
    """

    initial: float
    warm_up_steps: int = 0
    cosine_steps: int = 0

    def at(self, step: int, plateau: Plateau) -> float:
        """Returns the rate of a step, counted from 0 over the whole run."""
        if step < self.warm_up_steps:
            return self.initial * (step + 1) / self.warm_up_steps
        if not self.cosine_steps:
            return self.initial * plateau.factor()
        done = (step - self.warm_up_steps) / max(self.cosine_steps - self.warm_up_steps, 1)
        return self.initial * (1 + math.cos(math.pi * min(done, 1.0))) / 2
