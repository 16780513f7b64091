"""Tests trained models with the paper's protocol (arXiv:1409.1556, sect. 3.2 and 4)."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vgg_keras.data import datasets
from vgg_keras.data.manifest import SplitManifest
from vgg_keras.evaluation import comparison, layout, markdown_report, mistakes, results, tables
from vgg_keras.evaluation.evaluator import Evaluable, Evaluator, Result, TimedPosteriors
from vgg_keras.evaluation.highlights import FinishedEvaluation, Highlights
from vgg_keras.evaluation.saved_posteriors import SavedPosteriors
from vgg_keras.inference.protocol import TestProtocol
from vgg_keras.models.architectures import CLASSIFICATION, LOCALIZATION
from vgg_keras.reports import pages
from vgg_keras.tasks import localization
from vgg_keras.tasks.evaluation_folder import joined_team, opened, saved_files, written_record
from vgg_keras.tasks.options import EvaluateOptions
from vgg_keras.tasks.results import EvaluationResult
from vgg_keras.tasks.tested_models import (
    advice,
    choose_protocol,
    compared_model,
    open_compared,
    open_model,
    options_to_compare,
    require_outside_exports,
    told_of_compared,
)
from vgg_keras.utils import devices, files, hardware, paths, side_files
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.escaping import csv_text
from vgg_keras.utils.teamwork import Team


def describe(models: Sequence[Evaluable], manifest: SplitManifest, protocol: TestProtocol) -> dict:
    """Returns a JSON-ready description of an evaluation: everything that its results depend on."""
    return {
        "settings": _settings(protocol),
        "images": manifest.identity(),
        "models": [{"path": str(model.path), **model.identity()} for model in models],
    }


def planned_result(model: Evaluable, protocol: TestProtocol) -> dict:
    """Returns how the last result of an evaluation will have been found, under the names of its record.

    Args:
        model: the last model.
        protocol: the way in which it is tested.
    """
    return {**_settings(protocol), "test_scales": [model.test_scales]}


def _settings(protocol: TestProtocol) -> dict:
    return {"method": protocol.method, "flip": protocol.flips(), "average": protocol.average}


def run_models(
    evaluator: Evaluator, models: Sequence[Evaluable], saved: Mapping[int, Path]
) -> tuple[list[Result], np.ndarray]:
    """Tests each model and then the fusion of all.

    Args:
        evaluator: evaluator of the images.
        models: the models.
        saved: the files in which the posteriors of models are to be kept, by the models' indices.

    Returns:
        The results, and the (N, classes) posteriors of the fusion, or of the model if there is only one.

    Raises:
        UserError: a record or a model cannot be used, or memory ran out.
    """
    found: list[Result] = []
    by_method: dict[str, list[TimedPosteriors]] = {}
    for index, model in enumerate(models):
        model_results, timed_by_method = evaluator.test(model, index)
        found += model_results
        if index in saved and not isinstance(model, SavedPosteriors):
            evaluator.posteriors_to_save(model, timed_by_method, saved[index]).save()
        for method, timed in timed_by_method.items():
            by_method.setdefault(method, []).append(timed)
    fused = {method: TimedPosteriors.mean(parts) for method, parts in by_method.items()}
    if len(models) > 1:
        found += evaluator.fuse(models, fused)
    return found, TimedPosteriors.mean(list(fused.values())).posteriors


def predictions_csv(posteriors: np.ndarray, manifest: SplitManifest) -> str:
    """Returns a CSV with a line for each image: file, label, predicted class, and the posteriors of both.

    Args:
        posteriors: (N, classes), 0..1.
        manifest: the N images.
    """
    columns = ("index", "file", "label", "predicted", "posterior_of_label", "posterior_of_predicted")
    names, rows = manifest.data.label_names, []
    for index, (file, label, row) in enumerate(zip(manifest.names, manifest.labels, posteriors, strict=True)):
        predicted = row.argmax()
        rows.append((index, file, names[label], names[predicted], f"{row[label]:.6g}", f"{row[predicted]:.6g}"))
    return csv_text(columns, rows)


def write_results(folder: Path, evaluation: FinishedEvaluation, found: Sequence[Result]) -> None:
    """Writes predictions, mistakes, report and record into the evaluation's folder."""
    files.write_text(folder / layout.PREDICTIONS, predictions_csv(evaluation.posteriors, evaluation.manifest))
    mistakes.save(folder, [result.wrong for result in found])
    shown = Highlights.of(evaluation)
    markdown_report.write(evaluation, shown, folder)
    files.write_text(folder / layout.PAGE, pages.of_evaluation(evaluation, shown).render())
    # The record is written last: it marks the evaluation as complete.
    side_files.write_json(folder / tables.RECORD, evaluation.record)


