"""The optimizer, and a learning rate of their own for layers that are pre-trained."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import keras
import tensorflow as tf

from vgg_keras.utils import keras_compat


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Which optimizer, with which settings.

    Attributes:
        name: "sgd" (with momentum: arXiv:1409.1556, sect. 3.1), another of Keras's, such as "adam", or one by its
            registered name, such as "Addons>LAMB".
        learning_rate: the initial rate.
        momentum: of "sgd".
        arguments: further ones of its class.
    """

    name: str
    learning_rate: float
    momentum: float = 0.9
    arguments: Mapping[str, object] = dataclasses.field(default_factory=dict)

    def make(self, multiplier: float = 1.0) -> keras.optimizers.Optimizer:
        """Makes it, with a multiple of the learning rate.

        Raises:
            ValueError: there is no such optimizer, or it has no such arguments.
        """
        momentum = {"momentum": self.momentum} if self.name == "sgd" else {}
        arguments = {"learning_rate": self.learning_rate * multiplier, **momentum, **self.arguments}
        made = _class_of(self.name)
        try:
            return made(**arguments)
        except (TypeError, ValueError) as error:
            raise ValueError(f"optimizer {self.name} cannot be made with {arguments}: {error}") from error


def _class_of(name: str) -> type:
    keras_compat.register_addons(name)
    registered = keras.saving.get_registered_object(name)
    return registered or type(keras.optimizers.get(name))


def make_optimizer(
    choice: OptimizerConfig, variables: list, precision: str = "float32", multiplier: float = 1.0
) -> keras.optimizers.Optimizer:
    """Makes an optimizer, ready for a checkpoint; call in the strategy's scope.

    Args:
        choice: which.
        variables: what it trains.
        precision: the dtype policy; "mixed_float16" needs the loss scaled.
        multiplier: of the learning rate.

    Raises:
        ValueError: there is no such optimizer.
    """
    optimizer = choice.make(multiplier)
    if precision == "mixed_float16":
        optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer)
    keras_compat.build_optimizer(optimizer, variables)
    return optimizer


@dataclasses.dataclass(frozen=True)
class ParameterGroup:
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

    def __init__(self, groups: Sequence[ParameterGroup]):
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
        return keras_compat.scale_loss(self._groups[0].optimizer, loss)

    def apply(self, gradients: Sequence[tf.Tensor], variables: Sequence) -> None:
        """Does one step with the gradients of a loss that `scale_loss` scaled."""
        by_variable = {id(variable): gradient for variable, gradient in zip(variables, gradients, strict=True)}
        scale = self.scale_loss(tf.ones(()))
        for group in self._groups:
            # Each optimizer divides by its own scale, and the loss was multiplied by the first one's.
            own = keras_compat.scale_loss(group.optimizer, tf.ones(())) / scale
            own_gradients = [by_variable[id(variable)] * own for variable in group.variables]
            keras_compat.apply_scaled(group.optimizer, own_gradients, group.variables)


def make_optimizers(
    choice: OptimizerConfig,
    layers: Sequence[keras.layers.Layer],
    *,
    pretrained: Collection[str] = (),
    pretrained_rate: float = 1.0,
    precision: str = "float32",
) -> Optimizers:
    """Makes the optimizers of the layers that are trained; call in the strategy's scope.

    Args:
        choice: which optimizer.
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
            groups.append(
                ParameterGroup(make_optimizer(choice, variables, precision, multiplier), variables, multiplier)
            )
    return Optimizers(groups)
