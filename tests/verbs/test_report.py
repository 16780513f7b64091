"""Tests the verb `report`, which collects evaluations into Tables 3 to 6, 11 and 12."""

import json
import os

import numpy as np
import pytest

from tests.helpers.linear_results import linear_result, voc_result
from tests.helpers.verbs import call_verb
from vgg_keras import report
from vgg_keras.evaluation import linear_records
from vgg_keras.tasks import paper_tables
from vgg_keras.tasks.options import ReportOptions
from vgg_keras.utils.errors import UserError


def write_record(folder, results, num_images=50_000, data_set="imagenet2012", images="all", num_classes=1000, **more):
    folder.mkdir(parents=True)
    identity = {
        "data_set": data_set,
        "split": "validation",
        "num_images": num_images,
        "num_classes": num_classes,
        "sha256_of_classes_labels_images": images,
    }
    (folder / "evaluation.json").write_text(json.dumps({"images": identity, "results": results, **more}))


def result(nets, train_scales, test_scales, method, top1, top5, flip=True):
    return {
        "nets": nets,
        "train_scales": train_scales,
        "test_scales": test_scales,
        "method": method,
        "flip": flip,
        "top1_error": top1,
        "top5_error": top5,
    }


def run(folder, *flags):
    call_verb(report.main, [f"--evaluations_dir={folder}", *flags], ReportOptions)


def test_results_find_their_cells(tmp_path, capsys):
    jittered = [256, 384, 512]
    write_record(tmp_path / "one" / "deep", [result(["D"], ["256,512"], [jittered], "dense", 24.91, 7.62)])
    write_record(
        tmp_path / "two",
        [
            result(["E"], ["256"], [[256]], "dense", 27.46, 9.04),
            result(["E"], ["256"], [[256]], "dense", 99.0, 99.0, flip=False),
            result(["E"], ["256"], [[256]], "center_crop", 98.0, 98.0),
            result(["E", "D"], ["256,512"] * 2, [jittered] * 2, "both", 23.75, 6.81),
        ],
    )
    run(tmp_path)
    text = (tmp_path / "tables.md").read_text()
    tables, _, others = text.partition("### Other results of classifiers\n")
    filled = [line for line in tables.splitlines() if line.startswith("| ") and line.split(" | ")[4].strip()]
    assert [line for line in filled if "net" not in line and "---" not in line] == [
        "| E | 256 | 256 | dense | 27.5 | 9.0 | 27.3 | 9.0 |",
        *["| D | [256;512] | 256, 384, 512 | dense | 24.9 | 7.6 | 24.8 | 7.5 |  |"] * 2,
        "| D + E | [256;512] | 256, 384, 512 | multi-crop & dense | 23.8 | 6.8 | 23.7 | 6.8 | 6.8 |",
    ]
    assert "| A | 256 | 256 | dense |  |  | 29.6 | 10.4 |" in text
    assert tables.count("\n| ") == 4 + 4 + 12 + 10 + 6 + 4  # headings, rules and rows
    assert others.splitlines()[3:] == [
        "| E | 256 | 256 | dense, no mirror | 99.00 | 99.00 |",
        "| E | 256 | 256 | centre crop | 98.00 | 98.00 |",
    ]
    printed = capsys.readouterr().out
    assert "2 evaluations; written:" in printed
    assert "The paper's figures are of the same images" in printed


def test_the_papers_errors_on_the_test_set_are_shown(tmp_path):
    run(tmp_path)
    text = (tmp_path / "tables.md").read_text()
    shown = [
        line.rsplit(" | ", 3) for line in text.splitlines() if line.startswith("| ") and "paper's test" not in line
    ]
    rows = [
        row for row in shown if row[-1].endswith(" |") and row[0].count(" | ") == 5 and row[-1] not in ("--- |", " |")
    ]
    assert [(row[1], row[2], row[3]) for row in rows] == [
        ("24.8", "7.5", "7.3 |"),  # E at several scales, sect. 4.2
        ("24.4", "7.1", "7.0 |"),  # one net, Table 7
        ("24.7", "7.5", "7.3 |"),
        ("24.0", "7.1", "7.0 |"),
        ("23.7", "6.8", "6.8 |"),
    ]
    assert text.count("paper's test top-5") == 3  # Table 3 has none


