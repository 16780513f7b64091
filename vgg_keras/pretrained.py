"""Weights from elsewhere: a deeper net's first layers from a trained A (arXiv:1409.1556, sect. 3.1)."""

import dataclasses
from pathlib import Path

import keras

from vgg_keras import architectures, checkpoints, run_folder
from vgg_keras.command_line import UserError


@dataclasses.dataclass(frozen=True)
class Transfer:
    """Which layers of a net took their weights from another model.

    Attributes:
        copied: names of the layers that did.
        not_in_source: names of layers with weights that the source lacks or whose weights have another shape.
        not_used: names of the source's layers that found no place.
    """

    copied: tuple[str, ...]
    not_in_source: tuple[str, ...]
    not_used: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"initialised from it: {', '.join(self.copied)}"]
        if self.not_in_source:
            lines.append(f"left as initialised: {', '.join(self.not_in_source)}")
        if self.not_used:
            lines.append(f"not used of it: {', '.join(self.not_used)}")
        return "\n".join(lines)


def _layers_with_weights(model: keras.Model) -> dict[str, keras.layers.Layer]:
    return {layer.name: layer for layer in model.layers if layer.weights}


def copy_weights(source: keras.Model, target: keras.Model) -> Transfer:
    """Copies weights layer by layer, by name, where the shapes agree.

    Between two different nets only the first four convolutions and the FC layers are copied, as in the paper; between
    two of the same net, all layers (S=384 starts from S=256, the jittered nets from S=384).

    Raises:
        UserError: nothing fits.
    """
    same_net = architectures.net_of(source) in (None, architectures.net_of(target))
    sources, targets = _layers_with_weights(source), _layers_with_weights(target)
    copied = []
    for name, layer in targets.items():
        wanted = same_net or name.removesuffix("_bn") in architectures.PRE_INITIALISED
        if wanted and name in sources:
            values = sources[name].get_weights()
            if [value.shape for value in values] == [value.shape for value in layer.get_weights()]:
                layer.set_weights(values)
                copied.append(name)
    if not copied:
        raise UserError(
            f"no layer of {source.name} fits {target.name}: width, input size or names differ "
            f"(its layers: {', '.join(sources)})"
        )
    rest = [tuple(name for name in names if name not in copied) for names in (targets, sources)]
    return Transfer(tuple(copied), *rest)


def initialise_from(path: str, target: keras.Model) -> Transfer:
    """Copies the weights of a `.keras` file, or of the best model in the folder of a run, into a model.

    Raises:
        UserError: there is no such model, or nothing in it fits.
    """
    return copy_weights(checkpoints.load_model(run_folder.model_file(Path(path))), target)
