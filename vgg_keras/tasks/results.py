"""Defines what the functions of the Python API return; imports no TensorFlow."""

import dataclasses
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vgg_keras.evaluation import box_tables, error_interval, tables
from vgg_keras.inference.protocol import CENTER_CROP
from vgg_keras.models import run_record
from vgg_keras.models.architectures import LOCALIZATION
from vgg_keras.serving import model_card, versions
from vgg_keras.utils import shell
from vgg_keras.utils.display import Shown, ShownTable
from vgg_keras.utils.words import counted

_EPOCH_COLUMNS = ("epoch", "learning rate", "training loss", "error %", "validation loss", "error %")


@dataclasses.dataclass(frozen=True, repr=False)
class TrainingResult(Shown):
    """The outcome of a run.

    Attributes:
        folder: the run's folder.
        data_dir: folder of the data set.
        validation_split: split on which the errors were measured.
        best_error: validation top-1 error of the best model in percent, as the run validates: at centre crops, or on
            squashed photos.
        history: an entry for each epoch: losses, errors in percent, learning rate, seconds.
        exported: folder of the exported version, if the run was asked to export its best model.
        agreement: agreement of the exported model with the trained one, as text.
        chief: whether this process is the chief, which writes the files.
        gone_beyond: whether the run had more steps than the options ask for, and was left as it was.
        localizes: whether the net predicts boxes; its error is then that of app. A: an IoU of at most 0.5.
        squashes: whether the net was shown squashed photos then, and not centre crops.
    """

    folder: Path
    data_dir: Path
    validation_split: str
    best_error: float
    history: Sequence[Mapping[str, Any]]
    exported: Path | None = None
    agreement: str = ""
    chief: bool = True
    gone_beyond: bool = False
    localizes: bool = False
    squashes: bool = False

    @property
    def error_text(self) -> str:
        """Name, value and split of the best model's error."""
        name = "localization error" if self.localizes else "top-1 error"
        return f"{name} {self.best_error:.2f}% on {self.validation_split}"

    @property
    def best_model(self) -> Path:
        """The `.keras` file of the best model."""
        return self.folder / run_record.BEST_MODEL

    def shown(self) -> ShownTable:
        """Returns the errors of each epoch as a table."""
        rows = [
            (
                str(entry["epoch"]),
                f"{entry['learning_rate']:g}",
                *(
                    f"{entry[f'{split}_{key}']:.{digits}f}"
                    for split in ("training", "validation")
                    for key, digits in (("loss", 4), ("top1_error", 2))
                ),
            )
            for entry in self.history
        ]
        title = f"{self.best_model}: {self.error_text}"
        return ShownTable(title, _EPOCH_COLUMNS, rows)

    def summary(self) -> str:
        """Returns the best model and its error, in a line."""
        if not math.isfinite(self.best_error):
            return f"{self.folder} has no best model yet, since no epoch of it has been validated"
        return f"best model: {self.best_model}, {self.error_text}"

    def next_steps(self) -> str:
        """Returns the commands that test, use and export the best model, and where to look; "" if there is none."""
        if not math.isfinite(self.best_error):
            return ""
        steps = next_commands(
            self.folder, self.data_dir, self.validation_split, localizes=self.localizes, squashes=self.squashes
        )
        if self.exported:
            del steps["export it"]
        page = self.folder / run_record.REPORT
        steps["look at it"] = str(page) if page.exists() else shell.command("vgg_keras.report", run=self.folder)
        steps["history"] = f"{self.folder / run_record.HISTORY}; curves: {self.folder / run_record.CURVES}"
        steps["more"] = shlex.join(["tensorboard", f"--logdir={self.folder / run_record.TENSORBOARD}"])
        if self.exported:
            steps["the exported model against the trained one"] = self.agreement
            steps["exported"] = str(self.exported)
            steps["check it"] = shell.command("vgg_keras.serve_check", model=self.exported.parent)
        return "\n".join(f"{step + ':':<11} {what}" for step, what in steps.items())


