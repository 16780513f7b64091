"""Trains a net with the paper's procedure (arXiv:1409.1556, sect. 3.1): from options to a finished run."""

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path

import keras

from data_prep.synthetic_flowers import write_synthetic_flowers
from vgg_keras.data import datasets, input_pipeline, shards
from vgg_keras.data.datasets import ImageData
from vgg_keras.data.rgb_statistics import RgbStatistics
from vgg_keras.models import run_record
from vgg_keras.models.metadata import ModelMetadata
from vgg_keras.models.preparation import SQUASH
from vgg_keras.reports.shown_run import ShownRun
from vgg_keras.serving import export_record, exporter, localizer_exporter, versions
from vgg_keras.serving.check_photos import read_check_photos
from vgg_keras.tasks import run_reports
from vgg_keras.tasks.results import TrainingResult
from vgg_keras.tasks.training_step import build_train_step
from vgg_keras.training import config, inputs, resuming, run_dir, workers
from vgg_keras.training.config import TrainConfig
from vgg_keras.training.feature_cache import FeatureCache
from vgg_keras.training.progress import Progress
from vgg_keras.training.schedules import LearningRate, Schedule
from vgg_keras.training.train_step import TrainStep
from vgg_keras.training.trainer import Trainer
from vgg_keras.utils import cluster, console, devices, keras_compat, locks, stopping
from vgg_keras.utils.arithmetic import ceil_divide
from vgg_keras.utils.channel import Channel, joined
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.shared_folder import require_shared_folder
from vgg_keras.utils.words import counted

_PAGE_STOPPED = "the run is complete, its page is not: the same command with --resume writes it"
# What to do about a run that is stopped before its first step, or after its last one, and while its model is exported.
_STOPPED = "nothing is lost: the same command with --resume begins the run, or continues it"
_EXPORT_STOPPED = "the run is complete, its export is not: the same command with --resume exports the model"


def open_data(options: TrainConfig, channel: Channel) -> ImageData:
    """Opens the data set that the flags name; draws the synthetic flowers first if they are missing.

    Args:
        options: flags of the verb.
        channel: the connection to the other workers; the chief alone draws.

    Raises:
        UserError: the data set or one of its splits is missing or without labels, there is one class alone, or a
            localizer has no box to learn from or to be tested on.
    """
    folder, name = options.data_source()
    if options.dataset == config.DRAWN_FLOWERS:
        if channel.chief and not Path(folder).exists():
            console.say_table(write_synthetic_flowers(Path(folder), options.seed).shown())
        channel.agree("flowers drawn", "")  # the others wait for it
    data = datasets.open_data(folder, name)
    for split in (options.train_split, options.validation_split):
        data.require_split(split)
        data.require_labels(split)
    if options.box_kind():
        data.require_boxes(options.train_split, options.validation_split)
    elif len(data.class_names) < 2:
        raise UserError(
            f"{data.builder.data_dir} has one class alone, {data.class_names[0]}; a net needs two classes or more to "
            "tell apart"
        )
    if 0 < options.num_outputs < len(data.class_names):
        raise UserError(
            f"--num_outputs={options.num_outputs} is fewer than the {len(data.class_names)} classes of "
            f"{data.builder.data_dir}; leave it out, or give the number of outputs of --init_from"
        )
    _warn_of_large_batch(options, data.num_images(options.train_split))
    return data


def _warn_of_large_batch(options: TrainConfig, num_images: int) -> None:
    """Warns if a step has more images than the training split, of which it then holds copies."""
    if options.batch_size > num_images:
        console.warn(
            f"--batch_size={options.batch_size} is more than the {counted(num_images, 'photo')} in "
            f"{options.train_split}: an epoch is one step, in which some photos are seen "
            f"{ceil_divide(options.batch_size, num_images)} times; "
            f"take --batch_size={num_images} or less"
        )


