"""Makes the optimizers of a run; pre-trained layers may have a learning rate of their own."""

import dataclasses
import inspect
import math
from collections.abc import Collection, Mapping, Sequence

import keras
import tensorflow as tf

from vgg_keras.training.one_pass import OnePassAdam, OnePassSGD
from vgg_keras.utils import keras_compat
from vgg_keras.utils.errors import UserError, did_you_mean

# Arguments that Keras 3 handles with operations of one replica.
_ONE_DEVICE = ("use_ema", "gradient_accumulation_steps")
# Arguments by which the past of a mean decays: from 1 on, it would grow, or never begin.
_DECAYS = {"beta_1", "beta_2", "rho", "ema_momentum"}
# The same optimizers, which read and write the memory once in a step.
_ONE_PASS = {keras.optimizers.SGD: OnePassSGD, keras.optimizers.Adam: OnePassAdam}


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """An optimizer and its settings.

    Attributes:
        name: "sgd" (with momentum: arXiv:1409.1556, sect. 3.1), another of Keras's optimizers, such as "adam", or a
            registered name, such as "Addons>LAMB".
        learning_rate: initial learning rate.
        momentum: momentum of "sgd", 0..1; other optimizers do not use it.
        arguments: further arguments of the optimizer's class.
    """

    name: str
    learning_rate: float
    momentum: float = 0.9
    arguments: Mapping[str, object] = dataclasses.field(default_factory=dict)

    def make(self, multiplier: float = 1.0) -> keras.optimizers.Optimizer:
        """Makes the optimizer.

        Args:
            multiplier: factor of the learning rate.

        Raises:
            ValueError: the optimizer does not take the arguments.
            UserError: the optimizer does not exist, or belongs to tensorflow-addons, which is not installed; or it
                averages the weights and never uses the average.
        """
        # Keras's own `fit` puts the average into the net at its end. Validation and the best model need it in every
        # epoch, and the training the weights themselves.
        if self.arguments.get("use_ema") and not self.arguments.get("ema_overwrite_frequency"):
            raise UserError(
                "--optimizer_args has use_ema, which averages the weights, but nothing would use the average: leave it "
                'out, or give "ema_overwrite_frequency" too, a number of steps after which the average becomes the '
                "weights"
            )
        momentum = {"momentum": self.momentum} if self.name == "sgd" else {}
        arguments = {"learning_rate": self.learning_rate * multiplier, **momentum, **self.arguments}
        made = _class_of(self.name)
        try:
            optimizer = made(**arguments)
            _check_values(self.arguments, inspect.signature(made).parameters)
        except (TypeError, ValueError) as error:
            raise ValueError(f"optimizer {self.name} cannot be made with {arguments}: {error}") from error
        return optimizer

    def require_devices(self, num_devices: int) -> None:
        """Checks that the optimizer works on several devices.

        Raises:
            UserError: it has an argument that Keras supports on one device alone.
        """
        alone = [name for name in _ONE_DEVICE if self.arguments.get(name)]
        if alone and num_devices > 1:
            raise UserError(
                f"--optimizer_args has {alone[0]}, which Keras supports on one device alone, and there are "
                f"{num_devices}: leave it out, or give --strategy=one_device"
            )


def _check_values(arguments: Mapping[str, object], parameters: Mapping[str, inspect.Parameter]) -> None:
    """Checks the values of an optimizer's arguments, of which Keras would compute nonsense or fail in the first step.

    Args:
        arguments: the arguments.
        parameters: what the optimizer's class takes.

    Raises:
        ValueError: a value is of another kind than the default, or out of its range.
    """
    for name, value in arguments.items():
        default = parameters[name].default if name in parameters else None
        if isinstance(default, bool):
            fits, kind = isinstance(value, bool), "true or false"
        elif isinstance(default, (int, float)):
            number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
            decays = name in _DECAYS
            fits = 0 <= number < 1 if decays else math.isfinite(number)
            kind = "a number from 0 to below 1" if decays else "a number"
        else:
            continue
        if not fits:
            raise ValueError(f"{name}={value!r} should be {kind}")


def _class_of(name: str) -> type:
    keras_compat.register_addons(name)
    registered = keras.saving.get_registered_object(name)
    if registered:
        return registered
    try:
        found = type(keras.optimizers.get(name))
        return _ONE_PASS.get(found, found)
    except ValueError:
        hint = did_you_mean(name, _names())
        raise UserError(f"--optimizer={name} is not an optimizer of Keras, nor a registered one{hint}") from None


