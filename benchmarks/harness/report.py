"""Reports what was measured: as a table, as Markdown and as JSON."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.harness import load
from benchmarks.harness.runner import Row
from vgg_keras.utils import escaping, files, side_files
from vgg_keras.utils.display import ShownTable

COLUMNS = ("figure", "ours", "peer", "ratio [interval]", "ceiling", "remark")
# The Markdown file has another name if the figures cannot be quoted, so that nobody takes it for one that can.
MARKDOWN, NOT_QUOTABLE, JSON = "benchmarks.md", "benchmarks.not_quotable.md", "benchmarks.json"
EXPLANATION = (
    "Times are medians. The ratio is the median of the peer's time divided by ours, pair by pair: above 1 the package "
    "is faster. Its interval is that of the sign test: from the smallest to the largest of six pairs, it holds the "
    "true median with a probability of 97%. The ceiling is the largest ratio that could be reached, as far as it is "
    "known."
)


@dataclasses.dataclass(frozen=True)
class Compared:
    """The words for a benchmark below the table.

    Attributes:
        summary: what it measures.
        ours: what the package does.
        peer: what it is compared with.
        ceiling: what bounds the ratio, or "".
    """

    summary: str
    ours: str
    peer: str
    ceiling: str = ""

    def __str__(self) -> str:
        ceiling = f" Ceiling: {self.ceiling}." if self.ceiling else ""
        return f"{self.summary} Ours: {self.ours}. Peer: {self.peer}.{ceiling}"


@dataclasses.dataclass(frozen=True)
class Report:
    """The results of a run.

    Attributes:
        rows: the figures.
        compared: the words for each benchmark, by its name.
        environment: the machine, the versions and the date as texts by their names.
        quick: whether the run was of the short form.
        failed: why a benchmark ended early, by its name.
    """

    rows: Sequence[Row]
    compared: Mapping[str, Compared]
    environment: Mapping[str, str]
    quick: bool = False
    failed: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def quotable(self) -> bool | None:
        """Whether all figures can be quoted: False if one cannot or there is none, None if it is unknown of one."""
        found = {row.quotable for row in self.rows}
        return False if False in found or not found else None if None in found else True

    @property
    def refused(self) -> list[Row]:
        """The figures that were to be quoted, and that cannot be, since the machine was busy."""
        return [] if self.quick else [row for row in self.rows if row.quotable is False]

    def table(self) -> ShownTable:
        """Returns the table of all figures."""
        return ShownTable("Benchmarks", COLUMNS, [cells(row) for row in self.rows], boxed=False)

    def notes(self) -> list[str]:
        """Returns the lines below the table: what is compared, what failed, and on which machine it was measured."""
        return [
            *(f"{name}: {compared}" for name, compared in self.compared.items()),
            *(f"{name} failed: {why}" for name, why in self.failed.items()),
            "; ".join(f"{name}: {value}" for name, value in self.environment.items()),
        ]

    def markdown(self) -> str:
        """Returns the report as Markdown."""
        lines = ["# Benchmarks", "", EXPLANATION, ""]
        if self.quotable is False:
            lines += ["**Not quotable**: see the remarks.", ""]
        escaped = [[escaping.markdown(cell) for cell in cells(row)] for row in self.rows]
        lines += [f"| {' | '.join(row)} |" for row in (COLUMNS, ["---"] * len(COLUMNS), *escaped)]
        lines += ["", *(f"- {escaping.markdown(note)}" for note in self.notes())]
        return "\n".join(lines) + "\n"

    def content(self) -> dict:
        """Returns the report ready for JSON."""
        return {
            "quotable": self.quotable,
            "quick": self.quick,
            "busy_share": load.BUSY_SHARE,
            "environment": dict(self.environment),
            "failed": dict(self.failed),
            "benchmarks": {name: dataclasses.asdict(compared) for name, compared in self.compared.items()},
            "rows": [_row_content(row) for row in self.rows],
        }

    def write(self, folder: Path) -> None:
        """Writes the report into a folder: JSON, and Markdown, under its final name only if nothing is refused.

        Raises:
            OSError: a file cannot be written.
        """
        side_files.write_json(folder / JSON, self.content())
        final = self.rows and not self.refused
        files.write_text(folder / (MARKDOWN if final else NOT_QUOTABLE), self.markdown())


def cells(row: Row) -> list[str]:
    """Returns the cells of a figure, in the order of COLUMNS."""
    ceiling = "" if row.ceiling is None else f"{row.ceiling:.2f}"
    remark = "; ".join(filter(None, [row.remark, row.details]))
    return [f"{row.benchmark}: {row.figure}", time_text(row.ours), time_text(row.peer), str(row.ratio), ceiling, remark]


def time_text(seconds: float) -> str:
    """Returns a time with three digits.

    >>> time_text(0.0123), time_text(0.9996), time_text(61.24), time_text(0.0001234)
    ('12.3 ms', '1.00 s', '61.2 s', '0.123 ms')
    """
    value, unit = (seconds, "s") if seconds >= 0.9995 else (1000 * seconds, "ms")
    digits = next(digits for digits, limit in enumerate((99.95, 9.995, 0.9995, 0)) if value >= limit)
    return f"{value:.{digits}f} {unit}"


def _row_content(row: Row) -> dict:
    return {
        "benchmark": row.benchmark,
        "figure": row.figure,
        "ours_seconds": row.ours,
        "peer_seconds": row.peer,
        "ratio": dataclasses.asdict(row.ratio),
        "ceiling": row.ceiling,
        "quotable": row.quotable,
        "remark": row.remark,
        "details": row.details,
        "pairs": [dataclasses.asdict(pair) for pair in row.pairs],
    }