def test_results_of_another_protocol_do_not_displace_the_papers(tmp_path, capsys):
    e = (["E"], ["256"], [[256]])
    write_record(tmp_path / "a", [result(*e, "dense", 27.46, 9.04)])
    # The newest ones: of this version, of an earlier one, which recorded it for all results, and without mirror images.
    write_record(tmp_path / "b", [{**result(*e, "dense", 20.0, 5.0), "average": "posteriors"}])
    write_record(tmp_path / "c", [result(*e, "dense", 21.0, 6.0)], settings={"average": "posteriors"})
    write_record(tmp_path / "d", [result(*e, "dense", 99.0, 99.0, flip=False)])
    write_record(tmp_path / "e", [result(["X"], ["256"], [[256]], "dense", 99.0, 99.0, flip=False)])  # no row's net
    run(tmp_path)
    text = (tmp_path / "tables.md").read_text()
    assert "| E | 256 | 256 | dense | 27.5 | 9.0 | 27.3 | 9.0 |" in text
    assert text.partition("### Other results of classifiers\n")[2].splitlines()[3:] == [
        "| E | 256 | 256 | dense, posteriors averaged over the map | 21.00 | 6.00 |",
        "| E | 256 | 256 | dense, no mirror | 99.00 | 99.00 |",
        "| X | 256 | 256 | dense, no mirror | 99.00 | 99.00 |",
    ]
    note = "Of several results of the same nets, tested in the same way, the newest is shown; left out: 1 older."
    assert note in text
    assert note in " ".join(capsys.readouterr().out.split())


def test_every_result_is_shown_once(tmp_path):
    few = {"images": "few", "num_images": 60, "data_set": "flowers"}
    write_record(tmp_path / "a", [result(["A"], ["72,96"], [[84]], "dense", 31.5, 11.5)], **few)
    # Two tests of the same row of Table 4, in terms of a miniature's scales: both have a place.
    write_record(tmp_path / "b", [result(["D"], ["72,96"], [[72, 84]], "dense", 32.5, 12.5)], **few)
    write_record(tmp_path / "c", [result(["D"], ["72,96"], [[72, 84, 96]], "dense", 33.5, 13.5)], **few)
    write_record(tmp_path / "d", [result(["D", "A"], ["72,96"] * 2, [[72], [96, 84]], "both", 34.5, 14.5)], **few)
    # The same nets in another order are no other result.
    write_record(tmp_path / "e", [result(["A", "D"], ["72,96"] * 2, [[84, 96], [72]], "both", 35.5, 15.5)], **few)
    boxes = {"settings": {"task": "localization"}, **few}
    for name, method, error in (("f", "center_crop", 36.5), ("g", "dense", 37.5)):
        found = {**located("", "pcr", [[72]], method, error, train_scale="72,96"), "nets": ["A"]}
        write_record(tmp_path / name, [found], **boxes)
    write_linear(tmp_path / "h", voc_result(None, mean_class_recall=None, num_images=70, mean_average_precision=None))
    for index in range(8):
        os.utime(next((tmp_path / "abcdefgh"[index]).iterdir()), (index, index))
    run(tmp_path)
    text = (tmp_path / "tables.md").read_text()
    papers_rows, _, others = text.partition("## appendix B")[0].partition("### Other results of classifiers\n")
    # The paper repeats the row of Table 4 in Table 5.
    assert papers_rows.count("| D | [72;96] | 72, 84, 96 | dense | 33.5 | 13.5 | 24.8 | 7.5 |") == 2
    assert papers_rows.count("\n| ") == 2 * 3
    assert [line for line in others.splitlines() if line.startswith("| ") and "---" not in line][1:] == [
        "| A | [72;96] | 84 | dense | 31.50 | 11.50 |",
        "| D | [72;96] | 72, 84 | dense | 32.50 | 12.50 |",
        "| A + D | [72;96] | 84, 96 + 72 | multi-crop & dense | 35.50 | 15.50 |",
        "| net | train S | test Q | method | top-1 err. % | top-5 err. % | mean IoU |",
        "| A PCR | [72;96] | 72 | true class, centre crop | 50.00 |  | 0.500 |",
        "| A PCR | [72;96] | 72 | the best classes, dense | 50.00 | 37.50 | 0.500 |",
    ]
    assert "| caltech101 | D | [256;512] | 256, 384, 512, 640, 768 |  | no labels | 70 | fc7 |" in text
    assert "left out: 1 older" in text


