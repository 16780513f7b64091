"""Exports a trained localizer as a versioned SavedModel for TensorFlow Serving, and checks it against its source.

The layout is that of `exporter`; the graph has the signature `boxes` alone.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vgg_keras.inference.loading import own_method
from vgg_keras.inference.localizer import KnownClassPredictor, Localizer
from vgg_keras.inference.protocol import CENTER_CROP, DENSE, TestProtocol
from vgg_keras.models.architectures import LOCALIZATION
from vgg_keras.models.preparation import SQUASH
from vgg_keras.serving import export_steps, versions, warmup
from vgg_keras.serving.agreement import TOLERANCES, BoxAgreement
from vgg_keras.serving.export_record import MAIN_FILE
from vgg_keras.serving.exporter import WARM_UP_PHOTOS, ExportConfig
from vgg_keras.serving.preprocessing import RequestPreprocessor
from vgg_keras.serving.questions import QUESTIONS
from vgg_keras.serving.served_localizer import ServedLocalizer
from vgg_keras.serving.warmup import WarmUpRequest
from vgg_keras.utils import files
from vgg_keras.utils.errors import UserError

_QUESTION = QUESTIONS[LOCALIZATION]


def export(
    model_path: Path,
    output_dir: Path,
    photos: Sequence[bytes],
    config: ExportConfig | None = None,
    *,
    flag: str = "output_dir",
) -> Path:
    """Writes a localizer as the next version below a folder, in the layout that TensorFlow Serving watches.

    Args:
        model_path: a `.keras` file.
        output_dir: folder of the model's versions.
        photos: encoded photos on which the exported model is compared with its source.
        config: settings of the export, of which the method (CENTER_CROP, SQUASH, or the model's own), the test scales,
            whether mirror images are averaged in, the precision and the largest size count; None: the defaults.
        flag: name of the flag that names the folder, for messages.

    Returns:
        The version's folder.

    Raises:
        UserError: the model is no localizer, or the exported model does not agree with it.
    """
    config = config or ExportConfig()
    method = config.protocol.method or (SQUASH if own_method(model_path) == SQUASH else CENTER_CROP)
    config = dataclasses.replace(config, protocol=dataclasses.replace(config.protocol, method=method))
    localizer = Localizer.load(model_path, config.protocol)
    with versions.new_version(output_dir, MAIN_FILE, flag) as folder:
        (folder / versions.EXTRA).mkdir()
        export_steps.save(
            folder,
            localizer.class_names,
            localizer.label_names,
            lambda labels: make_servable(localizer, config, labels),
        )
        expected = export_steps.source_answers(source_boxes(localizer, config.protocol), photos)
        agreement = check_agreement(folder, photos, expected, TOLERANCES[config.precision])
        name, requests = output_dir.resolve().name, warm_up_requests(photos, expected)
        warmup.write(folder, name, requests)
        record = {**describe(localizer, config, agreement), "name": name, "warm_up_requests": len(requests)}
        export_steps.describe(folder, record, localizer.path.parent)
    return versions.published(folder)


def source_boxes(localizer: Localizer, protocol: TestProtocol) -> Callable[[np.ndarray], np.ndarray]:
    """Returns the function from a photo, (H, W, 3) uint8, to the localizer's boxes, (n, 4), which the graph computes.

    It raises a BadImage if the photo is so long and thin that, rescaled, it would not fit into memory.
    """
    predictor = KnownClassPredictor(localizer)

    def boxes(photo: np.ndarray) -> np.ndarray:
        localizer.require_fits(photo)
        return predictor.boxes(photo, flip=protocol.flips())

    return boxes


def make_servable(localizer: Localizer, config: ExportConfig, labels: Path) -> ServedLocalizer:
    """Returns the module to save as a SavedModel.

    Args:
        localizer: the source model.
        config: settings of the export.
        labels: text file with a label name in each line.
    """
    pixels = round(config.max_megapixels * 1e6)
    # Whole images: to tell where in a photo the crop is, the graph needs the photo's size. A squashed photo is its own
    # crop.
    method = SQUASH if localizer.squashes else DENSE
    preprocessor = RequestPreprocessor(method, localizer.test_scales, localizer.input_size, pixels)
    return ServedLocalizer(localizer.net, preprocessor, labels, config.precision, flip=config.protocol.flips())


def check_agreement(folder: Path, photos: Sequence[bytes], expected: np.ndarray, tolerance: float) -> BoxAgreement:
    """Compares a SavedModel with its source model.

    Args:
        folder: folder of the SavedModel.
        photos: encoded photos.
        expected: (N, n, 4), the source model's boxes.
        tolerance: largest difference of a side, relative to the photo, that is allowed.

    Raises:
        UserError: a side of a box differs by more than the tolerance.
    """
    answers = export_steps.exported_answers(export_steps.load_signatures(folder), _QUESTION, photos)
    agreement = BoxAgreement.measure(answers, expected)
    # Negated, so that a NaN fails too.
    if not agreement.largest_difference <= tolerance:
        raise UserError(
            f"a side of a box of the exported model differs by {agreement.largest_difference:g} of the photo from the "
            "trained one's; nothing was exported"
        )
    return agreement


def warm_up_requests(photos: Sequence[bytes], expected: np.ndarray) -> list[WarmUpRequest]:
    """Returns requests of photos alone, and of photos of mixed sizes together, with the source model's answers."""
    photos, rows = photos[:WARM_UP_PHOTOS], expected[:WARM_UP_PHOTOS].astype(np.float32)
    batches = [[index] for index in range(len(photos))] + [list(range(len(photos)))]
    return [
        WarmUpRequest(
            _QUESTION.signature,
            warmup.encode_photos([photos[index] for index in batch]),
            {_QUESTION.output: rows[batch]},
        )
        for batch in batches
    ]


def describe(localizer: Localizer, config: ExportConfig, agreement: BoxAgreement) -> dict:
    """Returns what `export.json` tells of the model and of its export."""
    return {
        "task": LOCALIZATION,
        "box_regression": localizer.kind,
        "source": str(localizer.path.resolve()),
        "source_sha256": files.sha256(localizer.path),
        "net": localizer.trained.net,
        "train_scale": localizer.trained.train_scale,
        "num_classes": len(localizer.class_names),
        "num_parameters": localizer.net.count_params(),
        "input_size": localizer.input_size,
        "method": config.protocol.method,
        "test_scales": list(localizer.test_scales),
        "flip": config.protocol.flips(),
        "precision": config.precision,
        "max_megapixels": config.max_megapixels,
        "agreement": dataclasses.asdict(agreement),
        "agreement_text": str(agreement),
    }
