"""Opens the folder of an evaluation: a new one, one that was stopped, or a finished one."""

from pathlib import Path

from vgg_keras.evaluation import layout, records, tables
from vgg_keras.utils import side_files
from vgg_keras.utils.errors import UserError


def open_output_dir(folder: Path, wanted: dict) -> dict | None:
    """Makes the evaluation's folder, or finds the same evaluation in it, finished or not.

    Args:
        folder: the evaluation's folder.
        wanted: description of the evaluation, JSON-ready, as `records.read_description` reads it.

    Returns:
        The record of the evaluation if the folder holds it finished, else None.

    Raises:
        UserError: the folder holds another evaluation, or a record in it is damaged.
    """
    finished, begun = folder / tables.RECORD, folder / layout.SETTINGS
    for record, read in ((finished, records.read_finished), (begun, records.read_description)):
        if record.exists():
            found = read(record)
            if differing := records.differences(found, wanted):
                what = f"{folder} holds another evaluation ({record}: {'; '.join(differing)})"
                raise UserError(f"{what}; choose another --output_dir")
            return found if record == finished else None
    begun.parent.mkdir(parents=True, exist_ok=True)
    side_files.write_json(begun, wanted)
    return None
