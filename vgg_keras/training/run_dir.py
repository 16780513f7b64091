"""Writes a run's folder.

RUN/run.json           resolved flags, package versions, strategy and precision, description of the model
RUN/flags.cfg          the same flags as a flag file
RUN/label_names.txt    readable class names, one in each line
RUN/class_indices.json class name -> index
RUN/class_names.json   index -> class name
RUN/samples/           a few validation photos, on which an export is checked
RUN/history.jsonl      a line for each epoch
RUN/curves.png         the history as curves
RUN/report.html        a page that shows the finished run
RUN/tensorboard/       for TensorBoard: curves of training/ and validation/, the loss of the steps, pictures
RUN/checkpoints/       the newest checkpoints, with the best model of each
RUN/cache/             outputs of the frozen layers, until the run ends
RUN/best.keras         the model with the lowest validation error
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import keras

from vgg_keras.data import shards
from vgg_keras.data.datasets import ImageData
from vgg_keras.data.labels import label_files
from vgg_keras.data.rgb_statistics import RgbStatistics
from vgg_keras.models import checkpoint_files, run_record, vgg
from vgg_keras.models.run_record import RECORD, read_record
from vgg_keras.training.config import MAY_CHANGE, TrainConfig
from vgg_keras.utils import devices, files, keras_compat, shell
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.keras_compat import package_versions

# Number of validation photos that are kept with a run.
_NUM_SAMPLES = 8


def require_usable(options: TrainConfig) -> None:
    """Checks that a run may use its folder: it holds no run, or the same one, which is to be resumed.

    Raises:
        UserError: the folder holds a run and --resume is off, the run's flags differ, its record is damaged, the other
            Keras generation wrote it, or something else stands in the place of one of its files or folders.
    """
    folder = Path(options.output_dir)
    run_record.LAYOUT.require_writable(folder)
    checkpoint_files.require_usable(folder / run_record.CHECKPOINTS)
    if not (folder / RECORD).exists():
        if (folder / run_record.CHECKPOINTS).exists():
            raise UserError(
                f"{folder} holds the checkpoints of a run without its {RECORD}: bring that back from a copy, or choose "
                "another --output_dir"
            )
        return
    if not options.resume:
        raise UserError(f"{folder} holds a run; continue it with --resume, or choose another --output_dir")
    content = read_record(folder)
    _check_generation(folder, content.get("versions", {}).get("keras", keras.__version__))
    # A run of an earlier version of this package does not know the flags that were added since.
    before = {**options.defaults(), **content["flags"]}
    differing = [
        f"--{name} was {before[name]!r}, is {value!r}"
        for name, value in options.flags().items()
        if name not in MAY_CHANGE and before[name] != value
    ]
    if differing:
        raise UserError(f"{folder} holds a run with other flags ({'; '.join(differing)}); choose another --output_dir")


def describe_data(options: TrainConfig, data: ImageData, rgb: RgbStatistics) -> dict[str, object]:
    """Describes the data that a run trains on, by what must not change when it is resumed, or between workers.

    Args:
        options: flags of the verb.
        data: the data set.
        rgb: RGB statistics of the training split.

    Returns:
        Values for JSON by what they are, in words.
    """
    splits = (options.train_split, options.validation_split)
    return {
        "the data set": data.builder.info.full_name,
        **{f"the number of photos in {split}": data.num_images(split) for split in splits},
        "the classes": list(data.class_names),
        # Other machines may compute other last digits.
        "the mean RGB": [round(value, 3) for value in rgb.mean.tolist()],
    }


def require_same_data(folder: Path, described: Mapping[str, object]) -> None:
    """Checks that a run which is resumed has the data that it was begun with.

    Args:
        folder: the run's folder.
        described: result of `describe_data`.

    Raises:
        UserError: the data differ.
    """
    # A run that has not begun has no record, and one of an earlier version of this package does not describe its data.
    before = read_record(folder).get("data", {}) if (folder / RECORD).exists() else {}
    differing = [
        f"{name} was {before[name]!r}, is {value!r}"
        for name, value in described.items()
        if name in before and before[name] != value
    ]
    if differing:
        raise UserError(
            f"{folder} holds a run on other data ({'; '.join(differing)}): name the data set that it was begun with, "
            f"or start a new --output_dir with --init_from={folder}"
        )


def _check_generation(folder: Path, version: str) -> None:
    if keras_compat.generation(version) != keras_compat.generation(keras.__version__):
        raise UserError(
            f"{folder} holds a run with Keras {version}, this is Keras {keras.__version__}, and neither reads the "
            f"checkpoints of the other: resume it with that Keras, or start a new --output_dir with "
            f"--init_from={folder}, whose best model both read"
        )


def write_run(
    options: TrainConfig,
    data: ImageData,
    model: keras.Model,
    choices: Mapping[str, str],
    described_data: Mapping[str, object],
) -> None:
    """Writes the run's record, labels and sample photos into its folder.

    Args:
        options: flags of the verb.
        data: the data set.
        model: the net.
        choices: strategy and precision that were chosen, each with the reason.
        described_data: result of `describe_data`.

    Raises:
        UserError: the first records of the validation split are broken.
    """
    folder = Path(options.output_dir)
    first = data.encoded(options.validation_split).take(_NUM_SAMPLES).as_numpy_iterator()
    samples = [example["image_bytes"] for example in shards.read(data, first)]
    model_record = {"num_classes": len(data.label_names), "mean_rgb": vgg.subtracted_mean_rgb(model)}
    write_run_record(folder, options.flags(), choices, model_record, described_data)
    save_labels(folder, data.class_names, data.label_names)
    save_samples(folder, samples)


def write_run_record(
    folder: Path,
    flags: Mapping[str, object],
    choices: Mapping[str, str],
    model: Mapping[str, object],
    data: Mapping[str, object] | None = None,
) -> None:
    """Makes a run's folder, and writes the run's record and flag file into it.

    Args:
        folder: the run's folder.
        flags: resolved flags of the run.
        choices: strategy and precision that were chosen on this machine, each with the reason.
        model: properties of the model that the flags do not determine: "num_classes" and "mean_rgb".
        data: result of `describe_data`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "flags": dict(flags),
        "versions": package_versions(),
        "machine": devices.describe_machine(),
        "choices": dict(choices),
        "model": dict(model),
        "data": dict(data or {}),
    }
    files.write_text(folder / RECORD, json.dumps(content, indent=2) + "\n")
    files.write_text(
        folder / run_record.FLAGS, "".join(shell.flag(name, value) + "\n" for name, value in flags.items())
    )


def save_labels(folder: Path, class_names: Sequence[str], label_names: Sequence[str]) -> None:
    """Writes the files that name the classes into a run's folder."""
    for name, text in label_files(class_names, label_names).items():
        files.write_text(folder / name, text)


def save_samples(folder: Path, samples: Iterable[bytes]) -> None:
    """Writes encoded images into the subfolder `samples` of a run's folder."""
    for index, image_bytes in enumerate(samples):
        suffix = ".jpg" if image_bytes[:2] == b"\xff\xd8" else ".img"
        files.write_bytes(folder / run_record.SAMPLES / f"{index}{suffix}", image_bytes)
