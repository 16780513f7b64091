"""Writes the page of a run, or one that compares several runs."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import keras

from vgg_keras.data import datasets, device_augmentation, input_pipeline, shards
from vgg_keras.data.boxed_split import BoxedSplit
from vgg_keras.data.datasets import ImageData
from vgg_keras.data.manifest import SplitManifest
from vgg_keras.evaluation import results
from vgg_keras.evaluation.box_evaluator import BoxEvaluator
from vgg_keras.evaluation.box_highlights import BoxHighlights, BoxTest
from vgg_keras.evaluation.box_results import ChosenClasses
from vgg_keras.evaluation.evaluator import Evaluator
from vgg_keras.evaluation.highlights import FinishedEvaluation, Highlights
from vgg_keras.inference.loading import EvaluatedModel, load_for_inference
from vgg_keras.inference.localizer import Localizer
from vgg_keras.inference.protocol import CENTER_CROP, TestProtocol
from vgg_keras.models import run_record, saving
from vgg_keras.models.preparation import SQUASH
from vgg_keras.reports import box_sections, evaluation_sections, pages, run_sections
from vgg_keras.reports.page import Commands, Section
from vgg_keras.reports.shown_run import ShownRun
from vgg_keras.tasks.evaluation import describe
from vgg_keras.tasks.options import EvaluateOptions, ReportOptions
from vgg_keras.tasks.results import next_commands
from vgg_keras.training import inputs
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils import devices, files
from vgg_keras.utils.errors import UserError

# Number of augmented photos that are shown.
_NUM_PHOTOS = 16
_ANY_OBJECT = (
    "The boxes are of the true class, {shown}, and cut at the photo's border. Here a box is right if it fits any "
    "object of its class. The error above was measured in training, before boxes are cut, and against the one object "
    "of which the net is shown the largest area, so that it may be higher."
)


def report(options: ReportOptions) -> Path:
    """Writes the page of one run, or the one that compares several; returns its path.

    Raises:
        UserError: a run or its model cannot be read.
    """
    folders = [Path(folder) for folder in options.run]
    beside = folders[0] if len(folders) == 1 else folders[0].parent
    path = Path(options.output or beside / run_record.REPORT)
    runs = [ShownRun.read(folder) for folder in folders]
    kinds = {run.options.task: run.folder for run in runs}
    if len(kinds) > 1:
        told = ", ".join(f"{folder} of {task}" for task, folder in kinds.items())
        raise UserError(f"--run names runs whose errors mean different things ({told}); compare those of one task")
    if len(runs) > 1:
        files.write_output(path, pages.of_runs(runs).render())
        return path
    return write_page(runs[0], path)


def write_page(run: ShownRun, path: Path) -> Path:
    """Writes the page of a run; returns its path.

    What needs the model or the data set is left out, with the reason, where they are not there.

    Args:
        run: the run.
        path: the page's file.

    Raises:
        UserError: the model is damaged, or a record of the data set is.
    """
    files.write_output(path, pages.of_run(run, list(_sections(run))).render())
    return path


def _sections(run: ShownRun) -> Iterator[Section]:
    """Yields the sections of a run's page."""
    best, localizes = run.folder / run_record.BEST_MODEL, run.options.box_kind() is not None
    data, why_no_data = _open_or_why_not(run)
    judged: list[Section] = []
    if data and best.exists():
        net, judged = (_judged_boxes if localizes else _judged_classes)(run, data)
    else:
        net = saving.load_model(best) if best.exists() else None
    yield run_sections.overview(run, net.count_params() if net else None)
    yield run_sections.curve_section(run)
    yield _training_photos(run, data) if data else pages.missing("Photos", why_no_data)
    if net:
        first = next(layer for layer in net.layers if isinstance(layer, keras.layers.Conv2D))
        yield run_sections.filters(first.get_weights()[0])
    yield from judged
    yield run_sections.settings(run)
    if net and data:
        folder, split = Path(data.builder.data_dir), run.options.validation_split
        squashes = run.options.validation_resize == SQUASH
        commands = next_commands(run.folder, folder, split, localizes=localizes, squashes=squashes)
        yield Section("Next", [Commands([(what.capitalize(), command) for what, command in commands.items()])])


