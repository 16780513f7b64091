"""Makes sure that all workers of a cluster see the same folder, and waits for files of other machines."""

import secrets
import time
from collections.abc import Callable
from pathlib import Path

from vgg_keras.utils.channel import Channel

# Seconds that a file of another machine may take to appear on a network's file system.
FILE_SYSTEM_DELAY = 30.0


def require_shared_folder(channel: Channel, folder: Path) -> None:
    """Stops all workers if one of them does not see the chief's folder under the path of its own.

    Args:
        channel: the connection to the other workers.
        folder: the folder of --output_dir; the chief makes it.

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
        seen = channel.chief or appears(token)
        problem = f"--output_dir={folder} is not the chief's: it must be on a file system that all workers share"
        channel.require("folder shared", "" if seen else problem)
    finally:
        if channel.chief:
            token.unlink(missing_ok=True)


def appears(path: Path) -> bool:
    """Waits for a file that another machine has written; returns whether it has come."""
    return comes_true(path.exists, path.parent)


def comes_true(condition: Callable[[], bool], folder: Path) -> bool:
    """Waits until what another machine has written into a folder is seen here; returns whether it is.

    Args:
        condition: function that looks whether it is.
        folder: the folder.
    """
    deadline = time.monotonic() + FILE_SYSTEM_DELAY
    while not condition():
        if time.monotonic() > deadline:
            return False
        if folder.exists():
            # Listing the folder makes NFS forget what it remembers of it.
            list(folder.iterdir())
        time.sleep(0.5)
    return True
