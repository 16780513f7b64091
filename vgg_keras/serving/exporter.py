"""Exports a trained model as a versioned SavedModel for TensorFlow Serving, and checks it against its source.

VERSION/saved_model.pb, variables/    the graph with its signatures, and the weights
VERSION/assets/label_names.txt        class names, one a line
VERSION/assets.extra/                 files that the graph does not use:
    tf_serving_warmup_requests        real requests for each signature, with the source model's answers
    model_card.md                     description of the model for people
    export.json                       description of the export for programs
    class_indices.json                class name -> index
    class_names.json                  index -> class name
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from vgg_keras.data import transforms
from vgg_keras.inference.loading import load_for_inference, own_method
from vgg_keras.inference.predictor import Predictor
from vgg_keras.inference.protocol import OWN, TestProtocol
from vgg_keras.models.architectures import CLASSIFICATION
from vgg_keras.serving import export_steps, versions, warmup
from vgg_keras.serving.agreement import TOLERANCES, Agreement
from vgg_keras.serving.export_record import MAIN_FILE
from vgg_keras.serving.preprocessing import RequestPreprocessor
from vgg_keras.serving.questions import QUESTIONS
from vgg_keras.serving.servable import CLASSIFY, DENSE_MAP, FEATURES, ServedModel, ServingConfig
from vgg_keras.serving.warmup import WarmUpRequest
from vgg_keras.utils.errors import UserError

# Few, because a server runs all warm-up requests before it answers clients.
WARM_UP_PHOTOS = 4


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Settings of an export.

    Attributes:
        protocol: the views and scales at which the served model is shown a photo.
        precision: dtype of the weights and the layers' outputs, "float32" or "bfloat16".
        top: number of class names in an answer.
        max_megapixels: size above which images are refused, in million pixels.
        temperature_fitted_on: the photos on which an evaluation fitted the temperature, for people; "" if none did.
    """

    protocol: TestProtocol = dataclasses.field(default_factory=lambda: TestProtocol(OWN))
    precision: str = "float32"
    top: int = 5
    max_megapixels: float = 100.0
    temperature_fitted_on: str = ""

    def of_model(self, path: Path) -> "ExportConfig":
        """Returns the settings with the model's own method, if none was chosen."""
        return dataclasses.replace(self, protocol=self.protocol.of_models({path: own_method(path)}))


def export(
    model_path: Path,
    output_dir: Path,
    photos: Sequence[bytes],
    config: ExportConfig | None = None,
    *,
    flag: str = "output_dir",
) -> Path:
    """Writes a model as the next version below a folder, in the layout that TensorFlow Serving watches.

    The version is written under a name that no server loads, loaded again, compared with the source, then renamed.

    Args:
        model_path: a `.keras` file.
        output_dir: folder of the model's versions.
        photos: encoded photos on which the exported model is compared with its source.
        config: settings of the export; None: the defaults.
        flag: name of the flag that names the folder, for messages.

    Returns:
        The version's folder.

    Raises:
        UserError: the model cannot be converted, or the exported model does not agree with it.
    """
    config = (config or ExportConfig()).of_model(model_path)
    predictor = Predictor(load_for_inference(model_path, config.protocol), config.protocol)
    with versions.new_version(output_dir, MAIN_FILE, flag) as folder:
        (folder / versions.EXTRA).mkdir()
        save(predictor, config, folder)
        expected = export_steps.source_answers(predictor.posteriors, photos)
        agreement = check_agreement(folder, predictor, photos, expected, TOLERANCES[config.precision])
        requests = _warm_up_requests(predictor, config, photos, expected)
        warmup.write(folder, output_dir.resolve().name, requests)
        record = {
            **describe(predictor, config, agreement, output_dir.resolve().name),
            "warm_up_requests": len(requests),
        }
        export_steps.describe(folder, record, predictor.model.path.parent)
    return versions.published(folder)


def save(predictor: Predictor, config: ExportConfig, folder: Path) -> None:
    """Writes the SavedModel, its label names and its class indices into a folder.

    Raises:
        UserError: the model cannot be made fully convolutional.
    """
    model = predictor.model
    export_steps.save(
        folder,
        model.metadata.class_names,
        model.label_names,
        lambda labels: make_servable(predictor, config, labels),
    )


