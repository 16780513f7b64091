"""Tests the rows of a miniature, and what is concluded from its differences."""

import itertools
import json
import os

import numpy as np
import pytest

from tests.helpers.verbs import call_verb
from vgg_keras import report
from vgg_keras.evaluation import findings, image_sets, mistakes
from vgg_keras.evaluation.layout import MISTAKES
from vgg_keras.evaluation.paired import PairedDifference
from vgg_keras.evaluation.published import PAPER_LADDER, ScaleLadder
from vgg_keras.inference.protocol import MULTI, SINGLE, TrainedNet
from vgg_keras.tasks.options import ReportOptions
from vgg_keras.utils.errors import UserError

NUM_IMAGES = 1000


def result(net, train_scale, test_scales, wrong, method="dense", frozen=""):
    return {
        "nets": [net],
        "train_scales": [train_scale],
        "frozen_up_to": [frozen],
        "test_scales": [test_scales],
        "method": method,
        "flip": method != "center_crop",
        "average": "scores",
        "top1_error": 100 * wrong / NUM_IMAGES,
        "top5_error": 0.0,
    }


def write_evaluation(folder, *results):
    """Writes an evaluation whose results are wrong on the first images; each is (record, number of wrong images)."""
    folder.mkdir(parents=True)
    images = {
        "data_set": "small",
        "split": "test",
        "num_images": NUM_IMAGES,
        "num_classes": 10,
        "sha256_of_classes_labels_images": "same",
    }
    (folder / "evaluation.json").write_text(json.dumps({"images": images, "results": [one for one, _ in results]}))
    marks = np.zeros((len(results), 2, NUM_IMAGES), bool)
    for index, (_, wrong) in enumerate(results):
        marks[index, 0, :wrong] = True
    mistakes.save(folder, list(marks))


def made(*arguments, **options):
    return result(*arguments, **options), arguments[3]


def test_the_scales_of_a_miniature_play_the_papers_parts():
    ladder = ScaleLadder.of(["32", "40", "32,48", "40"])
    assert ladder.roles == {"32": "256", "40": "384", "32,48": "256,512"}
    key = ladder.row_key([TrainedNet("D", "32,48")], "dense", [(48, 32, 40)])
    assert (key.nets, key.scales) == ((TrainedNet("D", "256,512"),), MULTI)
    assert ladder.row_key([TrainedNet("D", "32,48")], "dense", [(40,)]).scales == SINGLE
    assert ladder.row_key([TrainedNet("D", "32")], "dense", [(40,)]) is None  # Q is not S
    assert ladder.row_key([TrainedNet("D", "64")], "dense", [(64,)]) is None  # plays no part


OF_BOXES = {"box_regressions": ["scr"], "mean_iou": 0.5}


def write_localization(folder, record, classifiers=(), boxes="1"):
    """Writes an evaluation of localizers that are wrong on the first 300 images."""
    write_evaluation(folder, ({**OF_BOXES, **record}, 300))
    path = folder / "evaluation.json"
    written = json.loads(path.read_text())
    written["images"]["sha256_of_boxes"] = boxes
    written |= {"settings": {"task": "localization"}, "classifiers": list(classifiers)}
    path.write_text(json.dumps(written))


def test_localizers_of_other_boxes_or_classifiers_do_not_replace_each_other(tmp_path):
    for name, boxes, classifier in (("a", "1", "x"), ("b", "2", "x"), ("c", "1", "y"), ("d", "1", "y")):
        write_localization(tmp_path / name, result("D", "32", [32], 300), [{"sha256": classifier}], boxes)
    found = image_sets.group([mistakes.load(tmp_path / name) for name in "abcd"])
    assert [(len(one.others["localization"]), one.num_older) for one in found] == [(2, 1), (1, 0)]


OTHERS = "### Other results of localizers"


def rows_of(folder, capsys, title):
    """Returns the rows of a table of the report, by column."""
    call_verb(report.main, [f"--evaluations_dir={folder}"], ReportOptions)
    lines = (folder / "tables.md").read_text().partition(title)[2].strip().splitlines()
    table = [
        line for line in itertools.takewhile(lambda line: not line.startswith("#"), lines) if line.startswith("| ")
    ]
    columns, _, *rows = [[cell.replace("\\", "") for cell in line[2:-2].split(" | ")] for line in table]
    return [dict(zip(columns, row, strict=True)) for row in rows]


