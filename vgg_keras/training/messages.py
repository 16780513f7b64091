"""Words what a run tells its user: epochs, changes of the learning rate, why it ends, and what helps a net to learn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vgg_keras.models.run_record import CHECKPOINTS
from vgg_keras.training.objectives import Objective
from vgg_keras.training.progress import Progress
from vgg_keras.training.schedules import Schedule
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.metrics import Score
from vgg_keras.utils.words import counted, rate

# A net that gives every image the same posteriors has at least about this part of the loss of equal ones, unless some
# class is much larger than the others.
_GUESSING = 0.985
# After its first epoch many a net has only begun to move, and later ones would repeat the message.
_JUDGED_EPOCH = 2
# What helps a net whose loss explodes, or stays at that of guessing; each was seen to.
_WAYS_OUT = (
    "clip the gradients (--optimizer_args='{\"global_clipnorm\": 1}'), take Adam at a small rate (--optimizer=adam "
    "--learning_rate=1e-4), or lower --learning_rate"
)


def is_guessing(loss: float, objective: Objective) -> bool:
    """Returns whether a mean loss is about that of guessing, or more."""
    return loss > _GUESSING * objective.guessing_loss()


def diverged(progress: Progress, run: Path) -> UserError:
    """Returns the error about a loss that is no longer a number."""
    return UserError(
        f"the loss became NaN or infinite at step {progress.global_step}: {_WAYS_OUT}; "
        f"the last good checkpoint, if there is one, is in {run / CHECKPOINTS}"
    )


def epoch(entry: Mapping[str, Any], schedule: Schedule, scores: Mapping[str, Score], objective: Objective) -> str:
    """Returns the lines about an epoch; after the second one also what helps if the net has not begun to learn.

    Args:
        entry: the epoch's entry in the history.
        schedule: the length of the run.
        scores: scores of "training" and "validation".
        objective: what the net learns.
    """
    # An epoch that is resumed after its last step has none.
    speed = f", {rate(entry['images_per_second'])} images/s" if entry["images_per_second"] else ""
    unfinished = "" if entry["complete"] else " (unfinished)"
    lines = [
        f"epoch {entry['epoch']} of {schedule.epochs}{unfinished}, step {entry['step']}, "
        f"learning rate {entry['learning_rate']:.3g}{speed}"
    ]
    for split, score in scores.items():
        lines.append(f"  {split + ':':11} {counted(score.num_images, 'photo')}, {objective.text(score)}")
    # The loss of validation alone is also high where a net overfits, and that of training where the dropout is strong.
    loss = min(score.loss for score in scores.values())
    if entry["complete"] and entry["epoch"] == _JUDGED_EPOCH and is_guessing(loss, objective):
        lines.append(
            f"the net has not begun to learn: a loss of {loss:.3f} is no better than that of guessing, "
            f"{objective.guessing_loss():.3f}. If it stays there, start anew: {_WAYS_OUT}"
        )
    return "\n".join(lines)


def change(before: Progress, after: Progress, schedule: Schedule) -> str:
    """Returns the line about a drop of the learning rate or the end of the run after an epoch; "" for neither."""
    if after.plateau.finished:
        return "the validation error has stopped improving at the last learning rate: finished"
    if after.plateau.drops > before.plateau.drops:
        initial = schedule.learning_rate.initial
        rates = " -> ".join(f"{initial * plateau.factor():g}" for plateau in (before.plateau, after.plateau))
        return f"the validation error has stopped improving: learning rate {rates}"
    if schedule.stops_early(after.epochs_since_best):
        return f"no better model in {counted(after.epochs_since_best, 'epoch')}: finished"
    return ""


def gone_beyond(progress: Progress, schedule: Schedule) -> str:
    """Returns the limit beyond which an earlier command has let a run go, such as "--max_steps=10"; "" for none."""
    if 0 < schedule.max_steps < progress.global_step:
        return f"--max_steps={schedule.max_steps}"
    last = schedule.epochs * schedule.steps_per_epoch
    return f"--epochs={schedule.epochs} (step {last})" if last < progress.global_step else ""


def nothing_left(progress: Progress, schedule: Schedule) -> str:
    """Returns the line about a run that is resumed and has no step left to do."""
    if limit := gone_beyond(progress, schedule):
        return (
            f"nothing left to do: the run has reached step {progress.global_step}, beyond {limit}; its checkpoints, "
            "cache and exports are left as they are. Raise that limit to train on"
        )
    return "nothing left to do: the run has ended"


def how_to_continue(reached: int, saved: int) -> str:
    """Returns what is left of a run that was stopped, and what to do.

    Args:
        reached: number of steps that were done.
        saved: number of steps that the newest checkpoint holds.
    """
    if reached == saved:
        return "the same command with --resume continues the run"
    way_out = f"continues after step {saved}" if saved else "begins anew"
    return f"no checkpoint holds more than {saved} of the {reached} steps: the same command with --resume {way_out}"


def stopped(signal_name: str, progress: Progress) -> str:
    """Returns the line about a run that was asked to stop.

    Args:
        signal_name: name of the signal that came to this process; "" if it came to another worker.
        progress: progress of the run.
    """
    return (
        f"{signal_name or 'another worker'} stops the run at epoch {progress.epoch + 1}, step {progress.global_step}: "
        "a checkpoint is saved"
    )
