"""A trained model as a versioned SavedModel for TensorFlow Serving, checked against its source before it gets its name.

VERSION/saved_model.pb, variables/    the graph with its signatures, and the weights
VERSION/assets/label_names.txt        one class a line
VERSION/assets.extra/                 what TensorFlow Serving does not load, or loads by itself:
    tf_serving_warmup_requests        real requests for each signature, with the source model's answers
    model_card.md                     what the model is, for people
    export.json                       the same for programs
    class_indices.json                class name -> index
"""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from vgg_keras.data import transforms
from vgg_keras.data.labels import CLASS_INDICES, LABEL_NAMES
from vgg_keras.inference import loading
from vgg_keras.inference.loading import Protocol
from vgg_keras.inference.predictor import Predictor
from vgg_keras.serving import image_headers, model_card, versions, warmup
from vgg_keras.serving.agreement import TOLERANCES, Agreement
from vgg_keras.serving.preprocessing import RequestImages
from vgg_keras.serving.servable import CLASSIFY, DENSE_MAP, FEATURES, ServedAs, ServedModel
from vgg_keras.training import run_dir
from vgg_keras.utils import cli
from vgg_keras.utils.cli import UserError, reason

MAIN_FILE = "saved_model.pb"
EXTRA = "assets.extra"
RECORD = "export.json"
# Requests are real photos, but few: a server runs them all before it answers.
_WARM_UP_PHOTOS = 4
_BATCH = 8


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a model is exported.

    Attributes:
        protocol: how the served model looks at photos.
        precision: "float32" or "bfloat16", of weights and outputs of layers.
        top: how many class names a request gets.
        max_megapixels: larger images are refused, in million pixels.
    """

    protocol: Protocol = dataclasses.field(default_factory=Protocol)
    precision: str = "float32"
    top: int = 5
    max_megapixels: float = 100.0


def sample_photos(model_path: Path, check_images: str) -> list[bytes]:
    """Reads the photos on which an export is checked.

    Args:
        model_path: the model; its run's folder holds `samples/`.
        check_images: a folder or a glob of photos to take instead, or "".

    Returns:
        The encoded photos.

    Raises:
        UserError: there are none, or one does not decode.
    """
    if check_images:
        place = Path(check_images)
        found = place.iterdir() if place.is_dir() else place.parent.glob(place.name)
    else:
        found = (model_path.parent / "samples").glob("*")
    paths = sorted(path for path in found if path.is_file() and not path.name.startswith("."))
    if not paths:
        raise UserError(f"no photos to check the export on beside {model_path}; name some with --check_images=FOLDER")
    return [read_photo(path) for path in paths]


def read_photo(path: Path) -> bytes:
    """Reads an encoded photo.

    Raises:
        UserError: it does not decode.
    """
    photo = path.read_bytes()
    try:
        if int(image_headers.declared_pixels(photo, 0)) == 0:
            raise UserError(f"{path} does not decode: it is no JPEG, PNG, GIF or BMP, which is what a server takes")
        transforms.decode(photo)
    except tf.errors.InvalidArgumentError as error:
        raise UserError(f"{path} does not decode: {reason(error)}") from error
    return photo


def export(model_path: Path, output_dir: Path, photos: Sequence[bytes], plan: Plan | None = None) -> Path:
    """Writes a model as the next version below a folder, in the layout that TensorFlow Serving watches.

    The version is written under a name that no server loads, loaded again, compared with the source, then renamed.

    Args:
        model_path: a `.keras` file.
        output_dir: the folder of versions.
        photos: encoded, what the two are compared on.
        plan: how; None: the defaults.

    Returns:
        The version's folder.

    Raises:
        UserError: the model cannot be converted, or the reloaded one does not agree with it.
    """
    plan = plan or Plan()
    predictor = Predictor(loading.inspect(str(model_path), plan.protocol), plan.protocol)
    with versions.new_version(output_dir, MAIN_FILE) as folder:
        (folder / EXTRA).mkdir()
        save(predictor, plan, folder)
        expected = source_posteriors(predictor, photos)
        agreement = check_agreement(folder, predictor, photos, expected, TOLERANCES[plan.precision])
        print(f"the exported model against the trained one: {agreement}")
        warmup.write(folder, output_dir.resolve().name, _warm_up_requests(predictor, plan, photos, expected))
        _describe(predictor, plan, agreement, folder, output_dir.resolve().name)
    return versions.newest(output_dir)


def save(predictor: Predictor, plan: Plan, folder: Path) -> None:
    """Writes the SavedModel and its label names into a folder."""
    model = predictor.model
    names = run_dir.read_label_names(model.path.parent, predictor.source.output_shape[-1])
    labels = folder / EXTRA / LABEL_NAMES
    run_dir.write_text(labels, "\n".join(names) + "\n")
    served = served_model(predictor, plan, labels)
    tf.saved_model.save(served, str(folder), signatures=served.signatures())
    # TensorFlow has made it an asset; one is enough.
    labels.unlink()
    if (model.path.parent / CLASS_INDICES).exists():
        shutil.copy(model.path.parent / CLASS_INDICES, folder / EXTRA / CLASS_INDICES)


def served_model(predictor: Predictor, plan: Plan, labels: Path) -> ServedModel:
    """Returns the module that is saved; `labels` is a file with a class name in each line."""
    images = RequestImages(
        plan.protocol.method,
        predictor.model.test_scales,
        predictor.model.input_size,
        round(plan.max_megapixels * 1e6),
    )
    served = ServedAs(images, plan.protocol.flips(), plan.protocol.average, plan.top, plan.precision)
    return ServedModel(predictor.source, served, labels)


def source_posteriors(predictor: Predictor, photos: Sequence[bytes]) -> np.ndarray:
    """Computes what the source model says of encoded photos; (N, classes) float64."""
    with cli.progress_bar("trained model", len(photos), " photos", leave=False) as bar:
        rows = []
        for photo in photos:
            rows.append(predictor.posteriors(transforms.decode(photo).numpy()))
            bar.update()
    return np.stack(rows)


def check_agreement(
    folder: Path, predictor: Predictor, photos: Sequence[bytes], expected: np.ndarray, tolerance: float
) -> Agreement:
    """Compares a SavedModel with the model that it was made of.

    Encoded photos, several a request, must get the posteriors that the source gives them; and decoded ones those of the
    mean over the class-score map.

    Args:
        folder: of the SavedModel.
        predictor: the source.
        photos: encoded.
        expected: (N, classes), what the source says of them.
        tolerance: largest difference in posterior that is allowed.

    Raises:
        UserError: they differ.
    """
    signatures = tf.saved_model.load(str(folder)).signatures
    answers = []
    with cli.progress_bar("exported model", len(photos), " photos", leave=False) as bar:
        for start in range(0, len(photos), _BATCH):
            batch = photos[start : start + _BATCH]
            answers.append(signatures[CLASSIFY](image_bytes=tf.constant(batch))["posterior"].numpy())
            bar.update(len(batch))
    agreement = Agreement.of(np.concatenate(answers), expected)
    image = _dense_image(predictor, photos[0])
    of_map = signatures[DENSE_MAP](images=image)["posterior"].numpy()
    dense = Agreement.of(of_map, predictor.map_posterior(image))
    largest = max(agreement.largest_difference, dense.largest_difference)
    # Written so that a NaN fails too.
    if not largest <= tolerance:
        raise UserError(
            f"the exported model differs from {predictor.source.name} by {largest:g} in posterior; nothing was exported"
        )
    return agreement


def _dense_image(predictor: Predictor, photo: bytes) -> np.ndarray:
    """Returns a photo as the signature `dense` takes it: (1, H, W, 3) float32, rescaled to the smallest Q."""
    return transforms.rescale(transforms.decode(photo), min(predictor.model.test_scales))[tf.newaxis].numpy()


def _warm_up_requests(
    predictor: Predictor, plan: Plan, photos: Sequence[bytes], expected: np.ndarray
) -> list[warmup.Request]:
    """Returns requests for each signature: photos alone, photos of mixed sizes together, and a decoded one."""
    photos, expected = photos[:_WARM_UP_PHOTOS], expected[:_WARM_UP_PHOTOS].astype(np.float32)
    together = warmup.encoded(photos)
    image = _dense_image(predictor, photos[0])
    alone = [
        warmup.Request(CLASSIFY, warmup.encoded([photo]), {"posterior": row[np.newaxis]})
        for photo, row in zip(photos, expected, strict=True)
    ]
    return [
        *alone,
        warmup.Request(CLASSIFY, together, {"posterior": expected}),
        warmup.Request(DENSE_MAP, {"images": image}, {"posterior": predictor.map_posterior(image)}),
        warmup.Request(FEATURES, together),
    ]


def _describe(predictor: Predictor, plan: Plan, agreement: Agreement, folder: Path, name: str) -> None:
    """Writes what the version is: for programs, and for people."""
    model = predictor.model
    record = {
        "name": name,
        "source": str(model.path.resolve()),
        "source_sha256": model.sha256,
        "net": model.trained.net,
        "train_scale": model.trained.train_scale,
        "num_classes": predictor.source.output_shape[-1],
        "num_parameters": predictor.source.count_params(),
        "input_size": model.input_size,
        "method": plan.protocol.method,
        "test_scales": list(model.test_scales),
        "flip": plan.protocol.flips(),
        "average": plan.protocol.average,
        "precision": plan.precision,
        "top": plan.top,
        "max_megapixels": plan.max_megapixels,
        "agreement": dataclasses.asdict(agreement),
        "agreement_text": str(agreement),
        "versions": run_dir.versions(),
    }
    run_dir.write_text(folder / EXTRA / RECORD, json.dumps(record, indent=2) + "\n")
    run_dir.write_text(folder / EXTRA / model_card.FILE, model_card.text(record, model.path.parent))
