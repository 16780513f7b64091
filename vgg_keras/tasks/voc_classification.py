"""Classifies images of several labels, or persons by what they do, as PASCAL VOC does (arXiv:1409.1556, app. B)."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vgg_keras.data.datasets import ImageData
from vgg_keras.data.manifest import SplitManifest
from vgg_keras.evaluation import linear_svm
from vgg_keras.evaluation.voc_results import Submission
from vgg_keras.tasks.features_options import FeaturesOptions, results_folder
from vgg_keras.utils import console
from vgg_keras.utils.arithmetic import parse_whole
from vgg_keras.utils.errors import UserError

_LATEST = 2012


def voc_year(data: ImageData, options: FeaturesOptions) -> int:
    """Returns the year of --voc_year, or else that of a VOC data set of TFDS, or else that of the last challenge."""
    config = getattr(data.builder.builder_config, "name", "")  # such as "2007"
    of_tfds = parse_whole(config[:4]) if data.builder.name == "voc" else None
    return int(options.voc_year) if options.voc_year else of_tfds or _LATEST


def plan_submission(tested: SplitManifest, options: FeaturesOptions) -> Submission | None:
    """Returns the result files that --voc_results asks for, or None; for the begin of the work.

    Args:
        tested: the images that will be scored.
        options: flags of the verb.

    Raises:
        UserError: these images cannot stand in such files, or they have no labels and no files are asked for, so that
            to classify them would be of no use; or --voc_year is given, and no average precision is computed.
    """
    if options.voc_year and not tested.data.multi_label:
        raise UserError(
            f"--voc_year={options.voc_year} chooses the average precision of images of several labels; those of "
            f"{tested.data.builder.data_dir} have one each; leave it out"
        )
    if options.voc_results:
        if not options.classifier:
            raise UserError(f"--voc_results={options.voc_results} writes the scores of the SVM; it needs --classifier")
        return Submission.plan(options.voc_results, voc_year(tested.data, options), tested)
    if options.classifier and not tested.has_labels:
        competition = "comp10" if tested.data.box_key else "comp2"
        raise UserError(
            f"{tested.data.builder.data_dir}: split {tested.split!r} has no labels to test the SVM on; "
            f"--voc_results={competition} writes its scores for PASCAL VOC's server"
        )
    return None


def classify(
    arrays: Mapping[str, np.ndarray], data: ImageData, submission: Submission | None, options: FeaturesOptions
) -> dict[str, Any]:
    """Fits and tests a linear SVM for each class, prints the mean average precision, and writes VOC's result files.

    Args:
        arrays: the descriptors and labels, the result of `description.to_arrays`.
        data: the data set.
        submission: the result files to write, or None.
        options: flags of the verb.

    Returns:
        The figures, ready for JSON.

    Raises:
        UserError: a class has too few images.
    """
    result, scores = linear_svm.fit_and_score(
        arrays["features_train"],
        arrays["labels_train"],
        arrays["features_validation"],
        arrays["labels_validation"],
        seed=options.seed,
        voc_year=voc_year(data, options),
    )
    console.say(str(result))
    by_class = dict(zip(data.class_names, result.average_precisions, strict=True)) if result.average_precisions else {}
    if submission:
        archive = submission.write(scores, results_folder(Path(options.output)))
        console.say(f"results for PASCAL VOC's server: {archive}; the same files lie beside it")
    return dataclasses.asdict(result) | {"average_precisions": by_class}
