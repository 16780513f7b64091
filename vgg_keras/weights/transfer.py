"""Copies the weights of another model into a net, by layer name (arXiv:1409.1556, sect. 3.1)."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from vgg_keras.models import architectures, vgg
from vgg_keras.models.input_map import InputMap
from vgg_keras.models.metadata import ModelMetadata
from vgg_keras.utils.errors import UserError

# The layer that sees the pixels.
_FIRST = "block1_conv1"


@dataclasses.dataclass(frozen=True)
class SourceWeights:
    """The weights of a model, with the layer names and the layout of `vgg.build`.

    Attributes:
        name: name of the model in messages.
        net: key of `architectures.NETS` that the model was built from, or None if unknown.
        layers: arrays of each layer in Keras's order: kernel (k, k, in, out) or (in, out) and bias; for batch
            normalization gamma, beta, mean and variance. The first convolution is for RGB - `mean_rgb`: what else is
            done to the pixels is folded into its kernel.
        mean_rgb: mean RGB that is subtracted from the input, 0..255.
        input_size: side of the model's input in pixels, or None if unknown.
        metadata: class names and training scale, as far as they are known.
    """

    name: str
    net: str | None
    layers: Mapping[str, Sequence[np.ndarray]]
    mean_rgb: tuple[float, ...]
    input_size: int | None = None
    metadata: ModelMetadata = dataclasses.field(default_factory=ModelMetadata)

    @classmethod
    def from_model(cls, model: keras.Model, name: str = "") -> "SourceWeights":
        """Returns the weights of a model of `vgg.build`, or of one whose layers have the same names.

        Args:
            model: the model.
            name: its name in messages; "": its own.
        """
        layers = {layer: found.get_weights() for layer, found in vgg.layers_with_weights(model).items()}
        seen = vgg.input_map(model)
        if seen.is_scaled() and _FIRST in layers:
            layers[_FIRST][0] = seen.fold(layers[_FIRST][0])
        size = model.input_shape[1]
        input_size = size if isinstance(size, int) else None
        return cls(name or model.name, vgg.net_name(model), layers, seen.mean, input_size)

    def has_batch_norm(self) -> bool:
        """Returns whether the model has batch normalization."""
        return any(name.endswith("_bn") for name in self.layers)

    def width_multiplier(self) -> float:
        """Returns the ratio of the model's number of channels to that of the paper's nets; 1.0 if unknown."""
        first = self.layers.get("block1_conv1")
        return first[0].shape[-1] / architectures.BLOCK_WIDTHS[0] if first else 1.0

    def layers_for(self, seen: InputMap) -> Mapping[str, Sequence[np.ndarray]]:
        """Returns the layers of a net that computes the same from pixels that its first layer scales in another way.

        A net that scales nothing is taken to subtract `mean_rgb`.
        """
        if not seen.is_scaled() or len(self.layers.get(_FIRST, ())) != 2:
            return self.layers
        kernel, bias = self.layers[_FIRST]
        return {**self.layers, _FIRST: seen.unfold(kernel, bias, self.mean_rgb)}


@dataclasses.dataclass(frozen=True)
class TransferReport:
    """Outcome of a transfer: which layers of a net received weights, and which did not.

    Attributes:
        copied: names of the layers that received the source's weights.
        missing: names of the layers that keep their initial weights: the source lacks them, or, between different nets,
            they are not in `architectures.PRE_INITIALISED`.
        other_shape: (layer name, source's shape, target's shape) of the first array that differs, for each layer whose
            shapes differ.
        unexpected: names of the source's layers that were not used, other than those in `other_shape`.
    """

    copied: tuple[str, ...]
    missing: tuple[str, ...]
    other_shape: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    unexpected: tuple[str, ...]

    def complete(self) -> bool:
        """Returns whether every layer of both models was used."""
        return not (self.missing or self.other_shape or self.unexpected)

    def __str__(self) -> str:
        lines = [f"initialized from it: {', '.join(self.copied)}"]
        if self.missing:
            lines.append(f"new, with random weights: {', '.join(self.missing)}")
        if self.other_shape:
            shapes = (f"{name} ({theirs}, here {ours})" for name, theirs, ours in self.other_shape)
            lines.append(f"new, with random weights, since the shapes differ: {', '.join(shapes)}")
        if self.unexpected:
            lines.append(f"not used from it: {', '.join(self.unexpected)}")
        return "\n".join(lines)


def transfer_weights(source: SourceWeights, target: keras.Model, *, strict: bool = False) -> TransferReport:
    """Copies weights into the layers of a net that have the same names and shapes.

    Between different nets only the first four convolutions and the FC layers are copied, as in the paper; between two
    models of the same net all layers are (a net at S=384 starts from S=256, one with scale jittering from S=384).

    Args:
        source: weights to copy.
        target: net that receives them.
        strict: whether every layer of both has to fit.

    Raises:
        UserError: no layer fits, or with `strict` some layer does not; a weight is not finite; or the source has batch
            normalization and the target does not.
    """
    if source.has_batch_norm() and not any(name.endswith("_bn") for name in vgg.layers_with_weights(target)):
        raise UserError(f"{source.name} has batch normalization, which {target.name} lacks: build it with --batch_norm")
    layers = source.layers_for(vgg.input_map(target))
    same_net = source.net in (None, vgg.net_name(target))
    copied, missing, other_shape = [], [], []
    for name, layer in vgg.layers_with_weights(target).items():
        wanted = same_net or name.removesuffix("_bn") in architectures.PRE_INITIALISED
        if not wanted or name not in layers:
            missing.append(name)
            continue
        theirs, ours = ([array.shape for array in arrays] for arrays in (layers[name], layer.get_weights()))
        if theirs == ours:
            if not all(np.isfinite(array).all() for array in layers[name]):
                raise UserError(f"{source.name}: {name} has weights that are no finite numbers")
            layer.set_weights(layers[name])
            copied.append(name)
        else:
            pairs = itertools.zip_longest(theirs, ours, fillvalue=())
            other_shape.append((name, *next(pair for pair in pairs if pair[0] != pair[1])))
    if not copied:
        raise UserError(f"no layer of {source.name} fits {target.name}: {_why_none_fits(source, target)}")
    refused = {name for name, *_ in other_shape}
    unexpected = tuple(name for name in source.layers if name not in copied and name not in refused)
    transfer = TransferReport(tuple(copied), tuple(missing), tuple(other_shape), unexpected)
    if strict and not transfer.complete():
        raise UserError(f"--strict: {source.name} does not fit {target.name}; {'; '.join(str(transfer).splitlines())}")
    return transfer


def _why_none_fits(source: SourceWeights, target: keras.Model) -> str:
    """Returns in what a source differs from a net that takes none of its layers, and the way out."""
    ours = SourceWeights.from_model(target)
    if _FIRST in source.layers and source.width_multiplier() != ours.width_multiplier():
        theirs, here = (f"{side.width_multiplier() * architectures.BLOCK_WIDTHS[0]:g}" for side in (source, ours))
        return (
            f"its first convolution has {theirs} channels, here {here}; give "
            f"--width_multiplier={source.width_multiplier():g}, or name another source"
        )
    return f"names or sizes of its layers differ ({', '.join(source.layers)}); give its own --net, or another source"
