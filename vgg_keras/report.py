"""Collects finished evaluations into the paper's Tables 3 to 6, with its own figures beside ours.

python -m vgg_keras.report --evaluations_dir=evaluations
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from vgg_keras.evaluation import published, results
from vgg_keras.evaluation.published import Published, TrainedNet
from vgg_keras.training import run_dir
from vgg_keras.utils import cli
from vgg_keras.utils.cli import UserError, option

_TITLES = {
    3: "Table 3: a single test scale",
    4: "Table 4: several test scales",
    5: "Table 5: dense evaluation and multi-crop",
    6: "Table 6: fusion of several nets",
}
_COLUMNS = ("net", "train S", "test Q", "method", "top-1 err. %", "top-5 err. %", "paper's top-1", "paper's top-5")


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """Flags of `vgg_keras.report`."""

    evaluations_dir: str = option("evaluations", "the folder in which, at any depth, finished evaluations lie")
    output: str = option("", "the Markdown file; empty: tables.md in --evaluations_dir")


def read_records(folder: Path) -> list[dict]:
    """Reads all finished evaluations below a folder, the oldest first.

    Raises:
        UserError: there is no such folder, or a record is damaged.
    """
    if not folder.is_dir():
        raise UserError(f"--evaluations_dir={folder} is not a folder; python -m vgg_keras.evaluate makes evaluations")
    return [_read_record(path) for path in sorted(folder.rglob(results.RECORD), key=lambda path: path.stat().st_mtime)]


def _read_record(path: Path) -> dict:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {key: record[key] for key in ("images", "results")}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no record of an evaluation ({error!r}); remove its folder") from error


def by_images(records: Iterable[dict]) -> dict[str, tuple[dict, dict[Published, dict]]]:
    """Sorts results into the paper's rows.

    Returns:
        For each set of images its description and {row: the newest result}.
    """
    found = {}
    for record in records:
        images = record["images"]
        _, rows = found.setdefault(images["sha256_of_classes_labels_sizes"], (images, {}))
        for result in record["results"]:
            nets = [TrainedNet(*pair) for pair in zip(result["nets"], result["train_scales"], strict=True)]
            if result["flip"]:  # as the paper always does
                rows |= dict.fromkeys(published.rows_of(nets, result["method"], result["test_scales"]), result)
    return found


def table(number: int, rows: Mapping[Published, dict]) -> list[list[str]]:
    """Returns the rows of one of the paper's tables; cells of what was not run are blank."""
    cells = []
    for row in published.PUBLISHED:
        if row.table == number:
            nets, train_scales = zip(*map(dataclasses.astuple, row.nets), strict=True)
            ours = rows.get(row)
            errors = [f"{ours[key]:.1f}" for key in ("top1_error", "top5_error")] if ours else ["", ""]
            cells.append(
                [
                    *results.names(nets, train_scales, row.test_scales()),
                    results.METHOD_NAMES[row.method],
                    *errors,
                    f"{row.top1:.1f}",
                    f"{row.top5:.1f}",
                ]
            )
    return cells


def main(options: ReportOptions) -> None:
    """Prints the tables and writes them as Markdown."""
    folder = Path(options.evaluations_dir)
    output = Path(options.output) if options.output else folder / "tables.md"
    records = read_records(folder)
    text = ["# Tables 3 to 6 of arXiv:1409.1556\n"]
    # With no evaluation at all the tables still show what there is to run.
    nothing = {"": ({}, {})}
    for images, rows in (by_images(records) or nothing).values():
        title = f"{images['data_set']}, {images['split']}: {images['num_images']:,} images" if images else "nothing run"
        note = results.data_note(images) if images else ""
        text += [f"## {title}\n", *([f"{note}\n"] if note else [])]
        for number, heading in _TITLES.items():
            cells = table(number, rows)
            results.print_table(f"{heading} ({title})", _COLUMNS, cells)
            text += [f"### {heading}\n", results.markdown_table(_COLUMNS, cells)]
        print(note or "the paper's figures are of the same images")
    output.parent.mkdir(parents=True, exist_ok=True)
    run_dir.write_text(output, "\n".join(text))
    print(f"{len(records)} evaluations; written: {output}")


if __name__ == "__main__":
    cli.run(main, ReportOptions)