def test_of_two_linear_svms_of_a_row_the_older_one_is_counted(tmp_path):
    for name in "ab":
        write_linear(tmp_path / name, linear_result())
    run(tmp_path)
    text = (tmp_path / "tables.md").read_text(encoding="utf-8")
    assert "Of several results of a row the newest is shown; left out: 1 older." in text


def test_findings_are_computed_once_for_each_set_of_images(tmp_path, monkeypatch):
    for name, images in (("a", "all"), ("b", "few")):
        cells = [result([net], ["256"], [[256]], "dense", error, 9.0) for net, error in (("A", 29.0), ("B", 28.0))]
        write_record(tmp_path / name, cells, images=images, data_set=name)
    calls = []
    compute = paper_tables.findings_table
    monkeypatch.setattr(paper_tables, "findings_table", lambda found: calls.append(found) or compute(found))
    run(tmp_path)
    text = (tmp_path / "tables.md").read_text()
    assert len(calls) == text.count("### Findings") == text.count("McNemar's p. The intervals") == 2


def test_other_images_have_tables_of_their_own(tmp_path, capsys):
    cell = result(["A"], ["256"], [[256]], "dense", 30.0, 10.0)
    write_record(tmp_path / "a", [cell])
    write_record(tmp_path / "b", [{**cell, "top1_error": 5.0}], num_images=366, data_set="flowers", images="few")
    run(tmp_path, f"--output={tmp_path / 'elsewhere' / 'tables.md'}")
    text = (tmp_path / "elsewhere" / "tables.md").read_text()
    assert "## imagenet2012, validation: 50,000 images" in text
    assert "## flowers, validation: 366 images" in text
    assert "these are 366 images of flowers" in text
    assert [line.split(" | ")[4] for line in text.splitlines() if line.startswith("| A |")] == ["30.0", "5.0"]


def test_of_five_classes_no_top5_error_is_shown(tmp_path):
    write_record(
        tmp_path / "a", [result(["A"], ["256"], [[256]], "dense", 8.7, 0.0)], data_set="flowers", num_classes=5
    )
    run(tmp_path)
    assert "| A | 256 | 256 | dense | 8.7 |  | 29.6 | 10.4 |" in (tmp_path / "tables.md").read_text()


def test_nothing_run_and_bad_input(tmp_path):
    run(tmp_path)
    text = (tmp_path / "tables.md").read_text(encoding="utf-8")
    assert text.count("## nothing run") == 2
    assert "| Caltech-101 | D | 256, 384, 512 | mean class recall |  | 91.8 ± 1.0 |  |" in text
    with pytest.raises(UserError, match=r"absent is not a folder; python -m vgg_keras\.evaluate makes evaluations"):
        run(tmp_path / "absent")


