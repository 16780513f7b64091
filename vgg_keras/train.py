"""Trains a net as arXiv:1409.1556, sect. 3.1, does.

python -m vgg_keras.train --flagfile=configs/quickstart.cfg
python -m vgg_keras.train --flagfile=configs/vgg19.cfg --data_dir=data/imagenet
"""

import dataclasses
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from data_prep import synthetic_flowers
from vgg_keras.data import datasets, input_pipeline
from vgg_keras.data.rgb_statistics import RgbStatistics
from vgg_keras.models import vgg
from vgg_keras.serving import exporter
from vgg_keras.training import config, freezing, inputs, optimizers, run_dir, schedules, train_step, trainer
from vgg_keras.training.checkpoints import Progress
from vgg_keras.training.config import TrainOptions
from vgg_keras.training.keras_metrics import ValidationMetrics
from vgg_keras.utils import cli, devices
from vgg_keras.utils.cli import UserError
from vgg_keras.weights import formats, transfer


def prepare_data(flags: TrainOptions, chief: bool) -> datasets.ImageData:
    """Opens the data set that the flags name, and draws the embedded one if it is not there yet."""
    if flags.dataset != config.DRAWN_FLOWERS:
        return datasets.open_data(flags.data_dir, flags.dataset)
    folder = Path(flags.data_dir or Path(flags.output_dir) / "data")
    if not folder.exists():
        if not chief:
            raise UserError(f"{folder} is not there yet: draw the flowers in a run of one process first")
        synthetic_flowers.write(folder, flags.seed)
    return datasets.open_data(str(folder))


def build_model(
    flags: TrainOptions, num_classes: int, mean_rgb: Sequence[float]
) -> tuple[keras.Model, Collection[str]]:
    """Builds the net; returns it and the names of the layers whose weights --init_from gave."""
    source = formats.read(flags.init_from, flags.net) if flags.init_from else None
    model = vgg.build(
        flags.net,
        num_classes,
        input_size=flags.input_size,
        # The source's convolutions were trained with the source's mean.
        mean_rgb=source.mean_rgb if source else mean_rgb,
        dropout=flags.dropout,
        weight_decay=flags.weight_decay,
        initialization=vgg.Initialization(flags.initializer, flags.initializer_variance, flags.seed),
        batch_norm=flags.batch_norm,
        width_multiplier=flags.width_multiplier,
    )
    if not source:
        return model, ()
    report = transfer.copy(source, model, strict=flags.strict)
    print(f"{flags.init_from}: {report}")
    return model, report.copied


def build_steps(
    flags: TrainOptions, num_classes: int, mean_rgb: Sequence[float], strategy, precision: str
) -> train_step.Steps:
    """Builds the net and its optimizers on all devices."""
    keras.utils.set_random_seed(flags.seed)
    keras.mixed_precision.set_global_policy(precision)
    with strategy.scope():
        model, pretrained = build_model(flags, num_classes, mean_rgb)
        freezing.check(model, flags.freeze_up_to, pretrained, as_map=flags.view_side() > flags.input_size)
        stepping = optimizers.make_optimizers(
            optimizers.OptimizerChoice(
                flags.optimizer, flags.learning_rate, flags.momentum, flags.optimizer_arguments()
            ),
            freezing.trained_layers(model, flags.freeze_up_to),
            pretrained=pretrained,
            pretrained_rate=flags.pretrained_rate,
            precision=precision,
        )
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    micro_batch_size = flags.micro_batch_size or (flags.batch_size if on_gpu else 32)
    return train_step.Steps(
        model,
        stepping,
        strategy,
        batch_size=flags.batch_size,
        micro_batch_size=micro_batch_size,
        seed=flags.seed,
        frozen_up_to=flags.freeze_up_to,
        cached=bool(flags.cache_views),
        jit=devices.choose_jit(flags.jit_compile, strategy),
        metrics=ValidationMetrics(flags.metric_arguments()),
    )


def make_schedule(flags: TrainOptions, data: datasets.ImageData) -> trainer.Schedule:
    """Returns how long a run goes on, and at what learning rate."""
    steps_per_epoch = input_pipeline.steps_per_epoch(data, flags.train_split, flags.batch_size)
    cosine_steps = flags.epochs * steps_per_epoch if flags.schedule == config.COSINE else 0
    return trainer.Schedule(
        epochs=flags.epochs,
        max_steps=flags.max_steps,
        steps_per_epoch=steps_per_epoch,
        learning_rate=schedules.LearningRate(flags.learning_rate, flags.warm_up_steps, cosine_steps),
        patience=flags.plateau_patience,
        early_stop=flags.early_stop,
        checkpoint_every=flags.checkpoint_every,
        log_every=flags.log_every,
        keep_checkpoints=flags.keep_checkpoints,
    )


