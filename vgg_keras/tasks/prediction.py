"""Classifies photos, and writes their labels as a table, CSV, JSON and pictures."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from vgg_keras.data import photo_files
from vgg_keras.data.photo_decoding import BadImage
from vgg_keras.evaluation import figures
from vgg_keras.inference.loading import load_for_inference, own_method
from vgg_keras.inference.predictions import Label, Prediction, best_labels
from vgg_keras.inference.predictor import Predictor
from vgg_keras.tasks.options import PredictOptions
from vgg_keras.utils import console, files
from vgg_keras.utils.display import ShownTable
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.escaping import csv_text, storable, visible
from vgg_keras.utils.paths import require_separate

# Number of labels whose class-score maps are drawn, side by side.
_MAPPED_LABELS = 2
# Length in bytes to which a photo's name is cut for the names of its pictures, which are longer than the photo's.
_MAX_STEM = 150


def map_figure(predictor: Predictor, file: str, photo: np.ndarray, labels: Sequence[Label]) -> Figure:
    """Draws the class-score maps of some labels over a photo.

    Args:
        predictor: predictor with the model.
        file: file of the photo.
        photo: (H, W, 3) uint8.
        labels: classes whose maps are drawn.

    Raises:
        UserError: the model cannot be made fully convolutional.
    """
    shown = [(label.index, label.name, label.posterior) for label in labels]
    return figures.class_score_maps([figures.map_photo(predictor.maps, photo, Path(file).name, shown)])


def predictions(
    predictor: Predictor, names: Sequence[str], paths: Sequence[Path], options: PredictOptions
) -> Iterator[Prediction]:
    """Yields the labels of each photo that can be read, and reports the others on stderr.

    Args:
        predictor: predictor with the model.
        names: label names in the order of the class indices.
        paths: files of the photos.
        options: flags of the verb.
    """
    with console.progress_bar("photos", len(paths), " photos", leave=False) as bar:
        for index, path in enumerate(paths):
            try:
                photo = photo_files.read(path)
                posteriors = predictor.posteriors(photo)
            except (BadImage, OSError) as error:
                console.warn(f"{path}: {error}")
            else:
                labels = best_labels(posteriors, names, max(options.top, _MAPPED_LABELS))
                prediction = Prediction(storable(str(path)), labels[: options.top])
                if options.output_dir:
                    annotated, *maps = pictures(options, index, path)
                    photo_files.write(photo_files.annotate(photo, prediction.lines()), annotated)
                    for map_path in maps:
                        figure = map_figure(predictor, prediction.file, photo, labels[:_MAPPED_LABELS])
                        figures.save(figure, map_path)
                yield prediction
            bar.update()


def pictures(options: PredictOptions, index: int, path: Path) -> list[Path]:
    """Returns the pictures that are written of a photo: itself with its labels on it, and its class-score maps.

    Args:
        options: flags of the verb.
        index: index of the photo, which keeps apart photos of the same name from several folders.
        path: file of the photo.
    """
    stem = visible(path.stem).encode()[:_MAX_STEM].decode(errors="ignore")
    endings = [".jpg", *(["_class_score_map.png"] if options.class_score_maps else [])]
    folder = Path(options.output_dir)
    return [folder / os.fsdecode(f"{index:05}_{stem}{ending}".encode()) for ending in endings]


def require_outputs_apart(options: PredictOptions, photos: Sequence[Path]) -> None:
    """Checks that no file that is written is an input, or another one that is written, and that each can be written.

    Raises:
        UserError: one is, or cannot.
    """
    shown = photos if options.output_dir else ()
    drawn = [path for index, photo in enumerate(shown) for path in pictures(options, index, photo)]
    written = [*options.output_files(), *(("output_dir", path) for path in drawn)]
    require_separate(written, [*photos, *options.input_files(), *options.flagfiles])
    for path in drawn:
        files.require_file(path)


def to_csv(found: Sequence[Prediction]) -> str:
    """Returns a CSV with a line for each label of each photo."""
    rows = (
        (prediction.file, rank, label.name, label.index, f"{label.posterior:.6g}")
        for prediction in found
        for rank, label in enumerate(prediction.labels, start=1)
    )
    return csv_text(("file", "rank", "label", "index", "posterior"), rows)


def to_json(found: Sequence[Prediction]) -> str:
    """Returns a JSON list of photos, each with its labels."""
    content = [
        {
            "file": prediction.file,
            "labels": [
                {"label": label.name, "index": label.index, "posterior": label.posterior} for label in prediction.labels
            ],
        }
        for prediction in found
    ]
    return json.dumps(content, indent=2) + "\n"


def table(found: Sequence[Prediction]) -> ShownTable:
    """Returns a table with a row for each photo."""
    return ShownTable("", ("photo", "labels and posteriors"), [(one.file, ", ".join(one.lines())) for one in found])


def predict(options: PredictOptions) -> None:
    """Finds the photos, classifies them, and writes and prints the labels.

    Raises:
        UserError: the flags, the model or the label names cannot be used, or, at the end, a photo could not be used.
    """
    if not options.paths:
        raise UserError("name photos: files, folders or globs, after the flags")
    if options.class_score_maps and not options.output_dir:
        raise UserError("--class_score_maps needs --output_dir, where the pictures go")
    paths = photo_files.find(options.paths)
    require_outputs_apart(options, paths)
    model = Path(options.model)
    protocol = options.protocol().of_models({model: own_method(model)})
    predictor = Predictor(load_for_inference(model, protocol), protocol, options.batch_size)
    names = predictor.model.label_names
    if options.output_dir:
        Path(options.output_dir).mkdir(parents=True, exist_ok=True)
    found = list(predictions(predictor, names, paths, options))
    for path, text in ((options.csv, to_csv(found)), (options.json, to_json(found))):
        if path:
            files.write_output(Path(path), text)
    console.say_table(table(found))
    if len(found) < len(paths):
        raise UserError(f"{len(paths) - len(found)} of {len(paths)} photos cannot be used (listed above)")
