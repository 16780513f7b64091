"""Classifies photos, finds objects on them, and writes labels and boxes as a table, CSV, JSON and pictures."""

import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from vgg_keras.data import photo_files
from vgg_keras.data.photo_decoding import BadImage
from vgg_keras.data.pixel_boxes import PixelBox
from vgg_keras.evaluation import figures
from vgg_keras.inference.loading import load_for_inference, own_method
from vgg_keras.inference.localizer import Localizer
from vgg_keras.inference.object_finder import ObjectFinder
from vgg_keras.inference.predictions import Label, LocatedLabel, Prediction, best_labels
from vgg_keras.inference.predictor import Predictor
from vgg_keras.inference.protocol import DENSE, OWN
from vgg_keras.models.preparation import SQUASH
from vgg_keras.tasks.options import PredictOptions
from vgg_keras.tasks.shared_options import require_defaults
from vgg_keras.utils import console, files
from vgg_keras.utils.display import ShownTable
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.escaping import csv_text, storable, visible
from vgg_keras.utils.paths import require_separate

# Number of labels whose class-score maps or explanations are drawn, side by side.
_DRAWN_LABELS = 2
_SCORE_MAP = "_class_score_map.png"
# Flags that have no meaning for a localizer, which is shown whole photos, without mirror images.
_CLASSIFIER_FLAGS = ("average", "flip", "class_score_maps", "explain")
_COLUMNS = ("file", "rank", "label", "index", "posterior")
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


# A function from a photo, (H, W, 3) uint8, to its labels, the likeliest first.
Labeller = Callable[[np.ndarray], Sequence[Label]]
# A function from the file of a photo, the photo and its labels to a picture of what the net sees in it.
Drawer = Callable[[str, np.ndarray, Sequence[Label]], Figure]


def explanation_figure(
    predictor: Predictor, method: str, file: str, photo: np.ndarray, labels: Sequence[Label]
) -> Figure:
    """Draws which places of a photo speak for some labels.

    Args:
        predictor: predictor with the model.
        method: one of `protocol.EXPLANATIONS`.
        file: file of the photo.
        photo: (H, W, 3) uint8.
        labels: the classes.

    Raises:
        UserError: the model cannot be made fully convolutional.
    """
    explained = [(f"{label}, {method}", predictor.explainer(photo, label.index, method)) for label in labels]
    return figures.explanation(Path(file).name, photo, explained)


def make_classifier(options: PredictOptions) -> tuple[Labeller, dict[str, Drawer]]:
    """Loads a net that classifies photos.

    Returns:
        The function that labels a photo, and those that draw pictures of it, by the ends of the pictures' names.

    Raises:
        UserError: the model cannot be used in the way that the flags ask for.
    """
    model = Path(options.model)
    protocol = options.protocol().of_models({model: own_method(model)})
    predictor = Predictor(load_for_inference(model, protocol), protocol, options.batch_size)
    count = max(options.top, _DRAWN_LABELS)
    drawers: dict[str, Drawer] = {
        _SCORE_MAP: functools.partial(map_figure, predictor),
        _explained(options): functools.partial(explanation_figure, predictor, options.explain),
    }
    return lambda photo: best_labels(predictor.posteriors(photo), predictor.model.label_names, count), drawers


def _explained(options: PredictOptions) -> str:
    """Returns the end of the names of the pictures that explain labels."""
    return f"_{options.explain}.png"


def make_finder(options: PredictOptions) -> Labeller:
    """Loads a net that predicts boxes, and the one that classifies what is inside them.

    Raises:
        UserError: a model cannot be used, or a flag is for classifiers alone.
    """
    require_defaults(options, _CLASSIFIER_FLAGS)
    model = Path(options.model)
    if options.method not in (OWN, DENSE, SQUASH):
        raise UserError(
            f"--method={options.method} is not for {model}, which predicts boxes; it is {DENSE} or {SQUASH}"
        )
    localizer = Localizer.load(model, options.protocol().of_models({model: own_method(model)}))
    finder = ObjectFinder(localizer, Path(options.classifier), options.batch_size)
    return lambda photo: finder(photo, options.top)