@pytest.mark.parametrize("name", ["evaluation.json", "mistakes.npz"])
@pytest.mark.parametrize("output", ["e/{}", "link.md", ""])
def test_what_is_read_is_not_overwritten(name, output, tmp_path):
    write_record(tmp_path / "e", [result(["A"], ["256"], [[256]], "dense", 30.0, 10.0)])
    if name == "mistakes.npz":
        np.savez(tmp_path / "e" / name, wrong=np.packbits(np.arange(50_000) % 10 < [[[3], [1]]], axis=-1))
    for link in ("link.md", "tables.md"):
        (tmp_path / link).symlink_to(f"e/{name}")
    before = (tmp_path / "e" / name).read_bytes()
    flags = [f"--output={tmp_path / output.format(name)}"] if output else []
    with pytest.raises(UserError, match=r"is one of the inputs, and would overwrite it; choose another --output$"):
        run(tmp_path, *flags)
    assert (tmp_path / "e" / name).read_bytes() == before


def test_damaged_evaluations_are_named_and_the_others_shown(tmp_path, capsys):
    cell = result(["A"], ["256"], [[256]], "dense", 30.0, 10.0)
    write_record(tmp_path / "whole", [cell])
    for name, content in (("empty", ""), ("list", "[]"), ("binary", "\0\xff"), ("cut", '{"images": {')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "evaluation.json").write_text(content)
    (tmp_path / "folder" / "evaluation.json").mkdir(parents=True)
    write_record(tmp_path / "text", [{**cell, "top1_error": "30"}])
    write_record(tmp_path / "scales", [{**cell, "train_scales": []}])
    write_record(tmp_path / "nothing", [])
    write_record(tmp_path / "large", [{**cell, "top1_error": 300.0}])
    with pytest.raises(UserError, match=r"^9 of 10 evaluations cannot be read \(listed above\); .*tables\.md has the"):
        run(tmp_path)
    warnings = capsys.readouterr().err.splitlines()
    assert {line.split("/evaluation.json")[0].rpartition("/")[2] for line in warnings} == {
        *("empty", "list", "binary", "cut", "folder", "text", "scales", "nothing", "large")
    }
    assert any('results[0].top1_error is "30", should be a number from 0 to 100; remove' in line for line in warnings)
    assert "| A | 256 | 256 | dense | 30.0 | 10.0 | 29.6 | 10.4 |" in (tmp_path / "tables.md").read_text()


def test_names_are_no_markup(tmp_path, capsys):
    write_record(
        tmp_path / "a",
        [result(["A"], ["256"], [[256]], "dense", 30.0, 10.0)],
        data_set="<b>[x](y)\x1b[31m",
        num_images=9,
    )
    run(tmp_path)
    text = (tmp_path / "tables.md").read_text(encoding="utf-8")
    assert "\n## &lt;b>[x\\](y)\\\\x1b[31m, validation: 9 images\n" in text
    assert "these are 9 images of &lt;b>[x\\](y)\\\\x1b[31m, split" in text
    assert "single test scale (<b>[x](y)\\x1b[31m, validation: 9 images)" in capsys.readouterr().out


def write_linear(folder, record):
    folder.mkdir(parents=True)
    linear_records.write(folder / "features.json", record, {})


