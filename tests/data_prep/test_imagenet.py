"""Tests the reading of ImageNet's official tar files, on small imitations."""

import io

import pytest
from PIL import Image

from data_prep import imagenet
from tests.helpers.photos import encode, make_tar, read
from vgg_keras.utils.errors import UserError


@pytest.fixture
def tars(tmp_path):
    synsets = ("n01440764", "n15075141")
    # Some tars begin all names with "./", and macOS writes a hidden file beside each photo.
    inner = [
        (
            f"./{s}.tar",
            make_tar(
                tmp_path / "x.tar",
                [(f"./{s}_{n}.JPEG", encode(seed=n)) for n in (1, 2)] + [(f"./._{s}_1.JPEG", b"")],
            ).read_bytes(),
        )
        for s in synsets
    ]
    make_tar(tmp_path / "ILSVRC2012_img_train.tar", inner)
    # The members are not sorted by name; labels are assigned by the number in the name.
    names = [f"ILSVRC2012_val_{n:08}.JPEG" for n in (3, 1)]
    make_tar(tmp_path / "ILSVRC2012_img_val.tar", [(name, encode(image_format="PNG")) for name in names])
    make_tar(tmp_path / "ILSVRC2012_img_test.tar", [("ILSVRC2012_test_00000001.JPEG", encode(mode="CMYK"))])
    return tmp_path


def test_official_layout(tars):
    imagenet.main(imagenet.ImageNetOptions(output_dir=str(tars / "out"), num_workers=1, source_dir=str(tars)))
    train = read(tars / "out", "train")
    assert {key: label for key, (_, label) in train.items()} == {
        "n01440764_1.JPEG": 0, "n01440764_2.JPEG": 0, "n15075141_1.JPEG": 999, "n15075141_2.JPEG": 999,
    }  # fmt: skip
    validation = read(tars / "out", "validation")
    # The first three labels in the development kit are n01751748, n09193705, n02105855: indices 65, 970, 230.
    assert {key: label for key, (_, label) in validation.items()} == {
        "ILSVRC2012_val_00000001.JPEG": 65, "ILSVRC2012_val_00000003.JPEG": 230,
    }  # fmt: skip
    for data, _ in (*validation.values(), *read(tars / "out", "test").values()):
        assert (Image.open(io.BytesIO(data)).format, Image.open(io.BytesIO(data)).mode) == ("JPEG", "RGB")
    assert read(tars / "out", "test")["ILSVRC2012_test_00000001.JPEG"][1] == -1
    names = (tars / "out" / "label_names.txt").read_text().splitlines()
    assert names[134] == "crane (n02012849)"
    assert names[517] == "crane (n03126707)"


def test_a_pattern_of_synsets_takes_their_validation_images_too(tars):
    # The first and the third validation image are of n01751748 and n02105855.
    inner = [
        (
            f"{synset}.tar",
            make_tar(tars / "x.tar", [(f"{synset}_{n}.JPEG", encode(seed=n)) for n in (5, 6)]).read_bytes(),
        )
        for synset in ("n01751748", "n02105855")
    ]
    make_tar(tars / "ILSVRC2012_img_train.tar", inner)
    options = {"source_dir": str(tars), "num_workers": 1}
    imagenet.main(imagenet.ImageNetOptions(output_dir=str(tars / "out"), image_pattern="n0175*", **options))
    assert set(read(tars / "out", "train")) == {"n01751748_5.JPEG", "n01751748_6.JPEG"}
    assert {key: label for key, (_, label) in read(tars / "out", "validation").items()} == {
        "ILSVRC2012_val_00000001.JPEG": 65
    }
    assert not list((tars / "out").glob("*-test.*"))


def test_refusals(tars):
    val = tars / "ILSVRC2012_img_val.tar"
    make_tar(val, [("photo.JPEG", encode())])
    with pytest.raises(UserError, match=r"photo\.JPEG is not the name of a validation image"):
        imagenet.imagenet(tars)
    val.unlink()
    with pytest.raises(UserError, match=r"ILSVRC2012_img_val\.tar is missing"):
        imagenet.imagenet(tars)
    val.touch()
    train = make_tar(tars / "ILSVRC2012_img_train.tar", [("n00000001.tar", b"")])
    with pytest.raises(UserError, match="n00000001 is not a synset of ILSVRC-2012"):
        imagenet.imagenet(tars)
    make_tar(train, [("n01440764.tar", b"damaged")])
    with pytest.raises(UserError, match=r"n01440764\.tar is damaged or truncated"):
        imagenet.imagenet(tars)


@pytest.mark.parametrize(
    ("source_dir", "message"),
    [
        ("absent", "--source_dir=absent does not exist"),
        ("ILSVRC2012_img_train.tar", "is a file; name the folder that holds ILSVRC2012_img_train.tar"),
    ],
)
def test_wrong_folders(tars, monkeypatch, source_dir, message):
    monkeypatch.chdir(tars)
    with pytest.raises(UserError, match=message):
        imagenet.main(imagenet.ImageNetOptions(output_dir="out", source_dir=source_dir))
