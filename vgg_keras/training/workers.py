"""Makes sure that the workers of a cluster train the same run: equal settings and data, and one shared folder."""

import secrets
import time
from pathlib import Path

import tensorflow as tf

from vgg_keras.training import config
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils.channel import Channel
from vgg_keras.utils.keras_compat import package_versions

# Seconds that a file of another machine may take to appear on a network's file system.
_FILE_SYSTEM_DELAY = 30.0


def require_same_settings(channel: Channel, options: TrainConfig, precision: str) -> None:
    """Stops all workers if their flags, package versions, precision or numbers of GPUs differ.

    Args:
        channel: the connection to the other workers.
        options: flags of the verb.
        precision: Keras's dtype policy that was chosen on this machine.

    Raises:
        UserError: a worker differs from the chief.
    """
    flags = {f"--{name}": value for name, value in options.flags().items() if name not in config.MAY_DIFFER}
    versions = {name: version for name, version in package_versions().items() if name != "python"}
    machine = {"the precision": precision, "the number of GPUs": len(tf.config.list_physical_devices("GPU"))}
    channel.compare("settings", {**flags, **versions, **machine})


def require_shared_folder(channel: Channel, folder: Path) -> None:
    """Stops all workers if one of them does not see the chief's folder under the path of its own.

    Args:
        channel: the connection to the other workers.
        folder: the run's folder; the chief makes it.

    Raises:
        UserError: a worker sees another folder.
    """
    if not channel.peers:
        return
    token = folder / f".shared-{channel.agree('folder', secrets.token_hex(8))}"
    try:
        if channel.chief:
            folder.mkdir(parents=True, exist_ok=True)
            token.touch()
        channel.agree("folder made", "")
        seen = channel.chief or _appears(token)
        problem = f"--output_dir={folder} is not the chief's: it must be on a file system that all workers share"
        channel.require("folder shared", "" if seen else problem)
    finally:
        if channel.chief:
            token.unlink(missing_ok=True)


def _appears(path: Path) -> bool:
    deadline = time.monotonic() + _FILE_SYSTEM_DELAY
    while not path.exists():
        if time.monotonic() > deadline:
            return False
        if path.parent.exists():
            # Listing the folder makes NFS forget what it remembers of it.
            list(path.parent.iterdir())
        time.sleep(0.5)
    return True