def test_linear_svms_find_their_cells(tmp_path, capsys):
    write_linear(tmp_path / "old", linear_result(["E", "D"], recall=1.0))
    os.utime(tmp_path / "old" / "features.json", (0, 0))
    write_linear(tmp_path / "new", linear_result(["E", "D"], recall=92.44, std=0.55))
    write_linear(tmp_path / "deep" / "voc", voc_result(88.5))
    write_linear(tmp_path / "action", voc_result(83.1, 2012, 3_000, ["D", "E"], (256,), described="image,box"))
    write_linear(tmp_path / "coarse", linear_result(recall=90.0, test_scales=[[256]]))
    flowers = {"data_set": "flowers", "split": "train", "num_images": 300, "num_classes": 5}
    write_linear(tmp_path / "flowers", linear_result(recall=88.0, std=None, images=[flowers], splits=[]))
    mine = {"data_set": "dances", "split": "train", "num_images": 12, "num_classes": 2}
    dances = {"average_precisions": {"waltz": 60.0, "tango": 74.6}, "images": [mine]}
    write_linear(tmp_path / "mine", voc_result(67.3, 2012, 8, ["D", "E"], (64,), described="image,box", **dances))
    run(tmp_path)
    text = (tmp_path / "tables.md").read_text(encoding="utf-8")
    assert "## nothing run" not in text
    assert "Table 3" not in text
    lines = text.splitlines()
    assert lines.count("| VOC-2007 | D | 256, 384, 512, 640, 768 | mAP | 88.5 | 89.3 | 4,952 |") == 1
    assert "| Caltech-101 | D + E | 256, 384, 512 | mean class recall | 92.4 ± 0.6 | 92.7 ± 0.5 | 4,000 |" in lines
    assert "| Caltech-256 | E | 256, 384, 512 | mean class recall |  | 85.1 ± 0.3 |  |" in lines
    assert "| VOC-2012 actions, image and box | D + E |  | mAP | 83.1 | 84.0 | 3,000 |" in lines
    assert "| VOC-2012 actions | D + E |  | mAP |  | 79.2 |  |" in lines
    start = lines.index("### Other linear SVMs on descriptors")
    assert sorted(lines[start + 4 :]) == [
        "| Caltech-101 | D | [256;512] | 256 | mean class recall | 90.0 ± 0.8 | 4,000 | other Q |",
        "| dances, image and box | D + E | [256;512] | 64 | mAP | 67.3 | 8 | fc7 |",
        "| flowers | D | [256;512] | 256, 384, 512 | mean class recall | 88.0 | 4,000 | fc7 |",
    ]
    printed = capsys.readouterr().out
    assert "Table 11: descriptors on other data sets (appendix B)" in printed
    assert "7 evaluations; written:" in printed


def test_other_data_sets_alone_have_a_table_alone_which_tells_the_power(tmp_path):
    record = linear_result(recall=88.0, std=None, num_classes=5, splits=[])
    settings = {**record["settings"], "layer": "block4_conv3,block5_conv3"}
    write_linear(tmp_path / "a", {**record, "settings": settings})
    write_linear(tmp_path / "b", {**record, "settings": {**settings, "power": "sqrt"}})
    run(tmp_path)
    text = (tmp_path / "tables.md").read_text(encoding="utf-8")
    assert "Table 11" not in text
    assert "| block4_conv3,block5_conv3 |\n" in text
    assert "| block4_conv3,block5_conv3, power sqrt |\n" in text


def test_the_features_of_a_data_set_are_no_result(tmp_path, capsys):
    write_record(tmp_path / "a", [result(["A"], ["256"], [[256]], "dense", 30.0, 10.0)])
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "features.json").write_text('{"pythonClassName": "tensorflow_datasets...FeaturesDict"}')
    (tmp_path / "data" / "dataset_info.json").write_text("{}")
    run(tmp_path)
    assert "1 evaluation; written:" in capsys.readouterr().out


def test_tables_of_evaluations_and_of_linear_svms_together(tmp_path):
    write_record(tmp_path / "a", [result(["A"], ["256"], [[256]], "dense", 30.0, 10.0)])
    run(tmp_path)
    assert "Table 11" not in (tmp_path / "tables.md").read_text(encoding="utf-8")
    write_linear(tmp_path / "b", linear_result())
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "features.json").write_text("{}")
    with pytest.raises(UserError, match=r"^1 of 3 evaluations cannot be read"):
        run(tmp_path)
    text = (tmp_path / "tables.md").read_text(encoding="utf-8")
    assert text.index("Table 3") < text.index("## appendix B") < text.index("Table 11") < text.index("Table 12")


def located(frozen, kind, scales, method, top5, train_scale="384"):
    nets = len(scales)
    scale = [train_scale] if nets == 1 else ["256", "384"]
    errors = {"top1_error": 50.0, "top5_error": top5, "mean_iou": 0.5, "num_images": 50_000}
    of_nets = {"nets": ["D"] * nets, "frozen_up_to": [frozen] * nets, "box_regressions": [kind] * nets}
    return {**of_nets, "train_scales": scale, "test_scales": scales, "method": method, "flip": False, **errors}


