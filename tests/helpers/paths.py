"""Names the folders of the project and of the real photos."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# Flags of a training run that takes seconds.
TINY_CONFIG = ROOT / "tests" / "helpers" / "tiny.cfg"
REAL_DATA = ROOT.parent / "shared" / "data"


def folder_content(folder: Path) -> dict[str, bytes]:
    """Returns the content of each file at any depth of a folder, by its path below the folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
