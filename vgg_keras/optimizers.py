"""The optimizer, and a learning rate of their own for layers that are pre-trained."""

import dataclasses
from collections.abc import Collection, Sequence

import keras
import tensorflow as tf


def make_optimizer(
    name: str, learning_rate: float, momentum: float, variables: list, precision: str = "float32"
) -> keras.optimizers.Optimizer:
    """Makes an optimizer, ready for a checkpoint; call in the strategy's scope.

    Args:
        name: "sgd" (with momentum: arXiv:1409.1556, sect. 3.1), or a class that `keras.optimizers.get` knows, such as
            "adam".
        learning_rate: the initial rate.
        momentum: of "sgd".
        variables: what it trains.
        precision: the dtype policy; "mixed_float16" needs the loss scaled.

    Raises:
        ValueError: there is no such optimizer.
    """
    if name == "sgd":
        optimizer = keras.optimizers.SGD(learning_rate, momentum=momentum)
    else:
        optimizer = keras.optimizers.get({"class_name": name, "config": {"learning_rate": learning_rate}})
    if precision == "mixed_float16":
        optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer)
    optimizer.build(variables)
    return optimizer


@dataclasses.dataclass(frozen=True)
class Group:
    """Variables that share a learning rate.

    Attributes:
        optimizer: built for the variables.
        variables: what it trains.
        multiplier: of the run's learning rate.
    """

    optimizer: keras.optimizers.Optimizer
    variables: Sequence
    multiplier: float = 1.0


class Optimizers:
    """Groups of variables that step together. With one group it is that group's optimizer.

    Two optimizers, not scaled gradients: Adam's step does not depend on the gradient's scale.

    Args:
        groups: the groups; together they hold every variable that is trained, each once.
    """

    def __init__(self, groups: Sequence[Group]):
        self._groups = tuple(groups)

    @property
    def members(self) -> list[keras.optimizers.Optimizer]:
        """The optimizers, for a checkpoint."""
        return [group.optimizer for group in self._groups]

    def set_rate(self, rate: float) -> None:
        """Sets the run's learning rate, and with it that of each group."""
        for group in self._groups:
            group.optimizer.learning_rate.assign(rate * group.multiplier)

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """Returns the loss scaled for half precision; only mixed_float16 scales."""
        return self._groups[0].optimizer.scale_loss(loss)

    def apply(self, gradients: Sequence[tf.Tensor], variables: Sequence) -> None:
        """Does one step with the gradients of a loss that `scale_loss` scaled."""
        by_variable = {id(variable): gradient for variable, gradient in zip(variables, gradients, strict=True)}
        scale = self.scale_loss(tf.ones(()))
        for group in self._groups:
            # Each optimizer divides by its own scale, and the loss was multiplied by the first one's.
            own = group.optimizer.scale_loss(tf.ones(())) / scale
            group.optimizer.apply_gradients(
                [(by_variable[id(variable)] * own, variable) for variable in group.variables]
            )


def make_optimizers(
    name: str,
    learning_rate: float,
    momentum: float,
    layers: Sequence[keras.layers.Layer],
    *,
    pretrained: Collection[str] = (),
    pretrained_rate: float = 1.0,
    precision: str = "float32",
) -> Optimizers:
    """Makes the optimizers of the layers that are trained; call in the strategy's scope.

    Args:
        name: as in `make_optimizer`.
        learning_rate: the initial rate.
        momentum: of "sgd".
        layers: what is trained.
        pretrained: names of the layers whose weights come from another model.
        pretrained_rate: their multiplier of the learning rate.
        precision: the dtype policy.

    Raises:
        ValueError: there is no such optimizer.
    """
    alike = pretrained_rate == 1.0
    groups = []
    for chosen, multiplier in ((False, 1.0), (True, pretrained_rate)):
        members = [layer for layer in layers if (not alike and layer.name in pretrained) == chosen]
        variables = [variable for layer in members for variable in layer.trainable_variables]
        if variables:
            optimizer = make_optimizer(name, learning_rate * multiplier, momentum, variables, precision)
            groups.append(Group(optimizer, variables, multiplier))
    return Optimizers(groups)
