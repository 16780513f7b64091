"""The learning rate rule of arXiv:1409.1556, sect. 3.1."""

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

    def rate(self, initial_rate: float) -> float:
        """Returns the learning rate for the next epoch."""
        return initial_rate / 10**self.drops
