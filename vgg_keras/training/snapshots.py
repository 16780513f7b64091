"""Takes snapshots of a checkpoint in memory, which are written to the disk while training goes on.

A snapshot is what TensorFlow itself writes, with the names and the object graph of every version and optimizer, but
into the file system that it keeps in memory. TensorFlow's own asynchronous checkpoints
(`tf.train.CheckpointOptions.enable_async`) do not do here: they tell of an error at the next checkpoint alone, and not
when the files are complete, so that neither their checksums nor their syncing could be left to the thread.
"""

import hashlib
import uuid
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from vgg_keras.utils import files

_CHUNK_BYTES = 1 << 22


class Snapshot:
    """The state of a checkpoint's objects at one moment, in memory.

    It holds the bytes of the checkpoint, for net D with momentum 1.1 GB. The file in memory doubles its room as it
    grows: a process that had freed no other memory took 3.3 GB for these, most of which it could use again.

    Args:
        checkpoint: the objects. With variables that are averaged as they are read, all workers of a cluster have to
            take the snapshot.
        name: name that the checkpoint's files begin with, such as "ckpt-120".
    """

    def __init__(self, checkpoint: tf.train.Checkpoint, name: str):
        self._folder = f"ram://{uuid.uuid4().hex}"  # of this process
        checkpoint.write(f"{self._folder}/{name}")

    def write(self, folder: Path, between: Callable[[], None]) -> dict[str, dict]:
        """Writes the files, each complete or not at all, and the index last.

        Args:
            folder: the folder.
            between: function that is called between the parts of a file; an error that it raises ends the writing.

        Returns:
            {file name: {"bytes": size, "sha256": hexadecimal digits}} of what the files hold if the disk is sound.

        Raises:
            OSError: a file cannot be written.
        """
        names = sorted(tf.io.gfile.listdir(self._folder), key=lambda name: name.endswith(".index"))
        return {name: self._write_file(folder / name, between) for name in names}

    def _write_file(self, path: Path, between: Callable[[], None]) -> dict:
        digest = hashlib.sha256()

        def copy(target: Path) -> None:
            with tf.io.gfile.GFile(f"{self._folder}/{path.name}", "rb") as source, target.open("wb") as file:
                while chunk := source.read(_CHUNK_BYTES):
                    between()
                    digest.update(chunk)
                    file.write(chunk)

        files.write_atomically(path, copy)
        return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}

    def drop(self) -> None:
        """Frees the memory."""
        tf.io.gfile.rmtree(self._folder)
