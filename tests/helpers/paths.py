"""Names the folders of the project and of the real photos."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# Flags of a training run that takes seconds.
TINY_CONFIG = ROOT / "tests" / "helpers" / "tiny.cfg"
REAL_DATA = ROOT.parent / "shared" / "data"