def make_servable(predictor: Predictor, config: ExportConfig, labels: Path) -> ServedModel:
    """Returns the module to save as a SavedModel.

    Args:
        predictor: the source model.
        config: settings of the export.
        labels: text file with a class name in each line.

    Raises:
        UserError: the model cannot be made fully convolutional.
    """
    preprocessor = RequestPreprocessor(
        config.protocol.method,
        predictor.model.test_scales,
        predictor.model.input_size,
        round(config.max_megapixels * 1e6),
    )
    protocol = config.protocol
    serving_config = ServingConfig(
        preprocessor, protocol.flips(), protocol.average, protocol.temperature, config.top, config.precision
    )
    return ServedModel(predictor.model.net, serving_config, labels)


def check_agreement(
    folder: Path, predictor: Predictor, photos: Sequence[bytes], expected: np.ndarray, tolerance: float
) -> Agreement:
    """Compares a SavedModel with its source model.

    Encoded photos, several in a request, must get the posteriors that the source computes for them; a decoded photo
    must get those of the source's class-score map of the same photo, neither rescaled nor mirrored.

    Args:
        folder: folder of the SavedModel.
        predictor: the source model.
        photos: encoded photos.
        expected: (N, classes), the source model's posteriors of the photos.
        tolerance: largest difference in posterior that is allowed.

    Returns:
        The agreement on the encoded photos.

    Raises:
        UserError: a posterior differs by more than the tolerance.
    """
    signatures = export_steps.load_signatures(folder)
    answers = export_steps.exported_answers(signatures, QUESTIONS[CLASSIFICATION], photos)
    agreement = Agreement.measure(answers, expected)
    image = _dense_image(predictor, photos[0])
    answer = signatures[DENSE_MAP](images=image)["posterior"].numpy()
    dense = Agreement.measure(answer, predictor.map_posteriors(image))
    largest = max(agreement.largest_difference, dense.largest_difference)
    # Negated, so that a NaN fails too.
    if not largest <= tolerance:
        raise UserError(
            f"the exported model differs from {predictor.model.net.name} by {largest:g} in posterior; "
            "nothing was exported"
        )
    return agreement


def _dense_image(predictor: Predictor, photo: bytes) -> np.ndarray:
    """Returns a photo as the signature `dense` takes it: (1, H, W, 3) float32, rescaled to the smallest Q."""
    return transforms.rescale(transforms.decode(photo), min(predictor.model.test_scales))[tf.newaxis].numpy()


def _warm_up_requests(
    predictor: Predictor, config: ExportConfig, photos: Sequence[bytes], expected: np.ndarray
) -> list[WarmUpRequest]:
    """Returns requests for each signature: photos alone, photos of mixed sizes together, and a decoded one."""
    photos, expected = photos[:WARM_UP_PHOTOS], expected[:WARM_UP_PHOTOS].astype(np.float32)
    together = warmup.encode_photos(photos)
    image = _dense_image(predictor, photos[0])
    alone = [
        WarmUpRequest(CLASSIFY, warmup.encode_photos([photo]), {"posterior": row[np.newaxis]})
        for photo, row in zip(photos, expected, strict=True)
    ]
    return [
        *alone,
        WarmUpRequest(CLASSIFY, together, {"posterior": expected}),
        WarmUpRequest(DENSE_MAP, {"images": image}, {"posterior": predictor.map_posteriors(image)}),
        WarmUpRequest(FEATURES, together),
    ]


def describe(predictor: Predictor, config: ExportConfig, agreement: Agreement, name: str) -> dict:
    """Returns what `export.json` tells of a classifier and of its export, whatever the format.

    Args:
        predictor: the source model.
        config: settings of the export.
        agreement: agreement of the exported model with its source.
        name: name of the model on a server.
    """
    model = predictor.model
    return {
        "name": name,
        "task": CLASSIFICATION,
        "source": str(model.path.resolve()),
        "source_sha256": model.sha256,
        "net": model.trained.net,
        "train_scale": model.trained.train_scale,
        "num_classes": model.num_classes,
        "num_parameters": model.net.count_params(),
        "input_size": model.input_size,
        "method": config.protocol.method,
        "test_scales": list(model.test_scales),
        "flip": config.protocol.flips(),
        "average": config.protocol.average,
        "temperature": config.protocol.temperature,
        "temperature_fitted_on": config.temperature_fitted_on,
        "precision": config.precision,
        "top": config.top,
        "max_megapixels": config.max_megapixels,
        "agreement": dataclasses.asdict(agreement),
        "agreement_text": str(agreement),
    }
