"""Writes the Markdown report of an evaluation and its pictures."""

from pathlib import Path

from vgg_keras.evaluation import calibration, error_interval, figures, layout, reliability_diagram, tables
from vgg_keras.evaluation.figures import Captioned
from vgg_keras.evaluation.highlights import ClassErrors, FinishedEvaluation, Highlights
from vgg_keras.utils.display import errors_text, has_top5_error
from vgg_keras.utils.escaping import markdown, markdown_code
from vgg_keras.utils.files import write_text
from vgg_keras.utils.words import counted


def write(finished: FinishedEvaluation, shown: Highlights, folder: Path) -> Path:
    """Writes `report.md` and its pictures into a folder; returns the report's path.

    Args:
        finished: the evaluation.
        shown: what is shown of it besides the results.
        folder: the evaluation's folder.
    """
    (folder / layout.PICTURES).mkdir(exist_ok=True)
    parts = [
        _overview(finished),
        _classes(shown.classes, folder),
        _calibration(shown, folder),
        _mistakes(shown, folder),
        _maps(shown, folder),
    ]
    write_text(folder / tables.REPORT, "\n".join(part for part in parts if part))
    return folder / tables.REPORT


def _overview(finished: FinishedEvaluation) -> str:
    record = finished.record
    last, num_classes = record["results"][-1], record["images"]["num_classes"]
    errors = errors_text(last["top1_error"], last["top5_error"], num_classes)
    counts = [last["top1_mistakes"], *([last["top5_mistakes"]] if has_top5_error(num_classes) else [])]
    mistakes = " and ".join(f"{count:,}" for count in counts)
    title = f"{' + '.join(last['nets'])} on {record['images']['data_set']}, {record['images']['split']}"
    table = tables.results_table(record)
    lines = [
        f"# {markdown(title)}\n",
        f"**{errors.capitalize()}** ({mistakes} mistakes in {counted(last['num_images'], 'image')}), "
        f"mean cross-entropy {last['loss']:.4f}. The top-1 error's 95% interval is {error_interval.text(last)}.\n",
        tables.markdown_table(table.columns, table.rows),
    ]
    settings = ", ".join(f"{name} {value}" for name, value in record["settings"].items())
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    models = "".join(
        f"- {markdown_code(model['path'])} (SHA-256 {model['sha256'][:16]}…)\n" for model in record["models"]
    )
    lines += [
        f"Settings: {markdown(settings)}. {versions}; {record['devices']}.\n",
        models,
    ]
    return "\n".join(line for line in lines if line)


def _classes(found: ClassErrors, folder: Path) -> str:
    figures.save(figures.errors_by_class(found.names, found.errors, found.mean), folder / layout.ERRORS_BY_CLASS)
    figure = figures.confusion_matrix(found.counts, found.row_names, found.column_names)
    figures.save(figure, folder / layout.CONFUSION_MATRIX)
    table = tables.markdown_table(found.table.columns, found.table.rows)
    return (
        f"## Error by class{found.note}\n\n{table}\n![error by class]({layout.ERRORS_BY_CLASS})\n\n"
        f"## Confusion matrix{found.note}\n\n![confusion matrix]({layout.CONFUSION_MATRIX})\n"
    )


def _calibration(shown: Highlights, folder: Path) -> str:
    if shown.calibration is None:
        return ""
    found = shown.calibration
    figures.save(reliability_diagram.draw(calibration.measured(found)), folder / layout.RELIABILITY)
    table = calibration.table(found)
    text = f"{tables.markdown_table(table.columns, table.rows)}\n{calibration.text(found)}"
    return f"## Calibration\n\n{text}\n\n![reliability diagram]({layout.RELIABILITY})\n"


def _mistakes(shown: Highlights, folder: Path) -> str:
    if not shown.mistakes:
        return "## Most confident mistakes\n\nThere are no mistakes.\n"
    pictures = [Captioned(shown.thumbnails[index], "\n".join(shown.captions[index])) for index in shown.mistakes]
    figures.save(figures.gallery(pictures), folder / layout.MISTAKEN_PHOTOS)
    return (
        "## Most confident mistakes\n\nIndex, file, true class and predicted class, each with its posterior.\n\n"
        f"![most confident mistakes]({layout.MISTAKEN_PHOTOS})\n"
    )


def _maps(shown: Highlights, folder: Path) -> str:
    if not shown.maps:
        return f"## Class-score maps\n\n{shown.maps_text}\n"
    figures.save(figures.class_score_maps(shown.maps), folder / layout.SCORE_MAPS)
    return f"## Class-score maps\n\n{shown.maps_text}\n\n![class-score maps]({layout.SCORE_MAPS})\n"
