"""Draws reliability diagrams, before and after temperature scaling (arXiv:1706.04599, fig. 1)."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure


def draw(shown: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draws the accuracy of each bin of confidences, and the share of the images in it.

    Args:
        shown: what was measured, by the title of its diagram, as `calibration.measured` returns it.
    """
    figure = Figure(figsize=(3.6 * len(shown), 4.4), layout="constrained")
    grid = figure.subplots(2, len(shown), squeeze=False, sharex=True, height_ratios=(3, 1))
    for (diagram, shares), (title, measured) in zip(grid.T, shown.items(), strict=True):
        _draw_one(diagram, shares, measured["bins"])
        diagram.set_title(title, fontsize=10)
    grid[0, 0].set_ylabel("accuracy")
    grid[1, 0].set_ylabel("% of images")
    return figure


def _draw_one(diagram: Axes, shares: Axes, bins: list[Mapping[str, Any]]) -> None:
    width, total = 1 / len(bins), sum(one["images"] for one in bins)
    starts = [index * width for index in range(len(bins))]
    bars: Any = {"width": width, "align": "edge", "color": "tab:blue", "edgecolor": "white", "linewidth": 0.5}
    diagram.bar(starts, [one["accuracy"] or 0 for one in bins], **bars)
    diagram.plot([0, 1], [0, 1], linestyle="--", color="tab:red")
    diagram.set(xlim=(0, 1), ylim=(0, 1))
    shares.bar(starts, [100 * one["images"] / total for one in bins], **bars)
    shares.set(xlim=(0, 1), ylim=(0, 100), xlabel="posterior of the predicted class")