def make_schedule(options: TrainConfig, data: ImageData) -> Schedule:
    """Returns the schedule of the run: its length, learning rate and checkpoints."""
    steps_per_epoch = input_pipeline.steps_per_epoch(data, options.train_split, options.batch_size)
    cosine_steps = options.epochs * steps_per_epoch if options.schedule == config.COSINE else 0
    return Schedule(
        epochs=options.epochs,
        max_steps=options.max_steps,
        steps_per_epoch=steps_per_epoch,
        learning_rate=LearningRate(options.learning_rate, options.warm_up_steps, cosine_steps),
        patience=options.plateau_patience,
        early_stop=options.early_stop,
        checkpoint_every=options.checkpoint_every,
        log_every=options.log_every,
        keep_checkpoints=options.keep_checkpoints,
    )


def restore_trainer(
    options: TrainConfig, data: ImageData, rgb: RgbStatistics, train_step: TrainStep, channel: Channel, start: str
) -> tuple[Trainer, FeatureCache | None]:
    """Returns the trainer of the run, with everything restored from its checkpoint, and its feature cache.

    Args:
        options: flags of the verb.
        data: the data set.
        rgb: RGB statistics of the training split.
        train_step: step of the net.
        channel: the connection to the other workers.
        start: result of `resuming.choose`.

    Returns:
        The trainer, and the cache of the frozen layers' outputs, not yet filled, which it trains on; None: it trains on
        images.

    Raises:
        UserError: the run cannot be resumed, or other workers would resume it from another step.
    """
    batches = inputs.image_batches(options, data, rgb, train_step)
    cache = None
    if options.cache_views:
        cache = inputs.make_feature_cache(options, data, batches, train_step)
        batches = inputs.Batches(cache.training, cache.validation)
    trainer = Trainer(
        train_step,
        make_schedule(options, data),
        Path(options.output_dir),
        start,
        batches,
        metadata=ModelMetadata(
            options.net,
            options.known_train_scale(),
            data.class_names,
            data.label_names,
            options.freeze_up_to,
            options.box_kind() or "",
            options.validation_resize,
        ),
        chief=channel.chief,
        agree=channel.agree,
    )
    channel.compare("start", {"the step of the restored checkpoint": trainer.global_step})
    return trainer, cache


def fit(trainer: Trainer, cache: FeatureCache | None) -> Progress:
    """Trains to the end of the schedule, after the cache is filled; returns the progress at the end.

    Raises:
        UserError: the loss became NaN or infinite, a record of the data set is broken, or the disk has too little space
            for the cache.
    """
    if cache and not trainer.finished:
        cache.fill()
    progress = trainer.fit()
    if cache and not trainer.gone_beyond:
        cache.remove()
    return progress


def show_run(options: TrainConfig, data: ImageData, model: keras.Model, choices: Mapping[str, str]) -> None:
    """Prints a summary of the run.

    Args:
        options: flags of the verb.
        data: the data set.
        model: the net.
        choices: strategy and precision that were chosen, each with the reason.
    """
    splits = (options.train_split, options.validation_split)
    photos = ", ".join(f"{counted(data.num_images(split), 'photo')} in {split}" for split in splits)
    classes = f"{len(data.label_names)} classes" + (f" of {options.num_outputs} outputs" if options.num_outputs else "")
    console.say(f"net {options.net}, {model.count_params():,} parameters; {classes}; {photos}")
    num_photos = data.num_images(options.train_split)
    filled_up = -num_photos % options.batch_size
    if filled_up and options.batch_size < num_photos:  # of fewer photos `_warn_of_large_batch` tells
        first = f"its first {counted(filled_up, 'photo')}"
        total = counted(num_photos + filled_up, "photo")
        console.say(f"the last batch of an epoch is filled up with {first}, so an epoch counts {total}")
    console.say("; ".join(f"{name}: {choice}" for name, choice in choices.items()))


