"""Finds the temperature that an export's posteriors get: a number, or one that an evaluation of the model fitted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vgg_keras.evaluation import calibration, layout, records, tables
from vgg_keras.inference.protocol import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE, TestProtocol, TrainedNet
from vgg_keras.utils import files
from vgg_keras.utils.arithmetic import parse_number
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.words import counted

_FLAG = "--temperature"
_RANGE = f"{LOWEST_TEMPERATURE:g} to {HIGHEST_TEMPERATURE:g}"


def choose(given: str, model: Path, protocol: TestProtocol, *, single_scale: bool) -> tuple[float, str]:
    """Returns the temperature that --temperature asks for, and on which photos it was fitted, "" if it is a number.

    Args:
        given: a number, the folder of a finished evaluation, or "" for 1.
        model: the `.keras` file that is exported.
        protocol: how the export is shown photos.
        single_scale: whether it is shown them at the smallest of its test scales alone.

    Raises:
        UserError: it is neither, or the evaluation is of another model or protocol, or could not fit a temperature.
    """
    if not given:
        return 1.0, ""
    temperature = parse_number(given)
    if temperature is None:
        return _fitted(Path(given), model, protocol, single_scale=single_scale)
    # Negated, so that a NaN fails too.
    if not LOWEST_TEMPERATURE <= temperature <= HIGHEST_TEMPERATURE:
        raise UserError(f"{_FLAG}={given} must be a number from {_RANGE}, or the folder of an evaluation of the model")
    return float(temperature), ""


def _fitted(folder: Path, model: Path, protocol: TestProtocol, *, single_scale: bool) -> tuple[float, str]:
    path = folder / tables.RECORD
    if not path.exists():
        raise UserError(
            f"{_FLAG}={folder} is neither a number from {_RANGE} nor the folder of a finished evaluation, with "
            f"{tables.RECORD} in it"
        )
    record = records.read_finished(path)
    tested = record["models"]
    wanted = files.sha256(model)
    if len(tested) == 1 and tested[0].get("form"):
        raise UserError(f"{_FLAG}={folder} is an evaluation of an export, {_way_out(folder, model, wanted)}")
    if len(tested) != 1 or tested[0].get("sha256") != wanted:
        raise UserError(f"{_FLAG}={folder} is no evaluation of {model} alone; evaluate that, or give a number")
    differing = _differences(record, protocol, single_scale=single_scale)
    if differing:
        raise UserError(
            f"{_FLAG}={folder} was fitted on photos that were shown otherwise than to the export ({differing}), whose "
            "posteriors it would not calibrate; evaluate the model with these flags, or give a number"
        )
    found = record.get("calibration", {}).get("temperature")
    if found is None:
        why = calibration.why_no_temperature(record.get("calibration", {}))
        raise UserError(f"{_FLAG}={folder}: that evaluation could not fit a temperature: {why}; give a number")
    images = record["images"]
    return found, f"{counted(images['num_images'], 'photo')} of {images['data_set']}, {images['split']}"


def _way_out(folder: Path, model: Path, sha256: str) -> str:
    """Returns what to give in the place of the evaluation of an export: that of its source, if it was compared with."""
    for path in sorted((folder / layout.COMPARED_MODEL).glob(f"*/{tables.RECORD}")):
        if [one.get("sha256") for one in records.read_finished(path)["models"]] == [sha256]:
            return f"not of {model}, which {path.parent} is; give that"
    return f"not of {model}; evaluate that, or give a number"


def _differences(record: Mapping[str, Any], protocol: TestProtocol, *, single_scale: bool) -> str:
    """Returns in which flags an evaluation differs from the way in which the export is shown photos; "" if in none."""
    (tested,), last = record["models"], record["results"][-1]
    trained = TrainedNet(tested["net"], tested["train_scale"])
    scales = protocol.scales_for(trained, Path(tested["path"]), tested["input_size"])
    shown = (min(scales),) if single_scale else scales
    wanted = {
        "method": protocol.method,
        "flip": protocol.flips(),
        "average": protocol.average,
        "test_scales": ",".join(map(str, shown)),
    }
    have = {**last, "test_scales": ",".join(map(str, last["test_scales"][0]))}
    return ", ".join(f"--{key}={value}, was {have[key]}" for key, value in wanted.items() if have[key] != value)
