"""Tests that a command whose data set is finished already ends well, and that it names what is not the same."""

import os
import shutil

import pytest

from data_prep import flowers, image_folder, pools, preparation_record
from data_prep.flowers import FlowersOptions
from data_prep.image_folder import ImageFolderOptions
from tests.helpers.paths import folder_content
from tests.helpers.photos import encode, make_tar
from tests.helpers.verbs import call_verb
from vgg_keras.utils import side_files
from vgg_keras.utils.errors import UserError


@pytest.fixture
def place(tmp_path):
    """Makes a folder with photos in photos/ and the data set of them in data/."""
    for number in range(8):
        photo = tmp_path / "photos" / "ab"[number % 2] / f"{number}.jpg"
        photo.parent.mkdir(parents=True, exist_ok=True)
        photo.write_bytes(encode(seed=number))
    run(tmp_path)
    return tmp_path


def run(place, *arguments):
    flags = [f"--source_dir={place / 'photos'}", f"--output_dir={place / 'data'}", "--num_workers=1", *arguments]
    call_verb(image_folder.main, flags, ImageFolderOptions)


def test_the_same_command_again_says_that_it_is_there(place, monkeypatch, capsys):
    capsys.readouterr()
    before = folder_content(place / "data")
    monkeypatch.setattr(pools, "write_part", None)  # nothing is written
    run(place)
    # Flags that change nothing about the records may differ, and the source may lie elsewhere.
    run(place, "--num_workers=2", "--skip_bad_images", "--as_is")
    (place / "photos").rename(place / "moved")
    run(place, f"--source_dir={place / 'moved'}")
    assert folder_content(place / "data") == before
    printed = capsys.readouterr().out
    assert printed.count("data: is there already, of the same images and flags; nothing is to be done\n") == 3
    assert printed.count("train on it from ImageNet's convolutions") == 3


@pytest.mark.parametrize(
    ("flag", "difference"),
    [
        ("--resize_smallest_side=4", "--resize_smallest_side=0 then, --resize_smallest_side=4 now"),
        (
            "--validation_fraction=0.5",
            "--validation_fraction=0.1 then, --validation_fraction=0.5 now; the images of train have changed; "
            "the images of validation have changed",
        ),
        ("--image_pattern=*.JPG", "--image_pattern='' then, --image_pattern='*.JPG' now"),
    ],
)
def test_other_flags_are_named(place, flag, difference):
    with pytest.raises(UserError) as caught:
        run(place, flag)
    assert str(caught.value) == (
        f"--output_dir={place / 'data'} holds another data set ({difference}); remove it, or choose another "
        "--output_dir"
    )


@pytest.mark.parametrize("change", ["another", "of the same size", "gone"])
def test_other_images_are_named(place, change):
    photo = place / "photos" / "a" / "0.jpg"
    if change == "another":
        (place / "photos" / "a" / "8.jpg").write_bytes(encode(seed=8))
    elif change == "of the same size":
        content = photo.read_bytes()
        photo.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
        os.utime(photo, (1, 1))
    else:
        photo.unlink()
    with pytest.raises(UserError, match=r"holds another data set \(the images of \w+ have changed.*\); remove it, or"):
        run(place)


def test_photos_that_were_touched_or_copied_without_their_times_are_the_same(place, monkeypatch, capsys):
    before = folder_content(place / "data")
    monkeypatch.setattr(pools, "write_part", None)  # nothing is written
    os.utime(place / "photos" / "a" / "0.jpg", (1, 1))
    run(place)
    shutil.copytree(place / "photos", place / "copy", copy_function=shutil.copyfile)
    for photo in (place / "copy").rglob("*.jpg"):
        os.utime(photo, (2, 2))
    run(place, f"--source_dir={place / 'copy'}")
    assert folder_content(place / "data") == before
    assert sorted(path.name for path in place.iterdir()) == ["copy", "data", "photos"]
    assert capsys.readouterr().out.count("data: is there already, of the same images and flags") == 2
    # The record of an earlier version does not hold the contents.
    record = preparation_record.read(place / "data")
    del record["contents"]
    side_files.write_json(place / "data" / preparation_record.RECORD, record)
    with pytest.raises(UserError, match="the images of train have changed; the images of validation have changed"):
        run(place, f"--source_dir={place / 'copy'}")


@pytest.mark.parametrize("compression", ["", "gz"])
def test_an_archive_that_was_copied_without_its_time_is_the_same(compression, tmp_path):
    photos = [(f"f/{kind}/{number}.jpg", encode(seed=number)) for kind in "ab" for number in range(20)]
    archive = make_tar(tmp_path / "f.tar", photos, compression)
    options = FlowersOptions(archive=str(archive), output_dir=str(tmp_path / "data"), num_workers=1)
    flowers.main(options)
    os.utime(archive, (1, 1))
    flowers.main(options)
    make_tar(archive, [*photos[:-1], (photos[-1][0], photos[-1][1][::-1])], compression)
    with pytest.raises(UserError, match=r"the images of (train|validation) have changed"):
        flowers.main(options)


def test_images_that_were_left_out(place):
    (place / "photos" / "a" / "bad.jpg").write_bytes(b"bad")
    run(place, f"--output_dir={place / 'less'}", "--skip_bad_images")
    run(place, f"--output_dir={place / 'less'}", "--skip_bad_images")
    with pytest.raises(UserError, match="which left images out, --noskip_bad_images now"):
        run(place, f"--output_dir={place / 'less'}")


def test_a_data_set_with_missing_files_is_not_taken_for_finished(place):
    (shard,) = (place / "data").glob("*-train.tfrecord*")
    content = shard.read_bytes()
    for damage in (lambda: shard.write_bytes(content[:-1]), shard.unlink):
        damage()
        with pytest.raises(UserError, match=f"{shard.name} is missing, or does not have its .* bytes; remove it"):
            run(place)


def test_a_folder_that_is_no_data_set_is_refused_as_before(place):
    (place / "data" / preparation_record.RECORD).unlink()
    with pytest.raises(UserError, match=r"data exists; remove it or choose another$"):
        run(place)


def test_the_exit_code(place, run_verb):
    arguments = (f"--source_dir={place / 'photos'}", f"--output_dir={place / 'data'}", "--num_workers=1")
    code, stdout, _ = run_verb("data_prep.image_folder", *arguments)
    assert (code, "is there already" in stdout) == (0, True)
    code, _, stderr = run_verb("data_prep.image_folder", *arguments, "--resize_smallest_side=4")
    assert (code, stderr.count("\n")) == (1, 1)
