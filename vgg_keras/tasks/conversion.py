"""Converts the weights of another model or library to a model that takes RGB 0..255 and has the same outputs."""

import dataclasses
import os
from pathlib import Path

import keras

from vgg_keras.models import saving, vgg
from vgg_keras.models.metadata import ModelMetadata
from vgg_keras.tasks.options import PretrainedOptions
from vgg_keras.utils import console
from vgg_keras.utils.errors import UserError
from vgg_keras.weights import formats, transfer
from vgg_keras.weights.transfer import SourceWeights, TransferReport


def build(source: SourceWeights, options: PretrainedOptions) -> keras.Model:
    """Builds a net for the source's weights, initialized at random.

    Args:
        source: the weights; they determine the settings that the flags leave open.
        options: flags of the verb.

    Raises:
        UserError: neither the flags nor the source determine a setting, or a setting is out of its range.
    """
    net = options.net or source.net
    num_classes = options.num_classes or (source.layers["fc8"][0].shape[-1] if "fc8" in source.layers else 0)
    if source.metadata.box_regression and not options.num_classes:
        raise UserError(
            f"{source.name} predicts boxes, not classes; give --num_classes, the number of classes of a new last "
            "layer, or name a classifier with --source"
        )
    if not net or not num_classes:
        missing = ("the number of classes", "num_classes") if net else ("which net it is of", "net")
        raise UserError(f"{source.name} does not tell {missing[0]}: give --{missing[1]}")
    try:
        return vgg.build(
            net,
            num_classes,
            input_size=options.input_size or source.input_size or 224,
            mean_rgb=source.mean_rgb,
            initialization=vgg.Initialization("glorot", seed=options.seed),
            batch_norm=source.has_batch_norm(),
            width_multiplier=source.width_multiplier(),
        )
    except ValueError as error:
        raise UserError(str(error)) from error


def metadata_of(source: SourceWeights, model: keras.Model, report: TransferReport) -> ModelMetadata:
    """Returns what the file tells of the model: the source's classes, if the layer that scores them was copied."""
    known = source.metadata if "fc8" in report.copied else ModelMetadata(train_scale=source.metadata.train_scale)
    return dataclasses.replace(known, net=vgg.net_name(model) or "")


def convert(options: PretrainedOptions) -> None:
    """Reads the weights, builds the net, copies the weights into it, and writes and describes the model.

    Raises:
        UserError: --output does not end in `.keras`, or the source cannot be read or does not fit the net.
    """
    output = Path(options.output)
    if output.suffix != ".keras":
        raise UserError(f"--output={output} must end in .keras")
    source = formats.read_weights(os.fspath(options.source), options.net or "D")
    model = build(source, options)
    report = transfer.transfer_weights(source, model, strict=options.strict)
    output.parent.mkdir(parents=True, exist_ok=True)
    saving.save_model(model, output, metadata_of(source, model, report))
    console.say(f"{options.source}: {report}")
    console.say(f"net {vgg.net_name(model)}, {model.count_params():,} parameters, RGB 0..255 -> posteriors: {output}")
