"""Draws the curves of a run: loss and error of training and validation, epoch by epoch."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vgg_keras.models.run_record import CURVES, best_entry, read_history
from vgg_keras.training.schedules import DROP_FACTOR
from vgg_keras.utils.escaping import figure_text
from vgg_keras.utils.files import write_atomically

# The panels: key of the history, label of the axis, format of a value.
_PANELS = (("loss", "loss", "{:.4f}"), ("top1_error", "error, %", "{:.2f}%"))
_SPLIT_COLOURS = {"training": "tab:blue", "validation": "tab:orange"}


def write(folder: Path, title: str) -> None:
    """Draws the history in a run's folder to `curves.png`, complete or not at all; without a history it does nothing.

    Args:
        folder: the run's folder.
        title: text above the curves.
    """
    history = read_history(folder)
    if history:
        figure = draw(history, title)
        write_atomically(folder / CURVES, lambda temporary: figure.savefig(temporary, dpi=100))


def draw(history: Sequence[dict], title: str) -> Figure:
    """Draws loss and error of training and validation in two panels, with the best epoch and the rate's drops.

    Args:
        history: entries of a run's history, at least one.
        title: text above the panels.
    """
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    figure.suptitle(figure_text(title))
    epochs = epoch_positions(history)
    best = best_entry(history)
    best_epoch = epochs[list(history).index(best)]
    for axes, (key, label, value_format) in zip(figure.subplots(1, len(_PANELS)), _PANELS, strict=True):
        curves = {split: [entry[f"{split}_{key}"] for entry in history] for split in _SPLIT_COLOURS}
        for split, values in curves.items():
            axes.plot(epochs, values, color=_SPLIT_COLOURS[split], marker=".", label=split)
        value = best[f"validation_{key}"]
        text = f"best model (epoch {best['epoch']}): {value_format.format(value)}"
        axes.plot(best_epoch, value, "*", color="tab:red", markersize=13, label=text)
        _mark_drops(axes, history, epochs)
        # The validation loss of a run that diverges may be infinite before the training loss is.
        highest = max(filter(math.isfinite, itertools.chain(*curves.values())), default=0.0)
        axes.set(xlabel="epoch", ylabel=label, xlim=(0, None), ylim=(0, 1.1 * highest or 1))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def draw_several(runs: Sequence[tuple[str, Sequence[dict]]]) -> Figure:
    """Draws the validation loss and error of several runs over their epochs, in two panels.

    Args:
        runs: pairs of a run's name and the entries of its history, which may be none.
    """
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    for axes, (key, label, _) in zip(figure.subplots(1, len(_PANELS)), _PANELS, strict=True):
        for name, history in runs:
            values = [entry[f"validation_{key}"] for entry in history]
            axes.plot(epoch_positions(history) if history else [], values, marker=".", label=figure_text(name))
        axes.set(xlabel="epoch", ylabel=f"validation {label}", xlim=(0, None), ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def epoch_positions(history: Sequence[dict]) -> list[float]:
    """Returns how many epochs each entry of a history had seen; of an unfinished epoch it counts the part.

    A run that ended in its first epoch has no whole one to count in, and its entry stands at 1.
    """
    whole = next((entry for entry in history if entry["complete"]), history[-1])
    steps_per_epoch = whole["step"] / whole["epoch"]
    return [entry["step"] / steps_per_epoch for entry in history]


def rate_drops(history: Sequence[dict]) -> list[int]:
    """Returns the indices of the entries after which the plateau rule dropped the learning rate."""
    rates = [entry["learning_rate"] for entry in history]
    return [
        index
        for index, (rate, following) in enumerate(itertools.pairwise(rates))
        if math.isclose(following * DROP_FACTOR, rate)
    ]


def _mark_drops(axes: Axes, history: Sequence[dict], epochs: Sequence[float]) -> None:
    """Draws a line where the learning rate dropped, with the new rate beside it."""
    for index in rate_drops(history):
        axes.axvline(epochs[index], color="grey", linestyle="--", linewidth=1)
        axes.annotate(
            f"rate {history[index + 1]['learning_rate']:g}",
            (epochs[index], 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(2, -2),
            textcoords="offset points",
            rotation=90,
            verticalalignment="top",
            color="grey",
            fontsize=8,
        )