def predictions(
    label: Labeller, drawers: Mapping[str, Drawer], paths: Sequence[Path], options: PredictOptions
) -> Iterator[Prediction]:
    """Yields the labels of each photo that can be read, and reports the others on stderr.

    Args:
        label: the function that labels a photo.
        drawers: the functions that draw further pictures of a photo, by the ends of the pictures' names.
        paths: files of the photos.
        options: flags of the verb.
    """
    with console.progress_bar("photos", len(paths), " photos", leave=False) as bar:
        for index, path in enumerate(paths):
            try:
                photo = photo_files.read(path)
                labels = label(photo)
            except (BadImage, OSError) as error:
                console.warn(f"{path}: {error}")
            else:
                prediction = Prediction(storable(str(path)), labels[: options.top])
                if options.output_dir:
                    annotated, *drawn = pictures(options, index, path)
                    photo_files.write(photo_files.annotate(photo, prediction.lines(), _box(prediction.best)), annotated)
                    for ending, drawn_path in zip(_endings(options), drawn, strict=True):
                        figures.save(drawers[ending](prediction.file, photo, labels[:_DRAWN_LABELS]), drawn_path)
                yield prediction
            bar.update()


def _box(label: Label) -> PixelBox | None:
    return label.box if isinstance(label, LocatedLabel) else None


def pictures(options: PredictOptions, index: int, path: Path) -> list[Path]:
    """Returns the pictures that are written of a photo: itself with its labels on it, and those that are asked for.

    Args:
        options: flags of the verb.
        index: index of the photo, which keeps apart photos of the same name from several folders.
        path: file of the photo.
    """
    stem = visible(path.stem).encode()[:_MAX_STEM].decode(errors="ignore")
    folder = Path(options.output_dir)
    return [folder / os.fsdecode(f"{index:05}_{stem}{ending}".encode()) for ending in (".jpg", *_endings(options))]


def _endings(options: PredictOptions) -> list[str]:
    """Returns the ends of the names of the pictures that are drawn of a photo beside the photo itself."""
    return [*([_SCORE_MAP] if options.class_score_maps else []), *([_explained(options)] if options.explain else [])]


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


def to_csv(found: Sequence[Prediction], *, boxed: bool) -> str:
    """Returns a CSV with a line for each label of each photo, and the sides of its box if the labels have boxes."""
    rows = [
        (prediction.file, rank, label.name, label.index, f"{label.posterior:.6g}", *(_box(label) or ()))
        for prediction in found
        for rank, label in enumerate(prediction.labels, start=1)
    ]
    return csv_text((*_COLUMNS, *(PixelBox._fields if boxed else ())), rows)


def to_json(found: Sequence[Prediction]) -> str:
    """Returns a JSON list of photos, each with its labels, and their boxes if they have any."""

    def described(label: Label) -> dict:
        box = _box(label)
        boxed = {"box": box._asdict()} if box else {}
        return {"label": label.name, "index": label.index, "posterior": label.posterior, **boxed}

    content = [
        {"file": prediction.file, "labels": [described(label) for label in prediction.labels]} for prediction in found
    ]
    return json.dumps(content, indent=2) + "\n"


def table(found: Sequence[Prediction]) -> ShownTable:
    """Returns a table with a row for each photo, and the box of its best label if it has one."""
    boxes = [_box(one.best) for one in found]
    columns = ("photo", "labels and posteriors", *([f"best box: {', '.join(PixelBox._fields)}"] if any(boxes) else []))
    rows = [
        (one.file, ", ".join(one.lines()), *([", ".join(map(str, box))] if box else []))
        for one, box in zip(found, boxes, strict=True)
    ]
    return ShownTable("", columns, rows)


def predict(options: PredictOptions) -> None:
    """Finds the photos, labels them, and writes and prints the labels.

    Raises:
        UserError: the flags, the model or the label names cannot be used, or, at the end, a photo could not be used.
    """
    if not options.paths:
        raise UserError("name photos: files, folders or globs, after the flags")
    drawing = "--class_score_maps" if options.class_score_maps else f"--explain={options.explain}"
    if _endings(options) and not options.output_dir:
        raise UserError(f"{drawing} needs --output_dir, where the pictures go")
    paths = photo_files.find(options.paths)
    require_outputs_apart(options, paths)
    label, drawers = (make_finder(options), {}) if options.classifier else make_classifier(options)
    if options.output_dir:
        Path(options.output_dir).mkdir(parents=True, exist_ok=True)
    found = list(predictions(label, drawers, paths, options))
    for path, text in ((options.csv, to_csv(found, boxed=bool(options.classifier))), (options.json, to_json(found))):
        if path:
            files.write_output(Path(path), text)
    console.say_table(table(found))
    written = [str(path) for path in (options.output_dir, options.csv, options.json) if path]
    if written:
        console.say(f"written: {', '.join(written)}")
    if len(found) < len(paths):
        raise UserError(f"{len(paths) - len(found)} of {len(paths)} photos cannot be used (listed above)")
