"""Reads what a run's files tell about it, for its page."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vgg_keras.models import run_record
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils.display import duration_text, errors_text
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.words import counted


@dataclasses.dataclass(frozen=True)
class ShownRun:
    """A run as its files describe it.

    Attributes:
        folder: the run's folder.
        record: content of run.json.
        history: an entry for each epoch.
        options: the run's settings.
    """

    folder: Path
    record: Mapping[str, Any]
    history: Sequence[dict[str, Any]]
    options: TrainConfig

    @classmethod
    def read(cls, folder: Path) -> "ShownRun":
        """Reads a run's record and history.

        Args:
            folder: the run's folder, which may have moved since the run was trained.

        Raises:
            UserError: the folder is not that of a run, a file is damaged, or a setting is none of this version's.
        """
        if not (folder / run_record.RECORD).exists():
            raise UserError(
                f"{folder} is not the folder of a run, since it has no {run_record.RECORD}; name the --output_dir that "
                "vgg_keras.train was given"
            )
        record = run_record.read_record(folder)
        known = TrainConfig.defaults()
        flags = {name: value for name, value in record["flags"].items() if name in known}
        options = TrainConfig(**{**flags, "output_dir": str(folder)})
        return cls(folder, record, run_record.read_history(folder), options)

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return self.folder.resolve().name

    @property
    def best(self) -> dict[str, Any] | None:
        """Entry of the best epoch; None if no epoch has been validated."""
        return run_record.best_entry(self.history) if self.history else None

    @property
    def complete(self) -> bool:
        """Whether the run has reached the end of its schedule, as far as its settings tell."""
        if not self.history:
            return False
        last = self.history[-1]
        stopped_on_time = 0 < self.options.max_steps <= last["step"]
        return stopped_on_time or (last["epoch"] >= self.options.epochs and last["complete"])

    def lead(self) -> str:
        """Returns the run's result in a sentence."""
        best = self.best
        if best is None:
            return "No epoch has been validated yet."
        num_classes = self.record.get("model", {}).get("num_classes", 0)
        if self.options.box_kind():
            errors = f"localization error {best['validation_top1_error']:.2f}%"
        else:
            top5 = best.get("validation_top5_error") or 0.0
            errors = errors_text(best["validation_top1_error"], top5, num_classes)
        images = best.get("validation_num_images")
        of = f" of {counted(images, 'photo')}" if images else ""
        return f"{errors.capitalize()} on {self.options.validation_split}{of}, by the model of epoch {best['epoch']}."

    def seconds(self) -> float:
        """Returns the wall time of all epochs together, in seconds."""
        return sum(entry.get("seconds") or 0.0 for entry in self.history)

    def facts(self) -> list[tuple[str, str]]:
        """Returns pairs of a property of the run and its value; those that are unknown are left out."""
        found = [*self._learned(), *self._progress(), *self._machine()]
        return [(fact, value) for fact, value in found if value]

    def _learned(self) -> Iterator[tuple[str, str]]:
        """Yields what the net is and what it learned from."""
        options, data = self.options, self.record.get("data") or {}
        width = "" if options.width_multiplier == 1 else f", {options.width_multiplier:g} of its width"
        yield "net", f"{options.net}{width}{', with batch normalization' if options.batch_norm else ''}"
        counts = {
            split: data.get(f"the number of photos in {split}")
            for split in (options.train_split, options.validation_split)
        }
        photos = [f"{counted(count, 'photo')} in {split}" for split, count in counts.items() if count]
        yield "trained on", ", ".join([str(data.get("the data set") or options.dataset or options.data_dir), *photos])
        yield "classes", str(self.record.get("model", {}).get("num_classes") or "")
        yield "starts from", str(options.init_from) or f"random weights ({options.initializer})"
        scales = options.crop_scales()
        yield "training scale S", " to ".join(map(str, sorted(set(scales)))) if scales else options.crop
        yield "input", f"{options.input_size}x{options.input_size} pixels"
        yield "optimizer", f"{options.optimizer}, rate {options.learning_rate:g}, batches of {options.batch_size}"

    def _progress(self) -> Iterator[tuple[str, str]]:
        """Yields how far the run came, and how long it took."""
        if self.history:
            last = self.history[-1]
            yield "epochs", f"{last['epoch']} of {self.options.epochs}, {last['step']:,} steps"
        yield "state", "complete" if self.complete else "not complete, or it stopped early"
        yield "wall time", duration_text(self.seconds())
        if best := self.best:
            yield "best epoch", str(best["epoch"])

    def _machine(self) -> Iterator[tuple[str, str]]:
        """Yields on what the run was trained."""
        machine = self.record.get("machine") or {}
        cores = f"{machine.get('cpu', '')}, {counted(machine['cores'], 'core')}" if "cores" in machine else ""
        yield "machine", ", ".join(filter(None, [*machine.get("gpus", ()), cores]))
        yield from self.record.get("choices", {}).items()
        yield "versions", ", ".join(f"{name} {version}" for name, version in self.record["versions"].items())
