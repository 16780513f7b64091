"""Writes what a test of localizers found: every box as CSV, a Markdown report, and photos with their boxes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vgg_keras.data.boxed_split import BoxedSplit
from vgg_keras.evaluation import box_figures, box_tables, figures, layout, tables
from vgg_keras.evaluation.box_figures import BoxedPhoto
from vgg_keras.evaluation.box_results import BoxResult, ChosenClasses
from vgg_keras.evaluation.highlights import decoded_photos
from vgg_keras.training.objectives import MIN_IOU
from vgg_keras.utils.escaping import csv_text, markdown, markdown_code
from vgg_keras.utils.files import write_text
from vgg_keras.utils.words import counted

_SHOWN = 16
_CSV_COLUMNS = ("file", "label", "predicted", "posterior", "ymin", "xmin", "ymax", "xmax", "iou")


def boxes_csv(result: BoxResult, chosen: ChosenClasses, split: BoxedSplit) -> str:
    """Returns a CSV with a line for each box: file, label, class, its posterior, the box relative to the photo, IoU.

    Args:
        result: the result.
        chosen: the classes on each image.
        split: the images.
    """
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


def _scored(chosen: ChosenClasses, split: BoxedSplit) -> str:
    """Returns when a box is right, and what the numbers mean if boxes of several classes are predicted on a photo."""
    text = f"A box is right if its intersection over union (IoU) with an object of its class is above {MIN_IOU}."
    count, missed = chosen.labels.shape[1], chosen.missed(split.manifest.labels)[split.boxed]
    if count == 1:
        return text
    photos = f"{missed.sum():,} of {counted(len(missed), 'photo')} ({100 * missed.mean():.1f}%)"
    return (
        f"{text} The top-1 error is that of the box of the likeliest class; the top-5 error counts a photo as right if "
        f"one of the boxes of its {count} likeliest classes is. The mean IoU is that of the best of these boxes, 0 if "
        f"none is of the true class. On {photos} the classifier did not choose the true class, so that no box can be "
        "right there."
    )


def _boxed_photos(result: BoxResult, chosen: ChosenClasses, split: BoxedSplit) -> list[BoxedPhoto]:
    """Returns the first photos, each with the box that fits best."""
    names, shown = split.manifest.data.label_names, split.boxed[:_SHOWN]
    photos = dict(decoded_photos(split.manifest, shown))
    right, found = ~result.wrong[1], []
    for row, index in enumerate(shown):
        best = int(result.overlaps[row].argmax())
        caption = f"{names[chosen.labels[index][best]]}, IoU {result.overlaps[row][best]:.2f}"
        thumbnail = figures.thumbnail(photos[index])
        found.append(BoxedPhoto(thumbnail, split.boxes[index], result.found[row][best], bool(right[row]), caption))
    return found


def write(folder: Path, record: Mapping[str, Any], result: BoxResult, chosen: ChosenClasses, split: BoxedSplit) -> None:
    """Writes the boxes, the report and its picture into an evaluation's folder.

    Args:
        folder: the evaluation's folder.
        record: content of `evaluation.json`.
        result: the last result, whose boxes are written.
        chosen: the classes on each image.
        split: the images.

    Raises:
        UserError: a record cannot be read.
    """
    (folder / layout.PICTURES).mkdir(exist_ok=True)
    write_text(folder / layout.BOXES, boxes_csv(result, chosen, split))
    figures.save(box_figures.boxed_photos(_boxed_photos(result, chosen, split)), folder / layout.BOXED_PHOTOS)
    table = box_tables.results_table(dict(record))
    settings = ", ".join(f"{name} {value}" for name, value in record["settings"].items())
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    files = "".join(
        f"- {kind}: {markdown_code(model['path'])} (SHA-256 {model.get('sha256', '')[:16]}…)\n"
        for kind, models in (("localizer", record["models"]), ("classifier", record["classifiers"]))
        for model in models
    )
    text = [
        f"# {markdown(table.title)}\n",
        tables.markdown_table(table.columns, table.rows),
        f"{_scored(chosen, split)}\n",
        f"Settings: {markdown(settings)}. {versions}.\n",
        files,
        "## Photos\n\nWhite: the objects; green: a predicted box that is right; red: one that is wrong.\n\n"
        f"![boxes]({layout.BOXED_PHOTOS})\n",
    ]
    write_text(folder / tables.REPORT, "\n".join(text))
