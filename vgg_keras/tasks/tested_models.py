"""Opens what an evaluation tests: trained models, exports of them, and saved posteriors; settles how they are shown."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vgg_keras.evaluation import layout, saved_posteriors, tables
from vgg_keras.evaluation.evaluator import Evaluable
from vgg_keras.evaluation.saved_posteriors import SavedPosteriors
from vgg_keras.inference.loading import load_for_inference, own_method
from vgg_keras.inference.protocol import OWN, TestProtocol
from vgg_keras.models import run_record, saving
from vgg_keras.serving import found_export
from vgg_keras.serving.evaluated_export import EvaluatedExport
from vgg_keras.tasks.options import EvaluateOptions
from vgg_keras.utils import files, paths
from vgg_keras.utils.errors import UserError

# Digits of a compared model's SHA-256 that name its folder.
_SHOWN_DIGITS = 12


def open_model(path: Path, protocol: TestProtocol, class_names: Sequence[str]) -> Evaluable:
    """Loads a model, an export or saved posteriors, and checks that it can be tested with a protocol.

    Args:
        path: a `.keras` file, a run's folder, an export as `found_export.find` takes it, or a `.npz` file of saved
            posteriors.
        protocol: the way in which the model is to be tested.
        class_names: class names of the data set in the order of their indices.

    Raises:
        UserError: the file is missing or damaged, has other classes, or does not fit the protocol.
    """
    if saved_posteriors.is_saved(path):
        saved = SavedPosteriors.load(path)
        saved.require_protocol(protocol)
        return saved
    if exported := found_export.find(path):
        return EvaluatedExport.load(exported, protocol, class_names)
    return load_for_inference(path, protocol, class_names)


def require_outside_exports(options: EvaluateOptions) -> None:
    """Checks that the results are not written into an export that is tested, of which each file is a part.

    Raises:
        UserError: they are, or an export is damaged.
    """
    output = Path(options.output_dir)
    for path in (*options.model_paths(), *([Path(options.compare)] if options.compare else ())):
        if exported := found_export.find(path):
            paths.require_not_inside([("output_dir", output)], exported.kept_folders(output))


def choose_protocol(options: EvaluateOptions) -> TestProtocol:
    """Returns the protocol of the flags, completed by what exports hold in their graphs and by the models' own method.

    Raises:
        UserError: a model is missing or damaged, an export cannot be tested in this way, or the models' methods differ.
    """
    protocol = options.protocol()
    for path in options.model_paths():
        if exported := found_export.find(path):
            protocol = exported.settled(protocol)
    if protocol.method != OWN:
        return protocol
    return protocol.of_models(
        {
            path: SavedPosteriors.load(path).own_method() if saved_posteriors.is_saved(path) else own_method(path)
            for path in options.model_paths()
        }
    )


def compared_model(options: EvaluateOptions) -> Path | None:
    """Returns the model that --compare names, or None if it names an evaluation or is not given.

    Raises:
        UserError: the model is missing, or neither an evaluation nor a model is there.
    """
    path = Path(options.compare)
    if not options.compare or (path / tables.RECORD).exists():
        return None
    if found_export.find(path) or saved_posteriors.is_saved(path):
        return path
    model = run_record.find_model_file(path)
    if not model.exists():
        raise UserError(
            f"--compare={path} is neither a model nor the folder of a finished evaluation, with {tables.RECORD} in it"
        )
    saving.require_model_file(model)
    return path


def _sha256(path: Path) -> str:
    """Returns the SHA-256 of what `open_model` takes, in hexadecimal digits."""
    if exported := found_export.find(path):
        return exported.sha256
    if not saved_posteriors.is_saved(path):
        path = run_record.find_model_file(path)
        saving.require_model_file(path)
    return files.sha256(path)


def told_of_compared(options: EvaluateOptions) -> str:
    """Returns what a worker tells of the model of --compare, by which workers see whether all have the same one.

    Args:
        options: options of the evaluation.
    """
    if not options.compare:
        return "not given"
    try:
        return f"a model with the SHA-256 {_sha256(Path(options.compare))[:_SHOWN_DIGITS]}..."
    except UserError as error:
        return f"unusable: {error}"


def options_to_compare(options: EvaluateOptions, last: Mapping[str, Any]) -> EvaluateOptions:
    """Returns the options of an evaluation that tests the model of --compare as another one tests its last model.

    Args:
        options: options of the other evaluation.
        last: its last result, as its record has it, or what that will have: method, test_scales, flip, average.

    Raises:
        UserError: the model of --compare is missing.
    """
    path = Path(options.compare)
    return dataclasses.replace(
        options,
        model=(str(path),),
        output_dir=str(Path(options.output_dir) / layout.COMPARED_MODEL / _sha256(path)[:_SHOWN_DIGITS]),
        compare="",
        method=last["method"],
        test_scales=",".join(map(str, last["test_scales"][-1])),
        flip=last["flip"],
        average=last["average"],
    )


def open_compared(options: EvaluateOptions, class_names: Sequence[str]) -> Evaluable:
    """Opens the model that --compare names, to find out before the work begins whether it can be tested.

    Args:
        options: the options that `options_to_compare` returned.
        class_names: class names of the data set in the order of their indices.

    Raises:
        UserError: it cannot be tested as the other model is.
    """
    (path,) = options.model_paths()
    try:
        return open_model(path, choose_protocol(options), class_names)
    except UserError as error:
        raise UserError(f"--compare={path} cannot be tested as --model is: {error}") from error


def advice(options: EvaluateOptions) -> str:
    """Returns how to learn what an export changed; "" if no export is tested alone, or its source is gone."""
    models = options.model_paths()
    exported = found_export.find(models[0]) if len(models) == 1 and not options.compare else None
    if exported is None or not Path(exported.record["source"]).is_file():
        return ""
    return f"against the model that it was exported from: the same command with --compare={exported.record['source']}"