def net(path, sha256="x", **how):
    return [{"path": path, "sha256": sha256, "test_scales": [32], **how}]


ONE, SQUASHED = net("one"), net("one", method="squash", flip=False)
SAVED = [net("a.npz", methods=["dense"], flip=True, average=average) for average in ("scores", "posteriors")]
SHOWN = "dense, with mirror images"


@pytest.mark.parametrize(
    ("of_results", "expected"),
    [
        ([ONE, net("two", "y")], ["one", "two"]),
        # Trained again in its folder.
        ([net("one", 20 * "1"), net("one", 20 * "2")], ["one [111111111111]", "one [222222222222]"]),
        # One file that was moved, and another at its first place: the number of names does not tell them apart.
        ([net("one"), net("one", "y"), net("two")], ["one", "two"]),
        # As it was validated, beside localizers of squashed photos.
        ([ONE, SQUASHED], [f"one ({SHOWN}, Q = 32)", "one (squash, Q = 32)"]),
        ([ONE, [{**ONE[0], "test_scales": [32, 48]}]], [f"one ({SHOWN}, Q = 32)", f"one ({SHOWN}, Q = 32, 48)"]),
        (SAVED, [f"a.npz ({SHOWN}, Q = 32)", f"a.npz ({SHOWN}, Q = 32, mean of posteriors)"]),
        # Nothing but another field tells them apart.
        ([[{"net": name}] for name in "AB"], [f"? [?] ({SHOWN}), no. 1", f"? [?] ({SHOWN}), no. 2"]),
        # The same: in another order, at another place, as the settings of a dense test tell it.
        ([[*ONE, *net("two", "y")], [*net("two", "y"), *ONE]], [None]),
        ([ONE, net("moved")], [None]),
        ([ONE, net("one", method="dense", flip=True)], [None]),
        # The true class needs no classifier, and the method tells it.
        ([ONE, []], [None, None]),
        ([ONE, net("two", "y"), []], ["one", "two", ""]),
    ],
)
def test_rows_that_differ_in_the_classifier_name_it(tmp_path, capsys, of_results, expected):
    for index, classifiers in enumerate(of_results):
        tested = result("D", "32", [48], 300, "dense" if classifiers else "center_crop")
        write_localization(tmp_path / str(index), tested, classifiers)
    assert [row.get("classifier") for row in rows_of(tmp_path, capsys, OTHERS)] == expected


def test_the_papers_rows_name_the_classifier_too(tmp_path, capsys):
    tested = {**result("D", "256", [256], 300), "flip": False, "box_regressions": ["pcr"]}
    for index, path in enumerate(("one", "two")):
        write_localization(tmp_path / path, tested, net(path, path))
        os.utime(tmp_path / path / "evaluation.json", (index, index))
    (papers, *rest), (other,) = rows_of(tmp_path, capsys, "### Table 9"), rows_of(tmp_path, capsys, OTHERS)
    assert (papers["localization err. %"], papers["classifier"], other["classifier"]) == ("0.0", "two", "one")
    assert {row["classifier"] for row in rest} == {""}


def test_mirror_images_for_the_choice_of_the_classes_make_another_result(tmp_path, capsys):
    for flip in (False, True):
        folder = tmp_path / f"flip_{flip}"
        # The boxes are those of the photo as it is.
        write_localization(folder, {**result("D", "32", [48], 300), "flip": False}, net("one"))
        path = folder / "evaluation.json"
        record = json.loads(path.read_text())
        record["settings"]["flip"] = flip
        path.write_text(json.dumps(record))
    named = {row["classifier"] for row in rows_of(tmp_path, capsys, OTHERS)}
    assert named == {"one (dense, Q = 32)", "one (dense, with mirror images, Q = 32)"}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"classifiers": [{"methods": [1]}]}, "classifiers[0].methods[0]"),
        ({"classifiers": [{"sha256": None}]}, "classifiers[0].sha256"),
        ({"classifiers": [{"flip": "no"}]}, "classifiers[0].flip"),
        ({"method": "multi_crop"}, "none of localization"),
        ({"methods": ["squash"]}, "none of localization"),
        ({"methods": ["squash", "center_crop"]}, "none of localization"),
        ({"settings": {"task": "classification"}, "method": "center_crop+squash"}, "none of classification"),
    ],
)
def test_damaged_descriptions_are_named_and_the_others_shown(tmp_path, capsys, changed, named):
    write_localization(tmp_path / "good", result("D", "32", [48], 300), net("one"))
    write_localization(tmp_path / "bad", result("D", "32", [48], 300), net("one"))
    path = tmp_path / "bad/evaluation.json"
    record = json.loads(path.read_text())
    record |= {key: changed[key] for key in changed.keys() & {"classifiers", "settings"}}
    record["results"][0] |= {key: changed[key] for key in changed.keys() & {"method", "methods"}}
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match="1 of 2 evaluations cannot be read"):
        rows_of(tmp_path, capsys, OTHERS)
    shown = " ".join("".join(capsys.readouterr()).split())
    assert named in shown
    assert "| D SCR |" in (tmp_path / "tables.md").read_text()


