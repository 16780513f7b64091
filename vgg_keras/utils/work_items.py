"""Describes what the rows of an array are computed from, and deals it to workers."""

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Items:
    """What the rows of an array are computed from, such as the images of a split.

    Attributes:
        title: text in front of the progress bar.
        groups: (N,) int; items with the same number are computed together, so that a row does not depend on which
            others are still missing.
        weights: (N,) float, about how much work each item is.
        wanted: (N,) bool, the items that have rows to compute.
        ends: (N,) int, the row after the last one of each item.
        stays: whether the progress bar stays on display at the end.
    """

    title: str
    groups: np.ndarray
    weights: np.ndarray
    wanted: np.ndarray
    ends: np.ndarray
    stays: bool = True

    @classmethod
    def of_rows(cls, title: str, count: int, **known: Any) -> "Items":
        """Returns items that are computed one by one, of equal work, all wanted, and with one row each.

        Args:
            title: text in front of the progress bar.
            count: number of items.
            known: attributes that are otherwise.
        """
        numbers, ones = np.arange(count), np.ones(count)
        return cls(
            **{"title": title, "groups": numbers, "weights": ones, "wanted": ones > 0, "ends": numbers + 1, **known}
        )

    @property
    def num_rows(self) -> int:
        """Number of rows of the array."""
        return int(self.ends[-1])

    def missing(self, pending: np.ndarray) -> np.ndarray:
        """Returns the items to compute: those that lack a row, and the others of their groups; (N,) bool.

        Args:
            pending: (rows,) bool, the rows that are missing.
        """
        before = np.concatenate([[0], np.cumsum(pending)])
        lacking = self.wanted & (before[self.ends] > before[np.concatenate([[0], self.ends[:-1]])])
        return self.wanted & np.isin(self.groups, self.groups[lacking])

    def dealt(self, missing: np.ndarray, count: int) -> list[np.ndarray]:
        """Deals the missing items, by whole groups, to a number of workers with about the same work for each.

        Args:
            missing: (N,) bool.
            count: number of workers.

        Returns:
            For each worker (N,) bool.
        """
        names, group = np.unique(self.groups, return_inverse=True)
        work = np.bincount(group, weights=self.weights * missing, minlength=len(names))
        owner = np.empty(len(names), np.int64)
        owner[np.argsort(-work, kind="stable")] = np.arange(len(names)) % count  # the largest first, in turn
        return [missing & (owner[group] == worker) for worker in range(count)]
