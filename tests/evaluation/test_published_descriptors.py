"""Tests the published figures of Tables 11 and 12, their flag files, and which results are theirs."""

import re
from pathlib import Path

import pytest

from tests.helpers.linear_results import VOC_ACTIONS, linear_result, voc_result
from tests.helpers.paths import ROOT
from vgg_keras.evaluation import linear_records, published_descriptors
from vgg_keras.evaluation.published_descriptors import PROTOCOLS, PUBLISHED, DescriptorKey
from vgg_keras.evaluation.voc_results import ARCHIVE
from vgg_keras.tasks.features_options import FeaturesOptions, results_folder
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import parse

TABLES = ROOT / "configs" / "tables"
CALTECH = sorted(path.stem for path in TABLES.glob("table11_caltech*.cfg"))
VOC = sorted(path.stem for path in TABLES.glob("table1[12]_*.cfg") if path.stem not in CALTECH)
NETS = {"vgg16": ("D",), "vgg19": ("E",), "vgg16_vgg19": ("D", "E")}


def test_the_tables_hold_what_the_paper_has():
    figures = {(row.key.data_set, "+".join(row.key.nets)): row.value for row in PUBLISHED if row.table == 11}
    # The rows of the paper: VOC-2007, VOC-2012, Caltech-101, Caltech-256.
    data_sets = ("VOC-2007", "VOC-2012", "Caltech-101", "Caltech-256")
    by_nets = {nets: [figures[data_set, nets] for data_set in data_sets] for nets in ("D", "E", "D+E")}
    assert by_nets == {"D": [89.3, 89, 91.8, 85], "E": [89.3, 89, 92.3, 85.1], "D+E": [89.7, 89.3, 92.7, 86.2]}
    spreads = [row.spread for row in PUBLISHED if row.key.data_set.startswith("Caltech")]
    assert spreads == [1.0, 0.5, 0.5, 0.2, 0.3, 0.3]
    assert [row.value for row in PUBLISHED if row.table == 12] == [79.2, 84.0]
    assert len(PUBLISHED) == 14


def read_config(name, tmp_path, monkeypatch):
    """Returns the text and the options of a flag file, and checks what all of them have in common."""
    monkeypatch.chdir(tmp_path)
    options = parse([f"--flagfile=configs/tables/{name}.cfg"], FeaturesOptions)
    options.validate()
    text = (TABLES / f"{name}.cfg").read_text(encoding="utf-8")
    assert text.startswith(f"# python -m vgg_keras.features --flagfile=configs/tables/{name}.cfg\n")
    assert (options.layer, options.power, options.flip) == ("fc7", "linear", None)
    assert options.output == f"evaluations/{name}/{linear_records.FILE.replace('.json', '.npz')}"
    return text, options


@pytest.mark.parametrize("name", CALTECH)
def test_every_flag_file_of_caltech_is_a_row(name, tmp_path, monkeypatch):
    text, options = read_config(name, tmp_path, monkeypatch)
    _, data_set, nets = name.split("_", 2)
    number = data_set.removeprefix("caltech")
    (row,) = [row for row in PUBLISHED if row.key == DescriptorKey(f"Caltech-{number}", NETS[nets])]
    assert f"Expected: mean class recall {row.value}% ± {row.spread}." in text
    papers = PROTOCOLS[row.key.data_set]
    assert tuple(map(int, str(options.test_scales).split(","))) == papers.test_scales
    found = (options.combine, options.splits, options.train_per_class, options.test_per_class)
    assert found == (papers.combine, papers.splits, papers.train_per_class, papers.test_per_class)
    assert options.data_dir == f"data/{data_set}"
    assert [path.name for path in options.model_paths()] == [f"{net}_256_512" for net in nets.split("_")]


