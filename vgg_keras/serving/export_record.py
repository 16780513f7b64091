"""Reads the description of an exported version, `export.json`, and checks the version's files by it."""

from pathlib import Path

from vgg_keras.inference.protocol import AVERAGES, HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE, METHODS
from vgg_keras.models.architectures import BOX_REGRESSIONS, TASKS
from vgg_keras.serving import versions
from vgg_keras.serving.agreement import TOLERANCES
from vgg_keras.utils import files, side_files
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.structures import DESCRIBED_FILE, TEXT, TRUTH, MapOf, Maybe, number, one_of, whole

MAIN_FILE = "saved_model.pb"
RECORD = "export.json"
_RECORD = {
    "task": Maybe(one_of(*TASKS)),
    "box_regression": Maybe(one_of(*BOX_REGRESSIONS)),
    "source": TEXT,
    "source_sha256": TEXT,
    "net": TEXT,
    "num_classes": whole(1),
    "input_size": whole(1),
    "method": one_of(*METHODS),
    "test_scales": [whole(1)],
    "flip": TRUTH,
    "average": Maybe(one_of(*AVERAGES)),
    "temperature": Maybe(number(LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE)),
    "temperature_fitted_on": Maybe(TEXT),
    "train_scale": Maybe(TEXT),
    "precision": one_of(*TOLERANCES),
    "max_megapixels": number(0),
    "turned_upright": Maybe(TRUTH),
    "agreement": {"num_photos": whole(1), "same_top1": Maybe(whole(0)), "largest_difference": number(0, 1)},
    "agreement_text": TEXT,
    "warm_up_requests": Maybe(whole(1)),
    "files": Maybe(MapOf(DESCRIBED_FILE)),
}


def path(version: Path) -> Path:
    """Returns the path of the description in the folder of a version."""
    return version / versions.EXTRA / RECORD


def read(version: Path) -> dict:
    """Reads `export.json`, the description of an exported version.

    Args:
        version: folder of the version.

    Raises:
        UserError: the file is missing or damaged.
    """
    return side_files.read_json(
        path(version), _RECORD, "vgg_keras.export writes it into each version; export the model again"
    )


def require_whole(version: Path, only: str | None = None) -> None:
    """Checks the files of an exported version that are read without a checksum of their own, such as its graph.

    Args:
        version: folder of the version. One of an earlier version of this package, or of another program, has no
            checksums and passes.
        only: name of the one file that is checked; None: all.

    Raises:
        UserError: a file differs from the one that was written, or the record is damaged.
    """
    if not path(version).exists():
        return
    for name, described in read(version).get("files", {}).items():
        if (name == only or only is None) and (problem := files.difference(version / name, described)):
            raise UserError(f"{version} is not whole: {problem}; export the model again")
