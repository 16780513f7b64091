"""Runs the notebooks of the documentation, and compares what they put out with what is stored in them."""

import pytest

from tests.helpers.paths import REAL_DATA

_NOT_HERE = "what runs notebooks and shows them is not installed: pip install '.[test]'"
notebooks = pytest.importorskip("tests.helpers.notebooks", reason=_NOT_HERE)
notebook_pages = pytest.importorskip("tests.helpers.notebook_pages", reason=_NOT_HERE)

PATHS = notebooks.paths()
pytestmark = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_new_run_puts_out_what_is_stored(path, tmp_path):
    stored, new = notebooks.code_cells(notebooks.read(path)), notebooks.code_cells(notebooks.executed(path, tmp_path))
    for old_cell, new_cell in zip(stored, new, strict=True):
        (old_kinds, old_words, old_numbers), (kinds, words, numbers) = map(
            notebooks.words_and_numbers, (old_cell, new_cell)
        )
        outdated = f"cell {old_cell.id}: run python -m tests.helpers.notebooks, and look at what has changed"
        assert (kinds, words) == (old_kinds, old_words), outdated
        if notebooks.VARIES not in old_cell.metadata.get("tags", ()):
            assert numbers == pytest.approx(old_numbers, rel=1e-3), outdated


@pytest.mark.fuzz
@pytest.mark.real_data
@pytest.mark.multiprocess
def test_it_runs_with_real_photos_and_imagenets_convolutions(path, tmp_path):
    for file in REAL_DATA.iterdir():
        (tmp_path / file.name).symlink_to(file)
    cells = {
        cell.id: notebooks.words_and_numbers(cell) for cell in notebooks.code_cells(notebooks.executed(path, tmp_path))
    }
    assert cells["setup"][1][:4] == ["Working", "with", "real", "photos"]
    assert cells["filters"][2][-3:] == [64, 3, 3]
    # Guessing has an error of 67%, and one photo is 3.3%.
    assert all(error < 34 for error in cells["errors"][2][2::3])


def test_its_file_is_small_and_holds_a_whole_run(path):
    assert path.stat().st_size < 1_000_000
    cells = notebooks.code_cells(notebooks.read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert {output.get("name", "stdout") for cell in cells for output in cell.outputs} == {"stdout"}


def test_its_page_has_its_texts_and_pictures(path):
    notebook = notebooks.read(path)
    page, pictures = notebook_pages.converted(notebook, path.stem)
    assert page.startswith(notebook.cells[0].source.partition("\n")[0] + "\n\n*This page is a [notebook](")
    assert all(cell.source.partition("\n")[2] in page for cell in notebook.cells)
    assert pictures
    assert all(png.startswith(b"\x89PNG") and f"]({name})" in page for name, png in pictures.items())
    assert "![what the cell shows]" not in page, "a cell with a picture needs its description, as metadata `alt`"