@pytest.mark.parametrize("name", VOC)
def test_every_flag_file_of_voc_tests_as_the_paper_does(name, tmp_path, monkeypatch):
    text, options = read_config(name, tmp_path, monkeypatch)
    nets = tuple({"vgg16_256_512": "D", "vgg19_256_512": "E"}[path.name] for path in options.model_paths())
    described = options.regions
    data_set = "VOC-2012 actions" if options.data_dir == "data/voc2012_actions" else f"VOC-{options.voc_year}"
    row = next((row for row in PUBLISHED if row.key == DescriptorKey(data_set, nets, described)), None)
    assert f"mAP {row.value}% (" in text if row else "D + E together alone" in text
    assert (options.train_split, options.validation_split) == ("train+validation", "test")
    assert (str(options.test_scales), options.combine) == ("256,384,512,640,768", "average")
    assert (options.classifier, options.splits) == (True, 0)
    assert options.voc_results == ("comp10" if "actions" in name else "comp2")
    assert described == ("image,box" if name.endswith("_box") else "image")
    year = re.search(r"VOC-(20\d\d)", text)[1]
    assert options.voc_year == year
    assert ("(11 points)" if year == "2007" else "(area)") in text
    # The labels of VOC-2007's test set are known.
    archive = f"#   {results_folder(Path(options.output)) / ARCHIVE}\n"
    assert (archive in text) == (year == "2012")


def test_every_row_has_a_flag_file():
    assert len(CALTECH) == len([row for row in PUBLISHED if row.key.data_set.startswith("Caltech")]) == 6
    # D and E alone have no row in Table 12: two regions of each.
    assert len(VOC) == len([row for row in PUBLISHED if not row.key.data_set.startswith("Caltech")]) + 4 == 12


@pytest.mark.parametrize(
    ("record", "data_set"),
    [
        (linear_result(), "Caltech-101"),
        (linear_result(num_classes=101), ""),  # without the class of backgrounds
        (linear_result(num_images=(8_230, 915)), ""),
        (linear_result(num_classes=257, num_images=(27_546, 3_061), per_class=(60, 0)), "Caltech-256"),
        (voc_result(), "VOC-2007"),
        (voc_result(year=2012), "VOC-2012"),
        (voc_result(year=2010), ""),
        (voc_result(year=2012, described="image"), "VOC-2012 actions"),
        (voc_result(year=2011, described="image"), ""),
        # Sets of one's own: two actions, or photos of ten classes without persons' boxes.
        (voc_result(year=2012, described="image", average_precisions={"waltz": 60.0, "tango": 74.6}), ""),
        (voc_result(year=2012, average_precisions=dict.fromkeys(VOC_ACTIONS, 50.0)), ""),
        (voc_result(year=2012, average_precisions={f"fruit {index}": 50.0 for index in range(20)}), ""),
    ],
)
def test_data_sets_are_recognised(record, data_set):
    assert published_descriptors.find_data_set(record) == data_set
    if data_set:
        assert published_descriptors.differences(record, PROTOCOLS[data_set]) == []


def settings(**changed):
    return {**linear_result()["settings"], **changed}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"settings": settings(layer="block5_pool", flip=False)}, ["layer block5_pool", "no mirror"]),
        ({"settings": settings(power="sqrt", combine="average")}, ["power sqrt", "scales joined by average"]),
        ({"test_scales": [[256, 384]]}, ["other Q"]),
        ({"test_scales": [[512, 256, 384]]}, []),
        ({"splits": [{"mean_class_recall": 90.0}]}, ["1 random split"]),
        ({"settings": settings(test_per_class=0)}, ["30 training and all other test images of a class"]),
    ],
)
def test_other_protocols_are_told(changed, words):
    assert published_descriptors.differences(linear_result(**changed), PROTOCOLS["Caltech-101"]) == words


def test_the_validation_images_of_voc_2007_are_not_its_test_images():
    (words,) = published_descriptors.differences(voc_result(num_images=2_510), PROTOCOLS["VOC-2007"])
    assert words == "other test images"
    assert published_descriptors.differences(voc_result(num_images=5_823, year=2012), PROTOCOLS["VOC-2012"]) == []


def test_a_result_finds_its_row():
    assert published_descriptors.find_key(linear_result(["E", "D"])) == DescriptorKey("Caltech-101", ("D", "E"))
    assert published_descriptors.find_key(linear_result(["A"])) is None


def test_results_without_what_they_are_of(tmp_path):
    path = tmp_path / "features.json"
    # What versions before wrote.
    path.write_text('{"c": 1.0, "num_training_images": 3, "num_images": 2, "mean_class_recall": 50.0}')
    with pytest.raises(UserError, match="it has no nets; compute it again"):
        linear_records.read(path)
    for changed, message in (
        ({"train_scales": []}, "it does not have the scales of each net"),
        ({"images": []}, "it names no images"),
        ({"mean_class_recall": None}, "it holds neither mean_class_recall nor mean_average_precision"),
    ):
        linear_records.write(path, linear_result(**changed), {})
        with pytest.raises(UserError, match=message):
            linear_records.read(path)
