"""Writes the Markdown report of an evaluation and its pictures."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from vgg_keras.data import transforms
from vgg_keras.data.manifest import SplitManifest
from vgg_keras.data.shards import broken_records
from vgg_keras.evaluation import figures, layout, results, tables
from vgg_keras.evaluation.evaluator import Evaluable
from vgg_keras.evaluation.figures import Captioned, MappedPhoto
from vgg_keras.inference.loading import EvaluatedModel
from vgg_keras.inference.protocol import POSTERIORS
from vgg_keras.inference.score_maps import PosteriorMaps
from vgg_keras.models import fully_convolutional
from vgg_keras.utils.display import errors_text, has_top5_error
from vgg_keras.utils.escaping import markdown, markdown_code, visible
from vgg_keras.utils.files import write_text
from vgg_keras.utils.words import counted

# Pictures show all classes up to this number; of more classes, only the worst.
_MAX_CLASSES = 20
_MAX_MISTAKES = 16
_MAX_MAPS = 6
_MAX_CAPTION = 24


@dataclasses.dataclass(frozen=True)
class FinishedEvaluation:
    """A finished evaluation, with everything that its report shows.

    Attributes:
        record: content of `evaluation.json`.
        posteriors: (N, classes) float32, those of the last result.
        manifest: the images.
        models: the models, or their saved posteriors.
    """

    record: dict
    posteriors: np.ndarray
    manifest: SplitManifest
    models: Sequence[Evaluable]


def write(finished: FinishedEvaluation, folder: Path) -> Path:
    """Writes `report.md` and its pictures into a folder; returns the report's path.

    Raises:
        UserError: a record cannot be read.
    """
    (folder / layout.PICTURES).mkdir(exist_ok=True)
    mistakes, mapped = _most_confident_mistakes(finished), _shown_in_maps(finished)
    # The records are read once for all pictures.
    photos = dict(decoded_photos(finished.manifest, {*mistakes, *mapped}))
    parts = [_overview(finished), _classes(finished, folder)]
    parts += [_mistakes(finished, folder, mistakes, photos), _maps(finished, folder, mapped, photos)]
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
        f"mean cross-entropy {last['loss']:.4f}.\n",
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


def _worst(finished: FinishedEvaluation) -> list[int]:
    """Returns the indices of the classes with the highest top-1 error, worst first, as many as a picture can show."""
    classes = finished.record["classes"]
    seen = [index for index, entry in enumerate(classes) if entry["images"]]
    return sorted(seen, key=lambda index: -classes[index]["top1_error"])[:_MAX_CLASSES]


def _classes(finished: FinishedEvaluation, folder: Path) -> str:
    classes = finished.record["classes"]
    worst = _worst(finished)
    names = [entry["name"] for entry in classes]
    mean = finished.record["results"][-1]["top1_error"]
    figure = figures.errors_by_class(
        [names[index] for index in worst], [classes[index]["top1_error"] for index in worst], mean
    )
    figures.save(figure, folder / layout.ERRORS_BY_CLASS)
    shown = "" if len(classes) <= _MAX_CLASSES else f" (the worst {len(worst)} of {len(classes):,})"
    counts, column_names = _shown_counts(finished, sorted(worst), names)
    figure = figures.confusion_matrix(counts, [names[index] for index in sorted(worst)], column_names)
    figures.save(figure, folder / layout.CONFUSION_MATRIX)
    columns = ("class", "images", tables.TOP1, tables.TOP5, "most often taken for")
    rows = [_class_row(finished, index) for index in worst]
    table = tables.markdown_table(*tables.without_empty_top5(columns, rows, len(classes)))
    return (
        f"## Error by class{shown}\n\n{table}\n![error by class]({layout.ERRORS_BY_CLASS})\n\n"
        f"## Confusion matrix{shown}\n\n![confusion matrix]({layout.CONFUSION_MATRIX})\n"
    )


def _shown_counts(
    finished: FinishedEvaluation, rows: Sequence[int], names: Sequence[str]
) -> tuple[np.ndarray, list[str]]:
    """Returns the counts of the shown classes and the names of the columns; the last sums up all "others", if any."""
    matrix = results.confusion_matrix(finished.posteriors, finished.manifest.labels)[rows]
    counts, column_names = matrix[:, rows], [names[index] for index in rows]
    others = matrix.sum(axis=1) - counts.sum(axis=1)
    if len(rows) == len(names):
        return counts, column_names
    return np.column_stack([counts, others]), [*column_names, "others"]


def _class_row(finished: FinishedEvaluation, index: int) -> list[str]:
    entry = finished.record["classes"][index]
    given = finished.posteriors[finished.manifest.labels == index].argmax(axis=1)
    counts = np.bincount(given, minlength=finished.posteriors.shape[1])
    counts[index] = 0
    often = f"{finished.record['classes'][counts.argmax()]['name']} ({counts.max()})" if counts.any() else ""
    errors = (f"{entry[key]:.2f}" for key in ("top1_error", "top5_error"))
    return [entry["name"], f"{entry['images']:,}", *errors, often]


def _most_confident_mistakes(finished: FinishedEvaluation) -> list[int]:
    wrong = finished.posteriors.argmax(axis=1) != finished.manifest.labels
    confidence = np.where(wrong, finished.posteriors.max(axis=1), -1.0)
    return np.argsort(-confidence, kind="stable")[: min(_MAX_MISTAKES, int(wrong.sum()))].tolist()


def _caption(finished: FinishedEvaluation, index: int) -> str:
    names, row = finished.manifest.data.label_names, finished.posteriors[index]
    label, given = finished.manifest.labels[index], row.argmax()
    name = Path(visible(finished.manifest.names[index])).name
    lines = [f"#{index} {name if len(name) <= _MAX_CAPTION else '…' + name[1 - _MAX_CAPTION :]}"]
    lines.append(f"is {names[label][:_MAX_CAPTION]}, {row[label]:.2f}")
    lines.append(f"taken for {names[given][:_MAX_CAPTION]}, {row[given]:.2f}" if given != label else "recognized")
    return "\n".join(lines)


def decoded_photos(manifest: SplitManifest, chosen: Collection[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Yields (index, decoded image) for the chosen images, in the order of the records."""
    wanted = np.zeros(len(manifest), bool)
    wanted[list(chosen)] = True
    dataset = manifest.data.encoded(manifest.split).take(len(wanted)).enumerate()
    with broken_records(manifest.data):
        for index, example in dataset.filter(lambda index, _: tf.gather(wanted, index)):
            yield int(index), transforms.decode(example["image_bytes"]).numpy()


