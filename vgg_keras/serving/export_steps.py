"""Holds the steps that the exports of classifiers and of localizers share."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from vgg_keras.data.labels import CLASS_INDICES, CLASS_NAMES, LABEL_NAMES, label_files, label_lines
from vgg_keras.data.photo_decoding import BadImage
from vgg_keras.serving import export_record, model_card, versions
from vgg_keras.serving.check_photos import decode_as_served
from vgg_keras.serving.export_record import MAIN_FILE
from vgg_keras.serving.questions import Question
from vgg_keras.utils import console, files, keras_compat, side_files
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.paths import without_wildcards

_BATCH = 8


class Servable(Protocol):
    """A module that is saved as a SavedModel."""

    def signatures(self) -> dict[str, Callable]:
        """Returns the signatures' functions by their names in the SavedModel."""


def save(
    folder: Path, class_names: Sequence[str], label_names: Sequence[str], make_servable: Callable[[Path], Servable]
) -> None:
    """Writes a SavedModel, its label names and its class indices into a folder.

    Args:
        folder: the version's folder.
        class_names: unique names of the classes; empty if they are unknown.
        label_names: human-readable names in the same order.
        make_servable: function from a text file with a label name in each line, an asset of the module, to the module.

    Raises:
        UserError: the model cannot be made fully convolutional.
    """
    labels = folder / versions.EXTRA / LABEL_NAMES
    files.write_text(labels, label_lines(label_names))
    servable = make_servable(labels)
    tf.saved_model.save(servable, str(folder), signatures=servable.signatures())
    # TensorFlow has copied the file to assets/, so this one is no longer needed.
    labels.unlink()
    write_names(folder, class_names, label_names)


def write_names(folder: Path, class_names: Sequence[str], label_names: Sequence[str]) -> None:
    """Writes the indices of a version's classes for programs.

    Args:
        folder: the version's folder.
        class_names: unique names of the classes; empty if they are unknown, and then nothing is written.
        label_names: human-readable names in the same order.
    """
    if class_names:
        texts = label_files(class_names, label_names)
        for name in (CLASS_INDICES, CLASS_NAMES):
            files.write_text(folder / versions.EXTRA / name, texts[name])


def load_signatures(folder: Path) -> Mapping[str, Callable]:
    """Loads a SavedModel, and returns its signatures by name."""
    with without_wildcards(folder) as plain:
        return tf.saved_model.load(str(plain)).signatures


def source_answers(answer: Callable[[np.ndarray], np.ndarray], photos: Sequence[bytes]) -> np.ndarray:
    """Computes the source model's answers to encoded photos; (N, ...).

    Args:
        answer: function from a photo, (H, W, 3) uint8, to the source model's answer.
        photos: encoded photos.

    Raises:
        UserError: a photo is so long and thin that, rescaled, it would not fit into memory.
    """
    with console.progress_bar("trained model", len(photos), " photos", leave=False) as bar:
        rows = []
        for number, photo in enumerate(photos, start=1):
            try:
                rows.append(answer(decode_as_served(photo)))
            except BadImage as error:
                raise UserError(f"photo {number} of the {len(photos)} to check the export on {error}") from error
            bar.update()
    return np.stack(rows)


def exported_answers(signatures: Mapping[str, Callable], question: Question, photos: Sequence[bytes]) -> np.ndarray:
    """Computes the exported model's answers to encoded photos, several in a request; (N, ...)."""
    answers = []
    with console.progress_bar("exported model", len(photos), " photos", leave=False) as bar:
        for start in range(0, len(photos), _BATCH):
            batch = photos[start : start + _BATCH]
            answers.append(signatures[question.signature](image_bytes=tf.constant(batch))[question.output].numpy())
            bar.update(len(batch))
    return np.concatenate(answers)


def describe(folder: Path, record: Mapping[str, Any], run: Path) -> None:
    """Writes the description of a version: export.json for programs, the model card for people.

    Args:
        folder: the version's folder.
        record: what is known of the model and its export; the versions of packages and the checksums are added.
        run: folder of the source model.

    Raises:
        UserError: the run's record is damaged.
    """
    assets = sorted(str(path.relative_to(folder)) for path in (folder / "assets").iterdir())
    whole = write_record(folder, record, [MAIN_FILE, *assets])
    files.write_text(folder / versions.EXTRA / model_card.FILE, model_card.text(whole, run))


def write_record(folder: Path, record: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Writes export.json, and returns what it holds: the record, the versions of packages, and checksums of files.

    Args:
        folder: the version's folder.
        record: what is known of the model and its export.
        names: names of the files that are read without a checksum of their own.
    """
    whole = {
        **record,
        "turned_upright": True,
        "versions": keras_compat.package_versions(),
        "files": {name: files.describe(folder / name) for name in names},
    }
    side_files.write_json(export_record.path(folder), whole)
    return whole
