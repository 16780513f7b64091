"""Composes the pages of runs and of evaluations, and writes them."""

from collections.abc import Mapping, Sequence
from typing import Any

from vgg_keras.evaluation import box_tables, error_interval, tables
from vgg_keras.evaluation.box_highlights import BoxHighlights
from vgg_keras.evaluation.highlights import FinishedEvaluation, Highlights
from vgg_keras.reports import box_sections, evaluation_sections, run_sections
from vgg_keras.reports.page import Page, Prose, Section, Table
from vgg_keras.reports.shown_run import ShownRun
from vgg_keras.utils.display import ShownTable, errors_text
from vgg_keras.utils.words import counted
from vgg_keras.version import __version__

_FOOTER = f"Made by vgg_keras {__version__}. This file holds all that it shows; it loads nothing from elsewhere."


def of_run(run: ShownRun, sections: Sequence[Section]) -> Page:
    """Returns the page of a run.

    Args:
        run: the run.
        sections: its sections.
    """
    return Page(f"{run.name}: net {run.options.net}", run.lead(), sections, _FOOTER)


def of_runs(runs: Sequence[ShownRun]) -> Page:
    """Returns the page that compares several runs."""
    validated = [(run.best["validation_top1_error"], run) for run in runs if run.best]
    _, best = min(validated, key=lambda pair: pair[0], default=(0.0, None))
    lead = f"The lowest validation error has {best.name}. {best.lead()}" if best else "None is validated yet."
    return Page(f"{counted(len(runs), 'run')} side by side", lead, list(run_sections.side_by_side(runs)), _FOOTER)


def of_evaluation(finished: FinishedEvaluation, shown: Highlights) -> Page:
    """Returns the page of a classifier's evaluation.

    Args:
        finished: the evaluation.
        shown: what is shown of it besides the results.
    """
    record = finished.record
    last, images = record["results"][-1], record["images"]
    errors = errors_text(last["top1_error"], last["top5_error"], images["num_classes"])
    lead = (
        f"{errors.capitalize()} in {counted(last['num_images'], 'photo')}, mean cross-entropy {last['loss']:.4f}. The "
        f"top-1 error's 95% interval is {error_interval.text(last)}."
    )
    sections = [
        Section("Results", [Table(tables.results_table(record))]),
        *evaluation_sections.sections(shown),
        _settings(record, ("devices", record["devices"])),
    ]
    title = f"{' + '.join(last['nets'])} on {images['data_set']}, {images['split']}"
    return Page(title, lead, sections, _FOOTER)


def of_localization(record: dict[str, Any], shown: BoxHighlights) -> Page:
    """Returns the page of a test of localizers.

    Args:
        record: content of `evaluation.json`.
        shown: what is shown of it besides the results.
    """
    last, images = record["results"][-1], record["images"]
    lead = (
        f"{box_sections.error_text(last)} in {counted(last['num_images'], 'photo')}, mean intersection over union "
        f"{last['mean_iou']:.3f}."
    )
    sections = [
        Section("Results", [Table(box_tables.results_table(record)), Prose(shown.scored)]),
        *box_sections.sections(shown),
        _settings(record),
    ]
    title = f"{' + '.join(last['nets'])}: boxes on {images['data_set']}, {images['split']}"
    return Page(title, lead, sections, _FOOTER)


def _settings(record: Mapping[str, Any], *more: tuple[str, str]) -> Section:
    """Returns the section with the settings, models and versions of an evaluation."""
    rows = [
        *((name, str(value)) for name, value in record["settings"].items()),
        *(
            (kind, f"{model['path']} (SHA-256 {model.get('sha256', 'unknown')})")
            for kind, key in (("model", "models"), ("classifier", "classifiers"))
            for model in record.get(key, ())
        ),
        *record["versions"].items(),
        *more,
    ]
    return Section("Settings", [Table(ShownTable("", ("", ""), rows))])


def missing(title: str, reason: str) -> Section:
    """Returns a section that says why it shows nothing."""
    return Section(title, [Prose(f"Not shown: {reason}")])