def _mistakes(
    finished: FinishedEvaluation, folder: Path, chosen: Sequence[int], photos: Mapping[int, np.ndarray]
) -> str:
    if not chosen:
        return "## Most confident mistakes\n\nThere are no mistakes.\n"
    pictures = [Captioned(figures.thumbnail(photos[index]), _caption(finished, index)) for index in chosen]
    figures.save(figures.gallery(pictures), folder / layout.MISTAKEN_PHOTOS)
    return (
        "## Most confident mistakes\n\nIndex, file, true class and predicted class, each with its posterior.\n\n"
        f"![most confident mistakes]({layout.MISTAKEN_PHOTOS})\n"
    )


def _shown_in_maps(finished: FinishedEvaluation) -> list[int]:
    """Returns the indices of images for class-score maps: half confident mistakes, half confident right answers."""
    right = finished.posteriors.argmax(axis=1) == finished.manifest.labels
    surest = np.argsort(-np.where(right, finished.posteriors.max(axis=1), -1.0), kind="stable")[: int(right.sum())]
    wrong = _most_confident_mistakes(finished)[: _MAX_MAPS // 2]
    return [*wrong, *surest[: _MAX_MAPS - len(wrong)].tolist()]


def _maps(finished: FinishedEvaluation, folder: Path, chosen: Sequence[int], photos: Mapping[int, np.ndarray]) -> str:
    """Draws class-score maps with the first model that was loaded; saved posteriors hold none. Returns the section."""
    model = next((model for model in finished.models if isinstance(model, EvaluatedModel)), None)
    if model is None:
        return "## Class-score maps\n\nNot drawn: saved posteriors were evaluated, which hold no maps.\n"
    reason = fully_convolutional.why_not_convertible(model.net)
    if reason:
        return f"## Class-score maps\n\nNot drawn: {reason}.\n"
    settings = finished.record["settings"]
    net = fully_convolutional.convert(model.net)
    maps = PosteriorMaps(net, model.test_scales, model.input_size, flip=settings["flip"])
    mapped = [_mapped(finished, maps, index, photos[index]) for index in chosen]
    figures.save(figures.class_score_maps(mapped), folder / layout.SCORE_MAPS)
    return f"## Class-score maps\n\n{_maps_text(model, settings)}\n\n![class-score maps]({layout.SCORE_MAPS})\n"


def _maps_text(model: EvaluatedModel, settings: Mapping) -> str:
    """Returns the explanation of the class-score maps."""
    scales = ", ".join(map(str, model.test_scales)) + (", with mirror images" if settings["flip"] else "")
    text = (
        f"Net {model.trained.net} on whole photos at Q = {scales}. Each position of the map gives its softmax to the "
        f"centre of the {model.input_size}x{model.input_size} pixels that it looks at. The values are interpolated "
        "between the centres, extended to the borders, and averaged over the scales and mirror images. Beside each "
        "photo are the predicted class and the true one, or, where they are the same, the two best."
    )
    if settings["average"] == POSTERIORS:
        return text
    return f"{text} The posteriors in the titles come from the mean of the positions' scores, not of their softmax."


def _mapped(finished: FinishedEvaluation, maps: PosteriorMaps, index: int, photo: np.ndarray) -> MappedPhoto:
    names, row = finished.manifest.data.label_names, finished.posteriors[index]
    best = np.argsort(-row, kind="stable").tolist()
    # The predicted class, the true one, and the second best: each once, and the first two of them.
    classes = list(dict.fromkeys((best[0], int(finished.manifest.labels[index]), *best[1:2])))[:2]
    return figures.map_photo(maps, photo, _caption(finished, index), [(one, names[one], row[one]) for one in classes])
