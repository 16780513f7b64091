"""Where the project and the real photos are."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# The flags of a training of seconds.
TINY_CONFIG = ROOT / "tests" / "helpers" / "tiny.cfg"
REAL_DATA = ROOT.parent / "shared" / "data"
