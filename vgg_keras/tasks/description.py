"""Computes image descriptors, and classifies them by a linear SVM (arXiv:1409.1556, appendix B)."""

import dataclasses
import hashlib
import itertools
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vgg_keras.data import datasets
from vgg_keras.data.datasets import ImageData
from vgg_keras.data.manifest import SplitManifest
from vgg_keras.evaluation import linear_records, linear_svm
from vgg_keras.evaluation.linear_records import BOX, IMAGE
from vgg_keras.inference import descriptors
from vgg_keras.inference.loading import EvaluatedModel, load_for_inference
from vgg_keras.inference.protocol import DENSE, STACK
from vgg_keras.inference.views import ViewSpec, require_images_fit
from vgg_keras.models.preparation import SQUASH
from vgg_keras.tasks import random_split_classification, voc_classification
from vgg_keras.tasks.features_options import FeaturesOptions, numbers_file
from vgg_keras.utils import console, devices, files, locks, stopping
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.optional_imports import import_extra

# What of the images is described, by --regions.
_REGIONS: Mapping[str, Callable[[SplitManifest], SplitManifest]] = {
    IMAGE: lambda manifest: manifest,
    BOX: SplitManifest.cut_to_boxes,
}


def working_folder(
    models: Sequence[EvaluatedModel], manifests: Sequence[SplitManifest], options: FeaturesOptions
) -> Path:
    """Returns the folder of unfinished descriptors, whose name follows from the models, the images and the settings.

    Args:
        models: the models.
        manifests: images of the two splits.
        options: flags of the verb.
    """
    content = {
        "models": [model.identity() for model in models],
        "images": [manifest.identity() for manifest in manifests],
        "layer": options.layer,  # --combine and --power are applied to what is kept
        "flip": options.protocol().flips(),
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
    output = Path(options.output)
    return output.with_name(f"{output.stem}.{digest}.partial")


def describe(
    models: Sequence[EvaluatedModel],
    manifests: Mapping[str, SplitManifest],
    folder: Path,
    strategy,
    options: FeaturesOptions,
) -> dict[str, np.ndarray]:
    """Computes the descriptors of each split, those of several nets and of several regions side by side.

    Args:
        models: the models.
        manifests: images of each split, by the split's name.
        folder: folder in which unfinished descriptors are kept.
        strategy: the devices.
        options: flags of the verb.

    Returns:
        {split: (N, D) float32, rows of length 1}.

    Raises:
        UserError: a model has no such layer, an image is too long and thin for the memory, or the images have no boxes
            and --regions asks for them.
    """
    flip = options.protocol().flips()
    nets = [descriptors.descriptor_net(model, options.layers(), flip=flip, strategy=strategy) for model in models]
    shown = {
        split: [_REGIONS[region](manifest) for region in options.regions.split(",")]
        for split, manifest in manifests.items()
    }
    for model, manifest in itertools.product(models, itertools.chain(*shown.values())):
        require_images_fit(manifest, ViewSpec(DENSE, max(model.test_scales), model.input_size, options.batch_size))
    described = {}
    for split, regions in shown.items():
        parts = [
            descriptors.describe_split(
                net,
                model,
                manifest,
                combine=options.combine,
                power=options.power,
                folder=folder,
                model_index=index,
                batch_size=options.batch_size,
            )
            for index, (net, model) in enumerate(zip(nets, models, strict=True))
            for manifest in regions
        ]
        described[split] = descriptors.combine_descriptors(parts, STACK)
    return described


def to_arrays(
    data: ImageData,
    manifests: Mapping[str, SplitManifest],
    described: Mapping[str, np.ndarray],
    options: FeaturesOptions,
) -> dict[str, Any]:
    """Returns the arrays of the `.npz` file.

    Args:
        data: the data set.
        manifests: images of each split, by the split's name.
        described: descriptors of each split, the result of `describe`.
        options: flags of the verb.

    Returns:
        "label_names", and with the suffixes "_train" and "_validation" "features" (N, D) float32, "labels" and "files".
    """
    arrays = {"label_names": np.array(list(data.label_names))}
    for key, split in (("train", options.train_split), ("validation", options.validation_split)):
        arrays[f"features_{key}"] = described[split]
        arrays[f"labels_{key}"] = manifests[split].labels
        arrays[f"files_{key}"] = np.array(manifests[split].names)
    return arrays


def classify(arrays: Mapping[str, np.ndarray], seed: int) -> dict[str, Any]:
    """Fits the linear SVM on the training split, tests it on the other, and prints its errors.

    Args:
        arrays: result of `to_arrays`.
        seed: seed of the cross-validation's folds.

    Returns:
        The figures, ready for JSON.

    Raises:
        UserError: a class has too few images.
    """
    result = linear_svm.fit_and_test(
        arrays["features_train"],
        arrays["labels_train"],
        arrays["features_validation"],
        arrays["labels_validation"],
        seed=seed,
    )
    console.say(str(result))
    return dataclasses.asdict(result)


def describe_settings(
    models: Sequence[EvaluatedModel], manifests: Sequence[SplitManifest], options: FeaturesOptions
) -> dict[str, Any]:
    """Returns of what the figures of a linear SVM are, ready for JSON, as `linear_records` reads it.

    Args:
        models: the models.
        manifests: images of the two splits.
        options: flags of the verb.
    """
    names = ("layer", "power", "combine", "seed", "train_per_class", "test_per_class")
    return {
        "nets": [model.trained.net for model in models],
        "train_scales": [model.trained.train_scale for model in models],
        "test_scales": [list(model.test_scales) for model in models],
        "images": [manifest.identity() for manifest in manifests],
        **({"described": options.regions} if manifests[0].data.box_key else {}),
        "settings": {**{name: getattr(options, name) for name in names}, "flip": options.protocol().flips()},
    }


def _require_learnable(manifest: SplitManifest) -> None:
    """Checks that the training split has enough images of each class; for the begin of the work.

    Raises:
        UserError: a class has too few.
    """
    try:
        linear_svm.require_learnable(manifest.labels, manifest.data.class_names)
    except UserError as error:
        raise UserError(f"--train_split={manifest.split}: {error}") from None


def write_features(options: FeaturesOptions) -> None:
    """Computes and writes the descriptors of both splits, and classifies them if --classifier is given.

    Raises:
        UserError: --output does not end in `.npz`, scikit-learn is needed and missing, or the data or a model cannot be
            used.
    """
    output = Path(options.output)
    if output.suffix != ".npz":
        raise UserError(f"--output={output} must end in .npz")
    if options.classifier:
        import_extra(["sklearn"], "features", "--classifier")
    options.validate()
    data = datasets.open_data(options.data_dir, options.dataset, multi_label=True)
    if options.splits and data.multi_label:
        raise UserError(
            f"--splits={options.splits} needs images of one label each, and those of {data.builder.data_dir} have "
            "several; leave it out"
        )
    strategy, _ = devices.make_strategy(options.strategy)
    with strategy.scope():
        models = [load_for_inference(path, options.protocol(), posteriors=False) for path in options.model_paths()]
    for model in models:
        if model.metadata.validation_resize == SQUASH:
            console.say(
                f"{model.path} was validated on squashed photos; its features are of photos that keep their shape"
            )
    manifests = {
        split: SplitManifest.read(data, split, options.max_images)
        for split in (options.train_split, options.validation_split)
    }
    drawn = random_split_classification.draw(list(manifests.values()), options)  # a class too small is told at once
    submission = voc_classification.plan_submission(manifests[options.validation_split], options)
    if options.classifier and not drawn:
        _require_learnable(manifests[options.train_split])
    folder = working_folder(models, list(manifests.values()), options)
    with locks.locked(folder, "output"), stopping.advising("the same command continues where this one was"):
        described = describe(models, manifests, folder, strategy, options)
        arrays = to_arrays(data, manifests, described, options)
        files.write_atomically(output, lambda temporary: np.savez(temporary, **arrays))
        for key in ("train", "validation"):
            count, width = arrays[f"features_{key}"].shape
            console.say(f"features_{key}: {count:,} descriptors of {width:,} numbers, length 1")
        console.say(f"written: {output}; read it with numpy.load")
        if options.classifier:
            if drawn:
                figures = random_split_classification.classify(list(described.values()), drawn, options)
            elif data.multi_label:
                figures = voc_classification.classify(arrays, data, submission, options)
            else:
                figures = classify(arrays, options.seed)
            context = describe_settings(models, list(manifests.values()), options)
            linear_records.write(numbers_file(output), figures, context)
            console.say(f"numbers: {numbers_file(output)}")
        shutil.rmtree(folder)
