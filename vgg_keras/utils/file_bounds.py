"""Bounds what a file from elsewhere may make the package allocate: a small file must not ask for gigabytes."""

import io
import json
import zipfile
from pathlib import Path

import h5py

# Bytes in memory that a file may ask for: so many times its size, and a little for small files, which compress well.
_FACTOR, _ALLOWANCE = 16, 64 * 2**20


def require_in_proportion(num_bytes: int, file_size: int) -> None:
    """Checks that what a file declares is in proportion to its size.

    Args:
        num_bytes: bytes in memory that the file's content would take, as the file declares it.
        file_size: size of the file in bytes.

    Raises:
        ValueError: it would take more than 16 times the file's size and 64 MiB.
    """
    if num_bytes > _FACTOR * file_size + _ALLOWANCE:
        raise ValueError(f"it declares {num_bytes:,} bytes of content, but has only {file_size:,} bytes itself")


def open_zip(path: Path) -> zipfile.ZipFile:
    """Opens a zip whose members, unpacked, are in proportion to the file.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the members would unpack to far more than the file.
        zipfile.BadZipFile: the file is not a zip.
    """
    archive = zipfile.ZipFile(path)
    try:
        require_in_proportion(sum(member.file_size for member in archive.infolist()), path.stat().st_size)
    except ValueError:
        archive.close()
        raise
    return archive


def require_bounded_hdf5(group: h5py.Group, file_size: int) -> None:
    """Checks the datasets below a group of an HDF5 file, before any is read.

    Args:
        group: the group, such as the whole file.
        file_size: size of the file in bytes.

    Raises:
        ValueError: the arrays would take far more memory than the file has bytes, or are kept outside the file.
    """
    total = 0

    def visit(path: str, item: h5py.Group | h5py.Dataset) -> None:
        nonlocal total
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise ValueError(f"{path} is kept in another file")
            total += item.size * item.dtype.itemsize if item.shape is not None else 0
            require_in_proportion(total, file_size)
        elif not all(isinstance(item.get(name, getlink=True), h5py.HardLink) for name in item):
            raise ValueError(f"{path} links to something outside itself")

    visit("it", group)
    group.visititems(visit)


def hdf5_in_zip(archive: zipfile.ZipFile, member: str) -> h5py.File:
    """Opens an HDF5 file inside a zip; its checksum is compared, and it is read into memory.

    Raises:
        KeyError: the zip has no such member.
        OSError: the member is not HDF5.
        zipfile.BadZipFile: the member is damaged.
    """
    return h5py.File(io.BytesIO(archive.read(member)))


def parse_json(text: str | bytes) -> object:
    """Parses JSON from elsewhere.

    Raises:
        ValueError: the text is not JSON in UTF-8, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
