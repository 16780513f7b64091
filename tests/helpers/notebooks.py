"""Runs the notebooks below docs/, and stores their outputs in them.

python -m tests.helpers.notebooks

The outputs that are stored are those of a machine without the real photos, so that everyone has the same.
"""

import os
import re
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests.helpers.documentation import DOCS
from tests.helpers.paths import ROOT

# Tag of the cells whose numbers come from a training or from a clock: other machines have others.
VARIES = "varies"
# Seconds that a cell may take.
_TIMEOUT = 900
_NUMBER = re.compile(r"\d[\d,.]*(?:e-?\d+)?")


def paths() -> list[Path]:
    """Returns the paths of all notebooks."""
    return sorted(DOCS.rglob("*.ipynb"))


def read(path: Path) -> nbformat.NotebookNode:
    """Reads a notebook with its stored outputs."""
    return nbformat.read(path, nbformat.NO_CONVERT)


def executed(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Returns a notebook with the outputs of a new run, without what goes to stderr.

    Args:
        path: the notebook.
        folder: working folder of the run, in which it also makes its temporary ones.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell has failed.
    """
    notebook = read(path)
    client = NotebookClient(notebook, timeout=_TIMEOUT, record_timing=False, resources={"metadata": {"path": folder}})
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    # What the notebook writes goes with the folder.
    client.execute(env={**os.environ, "PYTHONPATH": search, "TMPDIR": str(folder)})
    for cell in code_cells(notebook):
        cell.outputs = _tidied(cell.outputs)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def _tidied(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Returns outputs without those to stderr, and with neighbouring pieces of a stream as one."""
    whole: list[nbformat.NotebookNode] = []
    for output in outputs:
        if output.get("name") == "stderr":
            continue
        if whole and output.output_type == whole[-1].output_type == "stream":
            whole[-1].text += output.text
        else:
            whole.append(output)
    return whole


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Returns the cells of code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def words_and_numbers(cell: nbformat.NotebookNode) -> tuple[list[str], list[str], list[float]]:
    """Returns what a cell puts out: the kinds of its outputs, the words of its texts, and the numbers in them."""
    kinds = [output.output_type + "".join(sorted(output.get("data", ()))) for output in cell.outputs]
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    text = "\n".join(texts)
    numbers = [float(number.replace(",", "").rstrip(".")) for number in _NUMBER.findall(text)]
    return kinds, _NUMBER.sub("#", text).split(), numbers


def _main() -> None:
    for path in paths():
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(executed(path, Path(folder)), path)


if __name__ == "__main__":
    _main()
