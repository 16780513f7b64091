"""Checks the description in Croissant by its own reader, and against the files and the features that TFDS writes."""

import fnmatch
import hashlib
import json

import pytest
import tensorflow_datasets as tfds

from data_prep import croissant, records, verify
from data_prep.builder import PrepareOptions, write_dataset
from data_prep.objects import Placed
from data_prep.sources import Source
from tests.helpers.photos import encode, make_split
from tests.helpers.verbs import call_verb
from vgg_keras.utils.errors import UserError

CLASSES = ["b", "a", "ä c"]


def text(value):
    """Returns a text of mlcroissant, which some of its releases give as bytes."""
    return value.decode() if isinstance(value, bytes) else value


def no_objects(piece, prepared):
    return Placed([])


def make_source(annotate=None, **arguments):
    splits = {}
    for split, count in (("train", 3), ("validation", 2)):
        photos = [(f"{split}/{index}.jpg", encode(seed=index)) for index in range(count)]
        splits[split] = make_split(photos, [0, 1, 2][:count], annotate=annotate)
    return Source("My set", "Photos of a test.", CLASSES, CLASSES, splits, **arguments)


def prepare(folder):
    write_dataset(make_source(), PrepareOptions(output_dir=str(folder), num_workers=1))
    return folder


KINDS = [{}, {"annotate": no_objects}, {"annotate": no_objects, "multi_label": True}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("prepared") / "data")


@pytest.fixture(scope="module")
def content(folder):
    return json.loads((folder / croissant.FILE).read_text(encoding="utf-8"))


def test_the_files_are_those_of_the_folder(folder, content):
    objects = [one for one in content["distribution"] if one["@type"] == "cr:FileObject"]
    assert [one["contentUrl"] for one in objects] == ["label_names.txt", "class_names.json"]
    for one in objects:
        assert one["sha256"] == hashlib.sha256((folder / one["contentUrl"]).read_bytes()).hexdigest()
    sets = {one["@id"]: one["includes"] for one in content["distribution"] if one["@type"] == "cr:FileSet"}
    assert sets.keys() == {"train-records", "validation-records"}
    names = [path.name for path in folder.iterdir()]
    for split in ("train", "validation"):
        expected = [f"my_set-{split}.tfrecord-00000-of-00001"]
        assert fnmatch.filter(names, sets[f"{split}-records"]) == expected


def test_name_splits_and_what_is_left_out(content):
    assert content["name"] == "my_set"
    assert content["description"].startswith("Photos of a test. The records are tf.train.Example messages")
    assert content["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert not content.keys() & {"license", "url", "datePublished", "citeAs", "creator"}
    (splits,) = [one for one in content["recordSet"] if one["@id"] == "splits"]
    assert [list(row.values()) for row in splits["data"]] == [
        ["train", "cr:TrainingSplit", 3],
        ["validation", "cr:ValidationSplit", 2],
    ]


@pytest.mark.parametrize("arguments", [*KINDS, {"one_object": True}])
def test_the_fields_are_the_features(arguments, folder):
    source = make_source(**arguments)
    described = croissant.describe(source, {"train": 3}, folder)
    (fields,) = [one["field"] for one in described["recordSet"] if one["@id"] == "train"]
    columns = {one["source"]["extract"]["column"]: one.get("repeated", False) for one in fields}
    # As TFDS names the features inside of a record, with a slash between those of objects.
    features = records.features(source)
    expected = {}
    for name, feature in features.items():
        inner = getattr(feature, "feature", None)
        if isinstance(inner, tfds.features.FeaturesDict):
            expected |= {f"{name}/{one}": True for one in inner}
        else:
            expected[name] = isinstance(feature, tfds.features.Sequence)
    assert columns == expected


def test_the_same_bytes_each_time(folder, tmp_path):
    again = prepare(tmp_path / "elsewhere")
    assert (again / croissant.FILE).read_bytes() == (folder / croissant.FILE).read_bytes()


def test_a_licence_may_be_added(folder, content):
    written = (folder / croissant.FILE).read_bytes()
    (folder / croissant.FILE).write_text(json.dumps({**content, "license": "https://example.org/terms"}))
    prepare(folder)  # finds the same data set, and leaves it as it is
    assert json.loads((folder / croissant.FILE).read_text())["license"] == "https://example.org/terms"
    (folder / croissant.FILE).write_bytes(written)


@pytest.mark.parametrize("arguments", KINDS)
def test_its_own_reader_accepts_it(arguments, folder, tmp_path):
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    for name in ("label_names.txt", "class_names.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    croissant.write(make_source(**arguments), {"train": [2, 1], "validation": [2]}, tmp_path)
    dataset = mlcroissant.Dataset(jsonld=tmp_path / croissant.FILE)
    assert dataset.metadata.ctx.issues.errors == set()
    rows = [(row["classes/index"], text(row["classes/name"]).strip()) for row in dataset.records("classes")]
    assert rows == list(enumerate(CLASSES))
    assert [text(row["splits/name"]) for row in dataset.records("splits")] == ["train", "validation"]


def test_a_description_that_is_gone_is_written_again(tmp_path):
    folder = prepare(tmp_path / "data")
    before = (folder / croissant.FILE).read_bytes()
    (folder / croissant.FILE).unlink()
    assert (prepare(folder) / croissant.FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{", "[", "is damaged: it is no description in Croissant"),
        ('"splits/num_records": 3', '"splits/num_records": 4', "lists the splits {'train': 4, 'validation': 2}"),
        ('"sha256": "', '"sha256": "0', "has another SHA-256 of label_names.txt"),
        ('"recordSet": [', '"recordSets": [', "is damaged"),
    ],
)
def test_verifying_names_a_description_that_is_not_of_its_data(tmp_path, capsys, old, new, message):
    folder = prepare(tmp_path / "data")
    path = folder / croissant.FILE
    text = path.read_text()
    call_verb(verify.main, [f"--data_dir={folder}"], verify.VerifyOptions)
    path.write_text(text.replace('"description"', '"license": "CC0", "description"', 1))  # the owner adds it
    call_verb(verify.main, [f"--data_dir={folder}"], verify.VerifyOptions)
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=r"1 problem in 5 records \(listed above\)"):
        call_verb(verify.main, [f"--data_dir={folder}"], verify.VerifyOptions)
    assert message in capsys.readouterr().err
