"""Converts the weights of another model or library to a model that takes RGB 0..255 and has the same outputs.

python -m vgg_keras.pretrained --source=vgg16_weights_tf_dim_ordering_tf_kernels.h5 --output=models/vgg16.keras
python -m vgg_keras.pretrained --source=keras_applications --net=E --num_classes=5 --output=models/vgg19_flowers.keras
"""

import dataclasses
from pathlib import Path

import keras

from vgg_keras.models import saving, vgg
from vgg_keras.models.vgg import NETS
from vgg_keras.utils import cli
from vgg_keras.utils.cli import UserError, option
from vgg_keras.weights import formats, transfer
from vgg_keras.weights.transfer import SourceWeights


@dataclasses.dataclass(frozen=True)
class PretrainedOptions:
    """Flags of `vgg_keras.pretrained`."""

    source: str = option(
        "",
        "a .keras file or a run's folder, keras.applications' .h5 or .keras, torchvision's .pth, a KerasHub preset's "
        "folder, or keras_applications, which downloads",
        required=True,
    )
    net: str = option("", f"the net, one of {', '.join(NETS)}; empty: the source's")
    num_classes: int = option(0, "number of classes; 0: the source's", lower=0)
    input_size: int = option(0, "side of the input in pixels; 0: the source's, or 224", lower=0)
    seed: int = option(0, "seed of the weights that the source does not have (Glorot)", lower=0)
    strict: bool = option(False, "fail if a layer is missing, unexpected or of another shape")
    output: str = option("", "the .keras file to write", required=True)


def build(source: SourceWeights, options: PretrainedOptions) -> keras.Model:
    """Builds a net for the source's weights, initialised at random.

    Args:
        source: the weights; they determine the settings that the flags leave open.
        options: flags of the verb.

    Raises:
        UserError: neither the flags nor the source determine a setting, or a setting is out of its range.
    """
    net = options.net or source.net
    num_classes = options.num_classes or (source.layers["fc8"][0].shape[-1] if "fc8" in source.layers else 0)
    if not net or not num_classes:
        raise UserError(f"{source.name} does not tell it: give --{'num_classes' if net else 'net'}")
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


def main(options: PretrainedOptions) -> None:
    """Reads the weights, builds the net, copies the weights into it, and writes and describes the model.

    Raises:
        UserError: --output does not end in `.keras`, or the source cannot be read or does not fit the net.
    """
    output = Path(options.output)
    if output.suffix != ".keras":
        raise UserError(f"--output={output} must end in .keras")
    source = formats.read_weights(options.source, options.net or "D")
    model = build(source, options)
    report = transfer.transfer_weights(source, model, strict=options.strict)
    output.parent.mkdir(parents=True, exist_ok=True)
    saving.save_model(model, output)
    print(f"{options.source}: {report}")
    print(f"net {vgg.net_name(model)}, {model.count_params():,} parameters, RGB 0..255 -> posteriors: {output}")


if __name__ == "__main__":
    cli.run(main, PretrainedOptions)
