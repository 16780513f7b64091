"""Writes what a test of localizers found: every box as CSV, a Markdown report, and photos with their boxes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vgg_keras.evaluation import box_figures, box_tables, figures, layout, tables
from vgg_keras.evaluation.box_highlights import BoxHighlights, BoxTest
from vgg_keras.evaluation.classifier_names import how_tested
from vgg_keras.utils.escaping import csv_text, markdown, markdown_code
from vgg_keras.utils.files import write_text

_CSV_COLUMNS = ("file", "label", "predicted", "posterior", "ymin", "xmin", "ymax", "xmax", "iou")


def boxes_csv(test: BoxTest) -> str:
    """Returns a CSV with a line for each box: file, label, class, its posterior, the box relative to the photo, IoU."""
    result, chosen, split = test.result, test.chosen, test.split
    names, manifest, rows = split.manifest.data.label_names, split.manifest, []
    for boxes, overlaps, index in zip(result.found, result.overlaps, split.boxed, strict=True):
        image = (manifest.names[index], names[manifest.labels[index]])
        for box, overlap, label, posterior in zip(
            boxes, overlaps, chosen.labels[index], chosen.posteriors[index], strict=True
        ):
            # Numbers, since a text that begins with a minus would be taken for a formula.
            place = (round(float(value), 5) for value in box)
            rows.append((*image, names[label], f"{posterior:.6g}", *place, f"{overlap:.4f}"))
    return csv_text(_CSV_COLUMNS, rows)


def _shown(model: Mapping[str, Any]) -> str:
    how = how_tested(model)
    return f"{how}; " if how else ""


def write(folder: Path, record: dict[str, Any], test: BoxTest, shown: BoxHighlights) -> None:
    """Writes the boxes, the report and its picture into an evaluation's folder.

    Args:
        folder: the evaluation's folder.
        record: content of `evaluation.json`.
        test: the test; the boxes of its last result are written.
        shown: what is shown of it besides the results.
    """
    (folder / layout.PICTURES).mkdir(exist_ok=True)
    write_text(folder / layout.BOXES, boxes_csv(test))
    figures.save(figures.gallery(shown.first), folder / layout.BOXED_PHOTOS)
    table = box_tables.results_table(record)
    settings = ", ".join(f"{name} {value}" for name, value in record["settings"].items())
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    files = "".join(
        f"- {kind}: {markdown_code(model['path'])} ({_shown(model)}SHA-256 {model.get('sha256', '')[:16]}…)\n"
        for kind, models in (("localizer", record["models"]), ("classifier", record["classifiers"]))
        for model in models
    )
    text = [
        f"# {markdown(table.title)}\n",
        tables.markdown_table(table.columns, table.rows),
        f"{shown.scored}\n",
        f"Settings: {markdown(settings)}. {versions}.\n",
        files,
        f"## Error by class{shown.note}\n",
        tables.markdown_table(shown.classes.columns, shown.classes.rows),
        f"## Photos\n\n{box_figures.FIRST} {box_figures.LEGEND}\n\n![boxes]({layout.BOXED_PHOTOS})\n",
    ]
    write_text(folder / tables.REPORT, "\n".join(text))