def evaluate_model(options: EvaluateOptions) -> EvaluationResult:
    """Tests classifiers or localizers, writes the results, and compares the last one with another's if asked to.

    Raises:
        UserError: the data, a model or a folder cannot be used, or memory ran out.
    """
    evaluate = localization.evaluate_localizers if options.task == LOCALIZATION else evaluate_only
    if options.task == CLASSIFICATION:
        require_outside_exports(options)
    with joined_team(options) as team:
        # The chief alone reads an evaluation, but all test a model; its path may be another one on another machine.
        names_model = team.chief and options.task == CLASSIFICATION and compared_model(options)
        is_model = team.channel.agree("a model is compared", "yes" if names_model else "")
        if is_model:  # before work of days
            team.channel.compare("the compared model", {"--compare": told_of_compared(options)})
        result = evaluate(options, team)
        if is_model:
            compared = evaluate_only(options_to_compare(options, result.record["results"][-1]), team, "compared: ")
    if not options.compare or not result.chief:
        return dataclasses.replace(result, advice=advice(options) if options.task == CLASSIFICATION else "")
    with_what = compared.folder if is_model else Path(options.compare)
    table, difference = comparison.compare(result.folder, with_what)
    files.write_text(result.folder / layout.COMPARISON, comparison.document(table))
    return dataclasses.replace(result, comparison=table, difference=difference)


def evaluate_only(options: EvaluateOptions, team: Team, title: str = "") -> EvaluationResult:
    """Opens the data and the models, tests the models, and writes the results.

    Args:
        options: flags of the verb.
        team: the workers that share the images; the chief writes the results.
        title: begin of the titles of its progress bars.

    Raises:
        UserError: see `evaluate_model`.
    """
    if options.classifier:
        raise UserError(f"--classifier is for --task={LOCALIZATION}; leave it out for {options.task}")
    folder, protocol = Path(options.output_dir), choose_protocol(options)
    devices.split_cpu(options.cpu_devices)
    strategy, strategy_reason = devices.make_strategy(hardware.strategy_of_machine(options.strategy))
    data = datasets.open_data(options.data_dir, options.dataset)
    data.require_split(options.split)
    with strategy.scope():
        models = [open_model(path, protocol, data.class_names) for path in options.model_paths()]
    saved = saved_files(options, "posteriors", [isinstance(model, SavedPosteriors) for model in models])
    paths.require_separate([("output_dir", path) for path in saved.values()], options.model_paths())
    manifest = SplitManifest.read(data, options.split, options.max_images)
    evaluator = Evaluator(manifest, protocol, folder / layout.PARTIAL, strategy, options.batch_size, team, title)
    for model in models:
        evaluator.check(model)
    if options.compare and team.chief:  # before the work begins
        if compared_model(options):
            asked = options_to_compare(options, planned_result(models[-1], protocol))
            evaluator.check(open_compared(asked, data.class_names))
        else:
            comparison.load_marked(Path(options.compare)).require_comparable(CLASSIFICATION, manifest.identity())
    description = describe(models, manifest, protocol)
    names = [layout.PREDICTIONS, *(path.name for path in saved.values())]
    with opened(folder, description, team, names) as finished:
        if finished:
            return EvaluationResult(folder, finished, resumed=True, chief=team.chief)
        found, posteriors = run_models(evaluator, models, saved if team.chief else {})

        def write() -> dict:
            devices_text = f"{type(strategy).__name__} ({strategy_reason}){team.described()}"
            record = results.evaluation_record(description, devices_text, found, posteriors, manifest)
            write_results(folder, FinishedEvaluation(record, posteriors, manifest, models), found)
            return record

        return EvaluationResult(folder, written_record(folder, write, team), chief=team.chief, shares=team.summary())