def test_merges_of_the_same_nets_by_swapped_methods_are_two_results(tmp_path, capsys):
    merged = {"nets": ["A", "D"], "train_scales": ["32"] * 2, "frozen_up_to": [""] * 2, "test_scales": [[32]] * 2}
    merged |= {"method": "center_crop+squash", "flip": False, "box_regressions": ["scr"] * 2}
    ways = {"a": ["center_crop", "squash"], "b": ["squash", "center_crop"], "c": None}  # earlier versions told none
    for name, methods in ways.items():
        told = {"methods": methods} if methods else {}
        write_localization(tmp_path / name, {**result("A", "32", [32], 300), **merged, **told})
    call_verb(report.main, [f"--evaluations_dir={tmp_path}"], ReportOptions)
    text = (tmp_path / "tables.md").read_text()
    for views in ("centre crop + squashed", "squashed + centre crop", "centre crop and squashed"):
        assert f"| A SCR + D SCR | 32 | 32 | true class, {views} | 30.00 |" in text


def test_the_papers_own_scales_are_taken_as_they_are():
    assert ScaleLadder.of(["256", "288"]) is PAPER_LADDER
    assert PAPER_LADDER.row_key([TrainedNet("D", "256")], "dense", [(256, 288)]) is None


def test_scales_are_also_compared_at_the_centre_crop(tmp_path, capsys):
    write_evaluation(tmp_path / "s", made("D", "32", [32], 300))
    write_evaluation(tmp_path / "d", made("D", "40", [40], 200, method="center_crop"))
    write_evaluation(
        tmp_path / "j",
        made("D", "32,48", [40], 150, method="center_crop"),
        made("D", "32,48", [32, 40, 48], 180, method="center_crop"),
    )
    call_verb(report.main, [f"--evaluations_dir={tmp_path}"], ReportOptions)
    rows = [line for line in (tmp_path / "tables.md").read_text().splitlines() if "(centre crop)" in line]
    assert len(rows) == 2
    for row, errors, verdict in zip(
        rows, ("20.00 -> 15.00", "15.00 -> 18.00"), ("holds", "does not hold"), strict=True
    ):
        assert errors in row
        assert row.endswith(f"| {verdict} |")


def test_tables_and_findings_of_a_miniature(tmp_path, capsys):
    write_evaluation(tmp_path / "a", made("A", "32", [32], 300), made("A-LRN", "32", [32], 302))
    write_evaluation(tmp_path / "d", made("D", "32", [32], 200), made("D", "40", [40], 200))
    write_evaluation(tmp_path / "j", made("D", "32,48", [40], 150), made("D", "32,48", [32, 40, 48], 149))
    write_evaluation(tmp_path / "fc", made("D", "32,48", [40], 990, frozen="block5_pool"))
    call_verb(report.main, [f"--evaluations_dir={tmp_path}"], ReportOptions)
    printed, text = capsys.readouterr().out, (tmp_path / "tables.md").read_text()
    assert "S = 32 stands for 256, S = 40 stands for 384, S = [32;48] stands for [256;512]" in printed
    assert "| A | 32 | 32 | dense | 30.0 | 0.0 | 29.6 | 10.4 |" in text
    assert "| D | [32;48] | 40 | dense | 15.0 | 0.0 | 25.6 | 8.1 |" in text
    assert "| B |" not in text  # not measured
    rows = {line.split(" | ")[0][2:]: line.split(" | ")[1:] for line in text.splitlines() if " -> " in line}
    lrn = rows["local response normalization does not help (sect. 4.1)"]
    # 2 of 1,000 images tell A and A-LRN apart: +0.20 points, exact p = 2 * (1/2)^2.
    assert lrn[0] == "30.00 -> 30.20"
    assert lrn[1].startswith("+0.20 [")
    assert lrn[1].endswith("p = 0.5")
    assert lrn[2:] == ["+0.1", "holds |"]
    jitter = rows["scale jittering in training helps: D is better than at the larger fixed S"]
    assert jitter[1].startswith("-5.00 [")
    assert jitter[2:] == ["-1.2", "holds |"]
    # One image of 1,000: nothing can be said.
    assert rows["scale jittering at test time helps: jittered D at several Q is better than at one"][3] == (
        "not told apart |"
    )