def _open_or_why_not(run: ShownRun) -> tuple[ImageData | None, str]:
    """Returns the data set of a run, or None and the reason why it cannot be read."""
    try:
        return open_data(run), ""
    except UserError as error:
        return None, str(error)


def open_data(run: ShownRun) -> ImageData:
    """Opens the data set of a run.

    Raises:
        UserError: it, or one of its splits, is not there any more.
    """
    data = datasets.open_data(*run.options.data_source())
    for split in (run.options.train_split, run.options.validation_split):
        data.require_split(split)
    return data


def _training_photos(run: ShownRun, data: ImageData) -> Section:
    rgb = datasets.load_rgb_statistics(data, run.options.train_split)
    batches = input_pipeline.training_epoch(
        data,
        run.options.train_split,
        inputs.augmentation(run.options, rgb),
        seed=run.options.seed,
        epoch=0,
        batch_size=min(_NUM_PHOTOS, data.num_images(run.options.train_split)),
        with_boxes=run.options.box_kind() is not None,
    )
    (batch,) = map(device_augmentation.augment, shards.read(data, batches.take(1)))
    names = [data.label_names[label] for label in batch["label"].numpy()]
    boxes = batch["box"].numpy() if "box" in batch else None
    return run_sections.training_photos(batch["image"].numpy(), names, boxes, cached=run.options.cache_views > 0)


def _judged_classes(run: ShownRun, data: ImageData) -> tuple[keras.Model, list[Section]]:
    """Returns the best model of a classifier's run, and what its test shows."""
    model, finished = judge(run, data)
    return model.net, list(evaluation_sections.sections(Highlights.of(finished)))


def _judged_boxes(run: ShownRun, data: ImageData) -> tuple[keras.Model, list[Section]]:
    """Returns the best model of a localizer's run, and what its test shows."""
    localizer, test = judge_boxes(run, data)
    note = _ANY_OBJECT.format(shown="on squashed photos" if localizer.squashes else "at the centre crop")
    return localizer.net, list(box_sections.sections(BoxHighlights.of(test), note))


def judge_boxes(run: ShownRun, data: ImageData) -> tuple[Localizer, BoxTest]:
    """Tests the best localizer of a run on its validation split as the run itself did, given the true class.

    Raises:
        UserError: the model or a record of the data set cannot be used.
    """
    protocol = _validation_protocol(run.options)
    localizer = Localizer.load(run.folder, protocol, data.class_names)
    split = BoxedSplit.read(data, run.options.validation_split)
    chosen = ChosenClasses.known(split.manifest.labels)
    with tempfile.TemporaryDirectory() as partial:
        evaluator = BoxEvaluator(split, protocol.method, chosen, None, Path(partial), flip=False)
        (*_, result), _ = evaluator.test(localizer, 0)
    return localizer, BoxTest(result, chosen, split)


def _validation_protocol(options: TrainConfig) -> TestProtocol:
    """Returns what a run shows its model of a photo when it validates it."""
    if options.validation_resize == SQUASH:
        return TestProtocol(SQUASH)
    return TestProtocol(CENTER_CROP, str(options.test_scale()))


def judge(run: ShownRun, data: ImageData) -> tuple[EvaluatedModel, FinishedEvaluation]:
    """Tests the best model of a run on its validation split as the run itself did: at centre crops, or squashed photos.

    Raises:
        UserError: the model or a record of the data set cannot be used.
    """
    options, protocol = run.options, _validation_protocol(run.options)
    strategy, reason = devices.make_strategy(options.strategy)
    with strategy.scope():
        model = load_for_inference(run.folder, protocol, data.class_names)
    manifest = SplitManifest.read(data, options.validation_split)
    with tempfile.TemporaryDirectory() as partial:
        evaluator = Evaluator(manifest, protocol, Path(partial), strategy, EvaluateOptions.defaults()["batch_size"])
        found, by_method = evaluator.test(model, 0)
    posteriors = by_method[protocol.method].posteriors
    description = describe([model], manifest, protocol)
    record = results.evaluation_record(
        description, f"{type(strategy).__name__} ({reason})", found, posteriors, manifest
    )
    return model, FinishedEvaluation(record, posteriors, manifest, [model])
