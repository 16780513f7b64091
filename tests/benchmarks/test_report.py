"""Tests the table of figures, as Markdown and as JSON."""

import json

from benchmarks.harness.report import Compared, Report, cells
from benchmarks.harness.runner import Pair, Row

ENVIRONMENT = {"CPU": "a|b", "Python": "3.11"}
COMPARED = {"decode": Compared("Measures decoding.", "ours", "theirs", "nothing else")}
QUIET = Row("decode", "S = 256", (Pair(0.5, 1.0, 0.25, 0.01),), details="5 GB")
BUSY = Row("decode", "S | T", (Pair(0.002, 0.001, None, 0.5),), known_ceiling=4.368)
QUICK = Row("decode", "S", (Pair(1.0, 1.0, None, 0.9),), quick=True)
UNKNOWN = Row("decode", "S", (Pair(1.0, 1.0, None, None),))


def report(*rows, quick=False):
    return Report(rows, COMPARED, ENVIRONMENT, quick)


def test_cells():
    assert cells(QUIET) == ["decode: S = 256", "500 ms", "1.00 s", "2.00", "4.00", "5 GB"]
    remark = "busy machine: not quotable (1 of 1 pairs, up to 50%)"
    assert cells(BUSY) == ["decode: S | T", "2.00 ms", "1.00 ms", "0.50", "4.37", remark]


def test_markdown():
    text = report(QUIET, BUSY).markdown()
    assert "\n**Not quotable**: see the remarks.\n\n| figure | ours | peer | ratio [interval] | ceiling | " in text
    assert "\n| decode: S = 256 | 500 ms | 1.00 s | 2.00 | 4.00 | 5 GB |\n" in text
    assert "\n| decode: S \\| T | 2.00 ms | " in text
    assert "\n- decode: Measures decoding. Ours: ours. Peer: theirs. Ceiling: nothing else.\n" in text
    assert text.endswith("\n- CPU: a\\|b; Python: 3.11\n")
    assert "Not quotable" not in report(QUIET).markdown()


def test_the_terminal_shows_the_same_cells():
    shown = report(QUIET, BUSY).table().text()
    assert all(cell in shown for row in (QUIET, BUSY) for cell in cells(row))


def test_what_can_be_quoted_has_the_final_name(tmp_path):
    report(QUIET).write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["benchmarks.json", "benchmarks.md"]
    content = json.loads((tmp_path / "benchmarks.json").read_text())
    assert (content["quotable"], content["rows"][0]["quotable"]) == (True, True)
    assert content["environment"] == ENVIRONMENT
    assert content["rows"][0]["ratio"] == {"median": 2.0, "low": 2.0, "high": 2.0, "coverage": 0.0}
    assert content["rows"][0]["pairs"] == [{"ours": 0.5, "peer": 1.0, "ceiling": 0.25, "others": 0.01}]


def test_a_busy_run_has_another_name(tmp_path):
    busy = report(QUIET, BUSY)
    assert busy.refused == [BUSY]
    busy.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["benchmarks.json", "benchmarks.not_quotable.md"]
    content = json.loads((tmp_path / "benchmarks.json").read_text())
    assert (content["quotable"], [row["quotable"] for row in content["rows"]]) == (False, [True, False])


def test_a_quick_run_is_not_refused_and_not_quotable(tmp_path):
    quick = report(QUICK, quick=True)
    assert (quick.quotable, quick.refused) == (False, [])
    quick.write(tmp_path)
    assert "quick: not quotable" in (tmp_path / "benchmarks.md").read_text()


def test_a_failed_benchmark_is_named():
    failed = Report([QUIET], COMPARED, ENVIRONMENT, failed={"other": "no memory"})
    assert "\n- other failed: no memory\n" in failed.markdown()
    assert failed.content()["failed"] == {"other": "no memory"}


def test_a_run_without_figures_has_no_final_name(tmp_path):
    Report([], {}, ENVIRONMENT, failed={"decode": "no memory"}).write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["benchmarks.json", "benchmarks.not_quotable.md"]
    assert json.loads((tmp_path / "benchmarks.json").read_text())["quotable"] is False


def test_an_unknown_load_is_said_and_not_refused():
    assert (report(QUIET, UNKNOWN).quotable, report(UNKNOWN).refused) == (None, [])
    assert "load of other processes unknown" in report(UNKNOWN).markdown()