def fit(flags: TrainOptions, data: datasets.ImageData, rgb: RgbStatistics, compiled: train_step.Steps) -> Progress:
    """Trains to the end of the schedule, on images or on the frozen layers' outputs for them."""
    images = inputs.of_images(flags, data, rgb, compiled)
    cache = inputs.to_be_cached(flags, data, images, compiled) if flags.cache_views else None
    opened = cache or images
    training = trainer.Trainer(
        compiled,
        make_schedule(flags, data),
        Path(flags.output_dir),
        opened.training,
        opened.validation,
        chief=devices.is_chief(compiled.strategy),
    )
    if cache and not training.finished:
        cache.fill()
    progress = training.fit()
    if cache:
        cache.remove()
    return progress


def start_run(flags: TrainOptions, data: datasets.ImageData, model: keras.Model, choices: dict[str, str]) -> None:
    """Writes what describes the run into its folder, and says it."""
    folder = Path(flags.output_dir)
    of_model = {"num_classes": len(data.label_names), "mean_rgb": transfer.mean_rgb_of(model)}
    run_dir.start(folder, dataclasses.asdict(flags), choices, of_model)
    run_dir.save_labels(folder, data.class_names, data.label_names)
    run_dir.save_samples(folder, data.encoded(flags.validation_split))
    splits = (flags.train_split, flags.validation_split)
    photos = ", ".join(f"{data.num_images(split):,} photos in {split}" for split in splits)
    print(f"net {flags.net}, {model.count_params():,} parameters; {len(data.label_names)} classes; {photos}")
    print("; ".join(f"{name}: {choice}" for name, choice in choices.items()))


def main(flags: TrainOptions) -> None:
    """Trains, keeps the best model, and exports it if asked to."""
    folder = Path(flags.output_dir)
    # All that can be refused is refused before the hours of work.
    flags.scale_range()
    flags.check_freezing()
    flags.optimizer_arguments()
    flags.metric_arguments()
    run_dir.check(folder, dataclasses.asdict(flags), config.MAY_CHANGE, flags.resume)
    if flags.cpu_devices > 1:
        devices.split_cpu(flags.cpu_devices)
    strategy, strategy_reason = devices.make_strategy(
        flags.strategy, one_process=bool(flags.cache_views or flags.metrics)
    )
    precision, precision_reason = devices.choose_precision(flags.precision)
    chief = devices.is_chief(strategy)
    data = prepare_data(flags, chief)
    for split in (flags.train_split, flags.validation_split):
        data.num_images(split)
    with datasets.broken_records(data):
        rgb = datasets.rgb_statistics(data, flags.train_split)
    try:
        compiled = build_steps(flags, len(data.label_names), rgb.mean, strategy, precision)
    except ValueError as error:
        raise UserError(str(error)) from error
    if chief:
        choices = {
            "strategy": f"{type(strategy).__name__} ({strategy_reason})",
            "precision": f"{precision} ({precision_reason})",
        }
        start_run(flags, data, compiled.model, choices)
    with datasets.broken_records(data):
        progress = fit(flags, data, rgb, compiled)
    if chief:
        finish(flags, folder, data, progress.best_error)


def finish(flags: TrainOptions, folder: Path, data: datasets.ImageData, best_error: float) -> None:
    """Exports the best model if asked to, and says what was made and what to do next."""
    best = folder / run_dir.BEST_MODEL
    print(f"\nbest model: {best}, top-1 error {best_error:.2f}% on {flags.validation_split}")
    print(
        f"test it:    python -m vgg_keras.evaluate --model={folder} --data_dir={data.builder.data_dir} "
        f"--split={shlex.quote(flags.validation_split)} --output_dir=evaluations/{folder.name}"
    )
    print(f"history:    {folder / run_dir.HISTORY}; curves: tensorboard --logdir={folder / 'tensorboard'}")
    if flags.export_dir:
        photos = exporter.sample_photos(best, "")
        exported = exporter.export(best, Path(flags.export_dir), photos)
        print(f"exported:   {exported}")
    else:
        print(f"next:       python -m vgg_keras.export --model={best} --output_dir=saved_models/{folder.name}")


if __name__ == "__main__":
    cli.run(main, TrainOptions)