@keras_compat.own_settings()
def train_model(options: TrainConfig) -> TrainingResult:
    """Validates the settings, meets the other workers of a cluster, trains, and exports the best model if asked to.

    Raises:
        UserError: a setting, the run's folder, the data set or --init_from cannot be used, training failed, the workers
            of a cluster differ or one of them is gone, or the exported model disagrees with the trained one.
    """
    options.validate()
    if options.export_dir:
        versions.require_format(Path(options.export_dir), exporter.MAIN_FILE, "export_dir")
    local = "--cache_views" if options.cache_views else "--metrics" if options.metrics else ""
    workers_found = cluster.choose(options.strategy, one_process=local)
    if workers_found is None and (note := cluster.unused_note()):
        console.warn(note)
    with joined(workers_found, options.worker_timeout) as channel:
        lock = locks.locked(Path(options.output_dir)) if channel.chief else contextlib.nullcontext()
        with lock:
            with stopping.advising(_STOPPED):
                result = train_in_cluster(options, channel)
            # The page is the work of one process, and TensorFlow stays connected to the other workers of a cluster.
            if options.report and not (channel.cluster or result.gone_beyond):
                with stopping.advising(_PAGE_STOPPED):
                    show_page(result)
    if not (result.chief and options.export_dir) or result.gone_beyond:
        return result
    with stopping.advising(_EXPORT_STOPPED):
        return export_best(result, options)


def train_in_cluster(options: TrainConfig, channel: Channel) -> TrainingResult:
    """Opens the data, builds and trains the net, on this process's devices and those of the other workers, if any.

    Args:
        options: flags of the verb.
        channel: the connection to the other workers.

    Raises:
        UserError: see `train_model`.
    """
    folder = Path(options.output_dir)
    precision, precision_reason = devices.choose_precision(options.precision)
    workers.require_same_settings(channel, options, precision)
    require_shared_folder(channel, folder)
    run_dir.require_usable(options)
    devices.split_cpu(options.cpu_devices)
    strategy, strategy_reason = devices.make_strategy(options.strategy, channel)
    # Nothing is written before it is certain that the run can be trained: a run that is refused stays as it was. The
    # chief alone looks at the checkpoints, and all resume from the one that it names.
    start = channel.agree("checkpoint", resuming.choose(folder) if channel.chief else "")
    data = open_data(options, channel)
    with shards.broken_records(data):
        rgb = datasets.load_rgb_statistics(data, options.train_split)
    described_data = run_dir.describe_data(options, data, rgb)
    channel.compare("data", described_data)
    run_dir.require_same_data(folder, described_data)
    with keras_compat.global_policy(precision):
        train_step = build_train_step(
            options,
            len(data.label_names),
            rgb.mean.tolist(),
            strategy,
            precision,
            in_cluster=channel.cluster is not None,
        )
    choices = {
        "strategy": f"{type(strategy).__name__} ({strategy_reason})",
        "precision": f"{precision} ({precision_reason})",
    }
    if channel.chief:
        show_run(options, data, train_step.model, choices)
    trainer, cache = restore_trainer(options, data, rgb, train_step, channel, start)
    if channel.chief and not trainer.gone_beyond:
        run_dir.write_run(options, data, train_step.model, choices, described_data)
    progress, gone_beyond = fit(trainer, cache), trainer.gone_beyond
    return TrainingResult(
        folder=folder,
        data_dir=Path(data.builder.data_dir),
        validation_split=options.validation_split,
        best_error=progress.best_error,
        # That of a run that is left as it is may be damaged.
        history=resuming.known_history(folder, progress),
        chief=channel.chief,
        gone_beyond=gone_beyond,
        localizes=options.box_kind() is not None,
        squashes=options.validation_resize == SQUASH,
    )


def show_page(result: TrainingResult) -> None:
    """Writes the page of a run, unless it stands there since the run ended; warns if it cannot be written."""
    page, history = result.folder / run_record.REPORT, result.folder / run_record.HISTORY
    if not history.exists() or (page.exists() and page.stat().st_mtime >= history.stat().st_mtime):
        return
    console.say("showing the run as a page")
    try:
        run_reports.write_page(ShownRun.read(result.folder), page)
    except UserError as error:  # the run is whole without it
        console.warn(f"{page} is not written: {error}")


def export_best(result: TrainingResult, options: TrainConfig) -> TrainingResult:
    """Exports the best model of a run; returns the result with the exported version.

    Raises:
        UserError: the exported model disagrees with the trained one.
    """
    photos = read_check_photos(result.best_model, "")
    write = localizer_exporter.export if options.box_kind() else exporter.export
    exported = write(result.best_model, Path(options.export_dir), photos, flag="export_dir")
    agreement = export_record.read(exported)["agreement_text"]
    return dataclasses.replace(result, exported=exported, agreement=agreement)
