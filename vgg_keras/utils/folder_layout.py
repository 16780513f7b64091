"""Describes by name what a verb writes into a folder, or reads from one."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from vgg_keras.utils import files


@dataclasses.dataclass(frozen=True)
class FolderLayout:
    """The names inside a folder of one kind, such as that of a run.

    Attributes:
        files: paths of the files below the folder; of what is read only, also patterns. The first one is the record, by
            which a folder of this kind is known.
        folders: names of the folders of which everything inside belongs to the verb.
    """

    files: tuple[str, ...]
    folders: tuple[str, ...] = ()

    def require_writable(self, folder: Path) -> None:
        """Checks that nothing else stands in a folder where the files and folders are to be written.

        Raises:
            UserError: something does.
        """
        for name in self.folders:
            files.require_folder(folder / name)
        for name in self.files:
            files.require_file(folder / name)

    def existing(self, path: Path) -> Iterator[Path]:
        """Yields the files of a folder that are there.

        Args:
            path: the folder, or a file in it, such as the best model of a run.
        """
        folder = path if os.path.isdir(path) else path.parent  # unlike that of Path, it takes names that are too long
        if not os.path.isdir(folder):
            return
        for pattern in self.files:
            yield from folder.glob(pattern)
        if (folder / self.files[0]).exists():
            for name in self.folders:
                yield from (inside for inside in (folder / name).rglob("*") if inside.is_file())