def test_verdicts():
    claim = findings.FINDINGS[1]  # B is better than A
    assert claim.published() == -0.9
    assert claim.verdict(PairedDifference(60, 20, 1000)) == findings.HOLDS
    assert claim.verdict(PairedDifference(20, 60, 1000)) == findings.FAILS
    assert claim.verdict(PairedDifference(20, 22, 1000)) == findings.OPEN
    few = PairedDifference(5, 0, 60)  # p = 2 / 2 ** 5
    assert few.interval()[1] < 0
    assert claim.verdict(few) == findings.OPEN
    no_better = findings.FINDINGS[0]
    assert no_better.published() == 0.1
    assert no_better.verdict(PairedDifference(60, 20, 1000)) == findings.FAILS
    assert no_better.verdict(PairedDifference(20, 22, 1000)) == findings.HOLDS


def test_the_papers_differences_are_those_of_its_tables():
    published = {finding.claim.split(":")[0]: finding.published() for finding in findings.FINDINGS}
    assert published["fusing nets helps"] == -0.7  # 23.7 - 24.4
    assert published["two good nets do better than the seven that were submitted"] == -0.7  # 24.0 - 24.7
    assert published["a deep net of small filters is better than a shallow one of larger filters"] == -7.0


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_marks_that_are_not_those_of_the_record_are_refused(tmp_path, damage):
    write_evaluation(tmp_path / "a", made("A", "32", [32], 300))
    path = tmp_path / "a" / MISTAKES
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-30])
    else:
        mistakes.save(tmp_path / "a", [np.zeros((2, NUM_IMAGES), bool)])
    with pytest.raises(UserError, match=r"mistakes\.npz is damaged: .*; remove .*, and evaluate again"):
        mistakes.load(tmp_path / "a")


@pytest.mark.parametrize("scale", ["256-512", "abc", "5,", "0,5", "\N{SUPERSCRIPT TWO}", "9" * 5000])
def test_an_evaluation_with_an_odd_scale_leaves_the_others_in_the_tables(tmp_path, capsys, scale):
    write_evaluation(tmp_path / "good", made("A", "32", [32], 300))
    write_evaluation(tmp_path / "odd", made("A", scale, [32], 300))
    with pytest.raises(UserError, match="1 of 2 evaluations cannot be read"):
        call_verb(report.main, [f"--evaluations_dir={tmp_path}"], ReportOptions)
    assert "| A | 32 | 32 | dense | 30.0 |" in (tmp_path / "tables.md").read_text()
    assert "train_scales" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["pipe", "folder", "dangling link"])
def test_marks_that_are_no_file_are_refused_and_not_waited_for(tmp_path, kind):
    write_evaluation(tmp_path / "a", made("A", "32", [32], 300))
    path = tmp_path / "a" / MISTAKES
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    with pytest.raises(UserError, match=r"mistakes\.npz is (damaged|missing)"):
        mistakes.load(tmp_path / "a")


def test_evaluations_of_earlier_versions_have_no_marks(tmp_path, capsys):
    write_evaluation(tmp_path / "a", made("A", "32", [32], 300), made("B", "32", [32], 250))
    (tmp_path / "a" / MISTAKES).unlink()
    call_verb(report.main, [f"--evaluations_dir={tmp_path}"], ReportOptions)
    assert "is not known: evaluate again" in (tmp_path / "tables.md").read_text()