def test_localisers_have_tables_of_their_own(tmp_path, capsys):
    task = {"settings": {"task": "localization", "method": "dense"}}
    write_record(tmp_path / "a", [located("block5_pool", "scr", [[384]], "center_crop", 37.12)], **task)
    write_record(tmp_path / "b", [located("", "pcr", [[384]], "center_crop", 33.44)], **task)
    write_record(tmp_path / "c", [located("", "pcr", [[256], [352, 384]], "dense", 26.81)], **task)
    run(tmp_path)
    text = (tmp_path / "tables.md").read_text()
    assert text.startswith("# Tables of arXiv:1409.1556\n")
    assert [line for line in text.splitlines() if line.startswith("|") and "---" not in line] == [
        "| net | train S | test Q | localization err. % | paper's |",
        "| D SCR (FC) | 384 | 384 | 37.1 | 36.4 |",
        "| D PCR (FC) | 384 | 384 |  | 34.3 |",
        "| D PCR | 384 | 384 | 33.4 | 33.1 |",
        "| net | train S | test Q | localization err. % | paper's | paper's on the test set |",
        "| D PCR | 256 | 256 |  | 29.5 |  |",
        "| D PCR | 384 | 384 |  | 28.2 | 26.7 |",
        "| D PCR | 384 | 352, 384 |  | 27.5 |  |",
        "| D PCR + D PCR | 256 + 384 | 256 + 352, 384 | 26.8 | 26.9 | 25.3 |",
        "| net | train S | test Q | localization err. % | paper's | paper's on the test set |",
        "| D PCR + D PCR | 256 + 384 | 256 + 352, 384 | 26.8 | 26.9 | 25.3 |",
        "| GoogLeNet |  |  |  |  | 26.7 |",
        "| OverFeat |  |  |  | 30.0 | 29.9 |",
        "| Krizhevsky et al. |  |  |  |  | 34.2 |",
    ]
    # Classifiers on the same photos are beside them; without localizers, no table of theirs is shown.
    write_record(tmp_path / "d", [result(["E"], ["256"], [[256]], "dense", 27.46, 9.04)])
    run(tmp_path)
    text = (tmp_path / "tables.md").read_text()
    assert text.count("## imagenet2012") == 1
    assert "| D PCR | 384 | 384 | 33.4 | 33.1 |" in text
    assert "| E | 256 | 256 | dense | 27.5 | 9.0 | 27.3 | 9.0 |" in text


def test_localisers_of_other_scales_show_their_own(tmp_path):
    task = {"settings": {"task": "localization"}}
    other = {"images": "few", "num_images": 60, "data_set": "flowers", "num_classes": 5}
    write_record(tmp_path / "a", [located("", "pcr", [[64]], "center_crop", 12.5, train_scale="64")], **task, **other)
    write_record(tmp_path / "b", [located("", "pcr", [[96]], "center_crop", 11.5, train_scale="96")], **task, **other)
    run(tmp_path)
    text = (tmp_path / "tables.md").read_text()
    assert "| D PCR | 96 | 96 | 11.5 | 33.1 |" in text
    # The paper has no such row.
    assert "| D PCR | 64 | 64 | true class, centre crop | 50.00 | 0.500 |" in text
    assert "S = 96 stands for 384" in text
    assert "GoogLeNet" not in text


def test_a_result_of_localisers_without_its_kinds_is_damaged(tmp_path):
    whole = located("", "pcr", [[384]], "center_crop", 33.44)
    for index, key in enumerate(("box_regressions", "mean_iou")):
        damaged = {name: value for name, value in whole.items() if name != key}
        write_record(tmp_path / str(index), [damaged], settings={"task": "localization"})
    write_record(tmp_path / "3", [{**whole, "box_regressions": ["pcr"] * 2}], settings={"task": "localization"})
    with pytest.raises(UserError, match="3 of 3 evaluations cannot be read"):
        run(tmp_path)
