"""Makes sure that the workers of a cluster do the same work with equal settings and versions."""

from collections.abc import Collection, Mapping

import tensorflow as tf

from vgg_keras.training import config
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils.channel import Channel
from vgg_keras.utils.keras_compat import package_versions
from vgg_keras.utils.options import Options


def require_same_settings(channel: Channel, options: TrainConfig, precision: str) -> None:
    """Stops all workers if their flags, package versions, precision or numbers of GPUs differ.

    Args:
        channel: the connection to the other workers.
        options: flags of the verb.
        precision: Keras's dtype policy that was chosen on this machine.

    Raises:
        UserError: a worker differs from the chief.
    """
    machine = {"the precision": precision, "the number of GPUs": len(tf.config.list_physical_devices("GPU"))}
    require_equal(channel, options, config.MAY_DIFFER, machine)


def require_equal(
    channel: Channel, options: Options, may_differ: Collection[str], more: Mapping[str, object] | None = None
) -> None:
    """Stops all workers if their flags or package versions differ.

    Args:
        channel: the connection to the other workers.
        options: flags of the verb.
        may_differ: names of the flags that may differ, such as paths.
        more: further facts that have to be equal, by what they are.

    Raises:
        UserError: a worker differs from the chief.
    """
    flags = {f"--{name}": value for name, value in options.flags().items() if name not in may_differ}
    versions = {name: version for name, version in package_versions().items() if name != "python"}
    channel.compare("settings", {**flags, **versions, **(more or {})})