def _names() -> list[str]:
    """Returns the names of Keras's optimizers in lower case."""
    classes = [value for value in vars(keras.optimizers).values() if isinstance(value, type)]
    base = keras.optimizers.Optimizer
    return [found.__name__.lower() for found in classes if issubclass(found, base) and found is not base]


def make_optimizer(
    config: OptimizerConfig, variables: list, precision: str = "float32", multiplier: float = 1.0
) -> keras.optimizers.Optimizer:
    """Makes an optimizer and its slot variables, as a checkpoint needs them; call in the strategy's scope.

    Args:
        config: the optimizer and its settings.
        variables: variables that the optimizer trains.
        precision: Keras's dtype policy; with "mixed_float16" the optimizer scales the loss.
        multiplier: factor of the learning rate.

    Raises:
        ValueError: the optimizer does not take the arguments.
        UserError: the optimizer does not exist, or belongs to tensorflow-addons, which is not installed.
    """
    optimizer = config.make(multiplier)
    if precision == "mixed_float16":
        optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer)
    keras_compat.build_optimizer(optimizer, variables)
    return optimizer


@dataclasses.dataclass(frozen=True)
class ParameterGroup:
    """Variables that share a learning rate.

    Attributes:
        optimizer: optimizer of the variables, already built.
        variables: the variables.
        multiplier: factor of the run's learning rate.
    """

    optimizer: keras.optimizers.Optimizer
    variables: Sequence
    multiplier: float = 1.0


class Optimizers:
    """Groups of variables, each with an optimizer of its own, that are updated in the same step.

    Scaling the gradients of one group would not do: Adam's step does not depend on the gradient's scale.

    Args:
        groups: the groups; each trained variable is in exactly one of them.
    """

    def __init__(self, groups: Sequence[ParameterGroup]):
        self._groups = tuple(groups)

    @property
    def members(self) -> list[keras.optimizers.Optimizer]:
        """The groups' optimizers, for a checkpoint."""
        return [group.optimizer for group in self._groups]

    def set_rate(self, rate: float) -> None:
        """Sets the learning rate of each group to the run's learning rate times the group's multiplier."""
        for group in self._groups:
            group.optimizer.learning_rate.assign(rate * group.multiplier)

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """Multiplies the loss by the loss scale of "mixed_float16"; other policies leave it as it is."""
        return keras_compat.scale_loss(self._groups[0].optimizer, loss)

    def apply(self, gradients: Sequence[tf.Tensor], variables: Sequence) -> None:
        """Does one step.

        Args:
            gradients: gradients of a loss that `scale_loss` scaled, summed over all devices: clipping and the loss
                scale see those of the whole batch.
            variables: the gradients' variables, in the same order: all that are trained.
        """
        by_variable = {id(variable): gradient for variable, gradient in zip(variables, gradients, strict=True)}
        scale = self.scale_loss(tf.ones(()))
        for group in self._groups:
            own_gradients = [by_variable[id(variable)] for variable in group.variables]
            if group is not self._groups[0]:
                # Each optimizer divides by its own scale, but the loss was multiplied by that of the first one.
                own = keras_compat.scale_loss(group.optimizer, tf.ones(())) / scale
                own_gradients = [gradient * own for gradient in own_gradients]
            keras_compat.apply_scaled(group.optimizer, own_gradients, group.variables)


def make_optimizers(
    config: OptimizerConfig,
    layers: Sequence[keras.layers.Layer],
    *,
    pretrained: Collection[str] = (),
    pretrained_rate: float = 1.0,
    precision: str = "float32",
) -> Optimizers:
    """Makes the optimizers of the layers that are trained; call in the strategy's scope.

    Args:
        config: the optimizer and its settings.
        layers: layers that are trained.
        pretrained: names of the layers whose weights come from another model.
        pretrained_rate: factor of the learning rate of the pre-trained layers.
        precision: Keras's dtype policy.

    Raises:
        ValueError: the optimizer does not take the arguments.
        UserError: the optimizer does not exist, or belongs to tensorflow-addons, which is not installed.
    """
    alike = pretrained_rate == 1.0
    groups = []
    for chosen, multiplier in ((False, 1.0), (True, pretrained_rate)):
        members = [layer for layer in layers if (not alike and layer.name in pretrained) == chosen]
        variables = [variable for layer in members for variable in layer.trainable_variables]
        if variables:
            groups.append(
                ParameterGroup(make_optimizer(config, variables, precision, multiplier), variables, multiplier)
            )
    return Optimizers(groups)