def next_commands(
    folder: Path, data_dir: Path, validation_split: str, *, localizes: bool, squashes: bool
) -> dict[str, str]:
    """Returns the commands that test, use and export the best model of a run, by what they are for.

    Args:
        folder: the run's folder.
        data_dir: folder of the data set.
        validation_split: split on which the errors were measured.
        localizes: whether the net predicts boxes.
        squashes: whether the net was validated on squashed photos, as it is then tested too.
    """
    method = {} if squashes else {"method": CENTER_CROP}  # the dense test needs a classifier
    test = {"task": LOCALIZATION, **method} if localizes else {}
    classifier = {"classifier": "CLASSIFIER"} if localizes else {}
    predict = shell.command("vgg_keras.predict", model=folder, **classifier, output_dir="predicted")
    return {
        "test it": shell.command(
            "vgg_keras.evaluate",
            model=folder,
            data_dir=data_dir,
            split=validation_split,
            output_dir=Path("evaluations") / folder.name,
            **test,
        ),
        "use it": f"{predict} PHOTOS",
        "export it": shell.command(
            "vgg_keras.export", model=folder / run_record.BEST_MODEL, output_dir=Path("saved_models") / folder.name
        ),
    }


@dataclasses.dataclass(frozen=True, repr=False)
class EvaluationResult(Shown):
    """The outcome of an evaluation.

    Attributes:
        folder: the evaluation's folder.
        record: content of its `evaluation.json`: settings, images, results, classes.
        resumed: whether the folder held the finished evaluation already.
        comparison: the paired difference to the evaluation or the model that was named for it, or None.
        difference: the difference of the top-1 errors in it, as text: percentage points, interval and p; "" if none.
        advice: what may be compared with it, as text; "" if nothing.
        chief: whether this process is the chief of the workers that shared the images, which writes the files.
        shares: what each of several workers has computed, in a line; "" if there was one.
    """

    folder: Path
    record: Mapping[str, Any]
    resumed: bool = False
    comparison: ShownTable | None = None
    difference: str = ""
    advice: str = ""
    chief: bool = True
    shares: str = ""

    @property
    def top1_error(self) -> float:
        """Top-1 error in percent of the last result: the fusion, or the only model by the last method."""
        return self.record["results"][-1]["top1_error"]

    @property
    def top5_error(self) -> float:
        """Top-5 error in percent of the same result."""
        return self.record["results"][-1]["top5_error"]

    def shown(self) -> ShownTable:
        """Returns a row for each model, method, scale and fusion."""
        localizes = self.record["settings"].get("task") == LOCALIZATION
        return (box_tables if localizes else tables).results_table(dict(self.record))

    def summary(self) -> str:
        """Returns the last top-1 error, its 95% interval and its difference to what it is compared with, in a line."""
        last = self.record["results"][-1]
        localizes = self.record["settings"].get("task") == LOCALIZATION
        kind = "top-1 localization error" if localizes else "top-1 error"
        error = f"{kind} {last['top1_error']:.2f}%, 95% interval {error_interval.text(last)}"
        name = tables.net_cells(tables.trained_nets(last), last["test_scales"])[0]
        difference = f"; difference in points {self.difference}" if self.difference else ""
        return f"{name}: {error}, on {counted(self.record['images']['num_images'], 'image')}{difference}"


@dataclasses.dataclass(frozen=True, repr=False)
class ExportResult(Shown):
    """The outcome of an export.

    Attributes:
        folder: folder of the exported version.
        model: the `.keras` file that was exported.
        agreement: agreement of the exported model with the trained one.
        removed: numbers of the older versions that were removed.
        judging: command that measures the export's error and its paired difference to the model; "" for boxes.
    """

    folder: Path
    model: Path
    agreement: ShownTable
    removed: Sequence[int] = ()
    judging: str = ""

    @property
    def model_card(self) -> Path:
        """Description of an exported SavedModel for people."""
        return self.folder / versions.EXTRA / model_card.FILE

    def shown(self) -> ShownTable:
        """Returns the agreement of the exported model with the trained one."""
        return dataclasses.replace(self.agreement, title=f"{self.model} -> {self.folder}")
