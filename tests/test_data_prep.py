"""Photos to records: real archives and folders in, and every kind of bad input."""

import hashlib
import io
import json
import os
import signal
import subprocess
import tarfile
import time

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from data_prep import imagenet
from data_prep.builder import PrepareOptions, write_dataset
from data_prep.flowers import flower_archive
from data_prep.image_folder import image_folder
from data_prep.images import BadImage, Preparation, isotropic_size, prepare
from data_prep.sources import RawImage, Source, split_of
from data_prep.statistics import RgbMoments, RgbStatistics
from tests.conftest import start_verb
from vgg_keras import command_line
from vgg_keras.command_line import UserError


def encode(size=(8, 6), mode="RGB", image_format="JPEG", seed=0, **arguments):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(encoded, format=image_format, **arguments)
    return encoded.getvalue()


def decoded(image_bytes):
    return np.asarray(Image.open(io.BytesIO(image_bytes)).convert("RGB"))


def make_source(images, **arguments):
    """A source of one class, "a", whose train split is the given (key, bytes) pairs."""
    splits = {"train": images, "validation": [("v", encode())]}
    return Source(
        name="test",
        description="Test.",
        class_names=["a"],
        label_names=["a"],
        splits={name: lambda pairs=pairs: [RawImage(*pair, 0) for pair in pairs] for name, pairs in splits.items()},
        num_images={split: len(pairs) for split, pairs in splits.items()},
        **arguments,
    )  # fmt: skip


def write(source, folder, **options):
    write_dataset(source, PrepareOptions(output_dir=str(folder), num_workers=1, **options))


def read(folder, split):
    """Returns {file name: (image bytes, label)} of a written split, read by TFDS alone."""
    builder = tfds.builder_from_directory(folder)
    examples = builder.as_dataset(split, decoders={"image": tfds.decode.SkipDecoding()}).as_numpy_iterator()
    return {e["file_name"].decode(): (e["image"], int(e["label"])) for e in examples}


class TestImages:
    def test_small_images_stay_byte_identical(self):
        data = encode((8, 6))
        assert prepare(data, Preparation(smallest_side=6)).image_bytes == data
        assert prepare(data, Preparation()).image_bytes == data

    def test_larger_images_shrink_to_the_smallest_side(self):
        prepared = prepare(encode((90, 60)), Preparation(smallest_side=40))
        assert prepared.change == "shrunk"
        assert Image.open(io.BytesIO(prepared.image_bytes)).size == (60, 40)
        # Pillow at quality 95 has these first entries of the luminance table (standard table times 0.1, rounded).
        assert Image.open(io.BytesIO(prepared.image_bytes)).quantization[0][:3] == [2, 1, 1]

    @pytest.mark.parametrize(
        ("size", "expected"), [((500, 375), (341, 256)), ((5, 2), (640, 256)), ((1, 1), (256, 256))]
    )
    def test_isotropic_size(self, size, expected):
        assert isotropic_size(*size, 256) == expected

    def test_one_pixel_is_fine(self):
        assert prepare(encode((1, 1)), Preparation()).change == ""

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", "empty file"),
            (b"no image at all", "not an image"),
            (encode((64, 64))[:-400], "truncated"),
            (encode((64, 64), image_format="PNG")[:-4000], "truncated|broken|bad"),
        ],
    )
    def test_bad_images_are_refused_with_a_reason(self, data, reason):
        with pytest.raises(BadImage, match=reason):
            prepare(data, Preparation())

    def test_cmyk_becomes_rgb(self):
        encoded = io.BytesIO()
        Image.linear_gradient("L").resize((64, 48)).convert("CMYK").save(encoded, format="JPEG")
        data = encoded.getvalue()
        prepared = prepare(data, Preparation())
        image = Image.open(io.BytesIO(prepared.image_bytes))
        assert (image.mode, image.format, prepared.change) == ("RGB", "JPEG", "repaired")
        assert np.abs(decoded(prepared.image_bytes).astype(int) - decoded(data)).mean() < 2

    def test_png_named_jpeg_becomes_jpeg_where_only_jpeg_is_wanted(self):
        data = encode(image_format="PNG")
        assert prepare(data, Preparation()).image_bytes == data
        prepared = prepare(data, Preparation(only_jpeg=True))
        assert (Image.open(io.BytesIO(prepared.image_bytes)).format, prepared.change) == ("JPEG", "repaired")

    def test_exif_orientation_is_applied_unless_it_must_not(self):
        exif = Image.Exif()
        exif[0x0112] = 6  # the camera was turned: 90 degrees clockwise makes it upright
        data = encode((16, 8), exif=exif)
        assert Image.open(io.BytesIO(prepare(data, Preparation()).image_bytes)).size == (8, 16)
        assert prepare(data, Preparation(upright=False)).image_bytes == data


class TestStatistics:
    def test_equal_numpy(self):
        rng = np.random.default_rng(0)
        images = [rng.integers(0, 256, (height, 7, 3), np.uint8) for height in (3, 11, 2)]
        pixels = np.concatenate([image.reshape(-1, 3) for image in images]).astype(np.float64)
        statistics = RgbStatistics.from_moments(sum(map(RgbMoments.of, images), RgbMoments()))
        np.testing.assert_allclose(statistics.mean, pixels.mean(axis=0), rtol=1e-12)
        covariance = np.cov(pixels.T, bias=True)
        rebuilt = statistics.eigenvectors @ np.diag(statistics.eigenvalues) @ statistics.eigenvectors.T
        np.testing.assert_allclose(rebuilt, covariance, rtol=1e-9)
        assert list(statistics.eigenvalues) == sorted(statistics.eigenvalues, reverse=True)

    def test_worked_out_by_hand(self):
        # Two pixels: mean (10, 0, 5), covariance diag(100, 0, 0).
        image = np.array([[[0, 0, 5], [20, 0, 5]]], np.uint8)
        statistics = RgbStatistics.from_moments(RgbMoments.of(image))
        np.testing.assert_allclose(statistics.mean, [10, 0, 5])
        np.testing.assert_allclose(statistics.eigenvalues, [100, 0, 0], atol=1e-12)
        np.testing.assert_allclose(statistics.eigenvectors[:, 0], [1, 0, 0])

    def test_written_file_is_of_the_stored_training_pixels(self, tmp_path):
        images = [(str(seed), encode((20, 10 + seed), seed=seed)) for seed in range(3)]
        write(make_source(images), tmp_path / "out", resize_smallest_side=11)
        stored = [decoded(data).reshape(-1, 3) for data, _ in read(tmp_path / "out", "train").values()]
        pixels = np.concatenate(stored).astype(np.float64)
        content = json.loads((tmp_path / "out" / "rgb_statistics.json").read_text())
        assert content["num_pixels"] == 20 * 10 + 20 * 11 + 18 * 11  # 12 rows shrink to 11: 20 * 11 / 12 = 18.3
        np.testing.assert_allclose(content["mean"], pixels.mean(axis=0), rtol=1e-9)
        np.testing.assert_allclose(
            content["eigenvalues"], np.linalg.eigvalsh(np.cov(pixels.T, bias=True))[::-1], rtol=1e-6
        )

    def test_damaged_file(self, tmp_path):
        (tmp_path / "rgb_statistics.json").write_text('{"mean": [1, 2]}')
        with pytest.raises(ValueError, match=r"rgb_statistics\.json is not a file of RGB statistics"):
            RgbStatistics.load(tmp_path)


class TestWriter:
    def test_records_labels_and_side_files(self, tmp_path, capsys):
        images = [(f"{seed}.jpg", encode(seed=seed)) for seed in range(5)]
        write(make_source(images), tmp_path / "out")
        assert read(tmp_path / "out", "train") == {key: (data, 0) for key, data in images}
        assert (tmp_path / "out" / "label_names.txt").read_text() == "a\n"
        assert json.loads((tmp_path / "out" / "class_indices.json").read_text()) == {"a": 0}
        assert not (tmp_path / "out.incomplete").exists()
        assert "images" in capsys.readouterr().out

    @pytest.mark.multiprocess
    def test_workers_change_nothing(self, tmp_path):
        images = [(f"{seed}.jpg", encode((60, 40), seed=seed)) for seed in range(30)]
        write_dataset(
            make_source(images), PrepareOptions(str(tmp_path / "two"), resize_smallest_side=20, num_workers=2)
        )
        write(make_source(images), tmp_path / "one", resize_smallest_side=20)
        # As lists: the order of the records is the same too.
        assert list(read(tmp_path / "two", "train").items()) == list(read(tmp_path / "one", "train").items())
        assert (tmp_path / "two/rgb_statistics.json").read_text() == (tmp_path / "one/rgb_statistics.json").read_text()

    def test_bad_images_are_all_named_and_nothing_is_written(self, tmp_path, capsys):
        images = [("good", encode()), ("empty", b""), ("text", b"text")]
        with pytest.raises(UserError, match=r"2 images do not decode .*--skip_bad_images"):
            write(make_source(images), tmp_path / "out")
        assert list(tmp_path.iterdir()) == []
        stderr = capsys.readouterr().err
        assert "train: empty does not decode: empty file" in stderr
        assert "train: text does not decode: not an image" in stderr

    def test_skipped_bad_images_are_listed(self, tmp_path):
        write(make_source([("good", encode()), ("empty", b"")]), tmp_path / "out", skip_bad_images=True)
        assert (tmp_path / "out" / "bad_images.txt").read_text() == "train\tempty\tempty file\n"
        assert list(read(tmp_path / "out", "train")) == ["good"]

    @pytest.mark.multiprocess
    def test_killed_it_leaves_nothing_under_the_final_name_and_runs_again(self, tmp_path, run_verb):
        for kind in ("a", "b"):
            (tmp_path / "photos" / kind).mkdir(parents=True)
            for number in range(200):
                (tmp_path / "photos" / kind / f"{number}.jpg").write_bytes(encode((200, 200), seed=number))
        arguments = ("data_prep.image_folder", "--source_dir=photos", "--output_dir=out", "--num_workers=1")
        process = start_verb(*arguments, cwd=tmp_path)
        while not list((tmp_path / "out.incomplete").glob("*/*")):  # the writer is at work
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert not (tmp_path / "out").exists()
        code, _, stderr = run_verb(*arguments)
        assert code == 0, stderr
        assert len(read(tmp_path / "out", "train")) + len(read(tmp_path / "out", "validation")) == 400
        assert not (tmp_path / "out.incomplete").exists()

    def test_full_disk(self, tmp_path):
        disk = tmp_path / "disk"
        disk.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk], capture_output=True).returncode:
            pytest.skip("only root can mount a small disk")
        try:
            images = [(f"{seed}", encode((300, 300), seed=seed)) for seed in range(10)]
            with pytest.raises(Exception, match=r"(?i)no space left on device") as caught:
                write(make_source(images), disk / "out")
            assert command_line.explain(caught.value).startswith("the disk is full")
            assert list(disk.iterdir()) == []
        finally:
            subprocess.run(["umount", disk], check=True)

    @pytest.mark.parametrize(
        ("images", "message"),
        [
            ([("same", encode()), ("same", encode(seed=1))], "the key same appears twice"),
            ([("bad", b"")], "train: no images that decode"),
            ([], "train: no images"),
        ],
    )
    def test_refused(self, tmp_path, images, message):
        with pytest.raises(UserError, match=message):
            write(make_source(images), tmp_path / "out", skip_bad_images=True)
        assert list(tmp_path.iterdir()) == []

    def test_an_existing_folder_is_not_touched(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(UserError, match="exists; remove it or choose another"):
            write(make_source([("good", encode())]), tmp_path)


def make_tar(path, files, compression=""):
    with tarfile.open(path, f"w:{compression}") as tar:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


class TestFlowers:
    def test_split_is_a_function_of_the_file_name_alone(self):
        # SHA-256 of "1795/<name>", first 8 bytes, below a tenth of 2^64: worked out with sha256sum.
        for name in ("100080576_f52e8ee070_n.jpg", "15922772266_1167a06620.jpg", "a.jpg", "b.jpg"):
            digest = hashlib.sha256(f"1795/{name}".encode()).hexdigest()
            expected = "validation" if int(digest[:16], 16) / 16**16 < 0.1 else "train"
            assert split_of(name) == split_of(f"roses/{name}") == split_of(f"tulips/{name}") == expected

    def test_archive(self, tmp_path):
        files = [(f"flower_photos/{kind}/{n}.jpg", encode(seed=n)) for kind in ("roses", "daisy") for n in range(30)]
        archive = make_tar(tmp_path / "f.tgz", [("flower_photos/LICENSE.txt", b"text"), *files], "gz")
        source = flower_archive(archive, "*.jpg")
        assert source.class_names == ["daisy", "roses"]
        images = {raw.key: raw for split in source.splits for raw in source.splits[split]()}
        assert len(images) == 60
        assert images["roses/7.jpg"] == ("roses/7.jpg", encode(seed=7), 1)
        assert sum(source.num_images.values()) == 60

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ([("a/b.jpg", b"")], "no class folders"),
            ([("f/a/b.jpg", b"x"), ("f/a/b.jpg", b"y")], "a/b.jpg appears more than once"),
        ],
    )
    def test_wrong_archives(self, tmp_path, files, message):
        with pytest.raises(UserError, match=message):
            flower_archive(make_tar(tmp_path / "f.tgz", files, "gz"), "*.jpg")

    @pytest.mark.parametrize("compression", ["", "gz"])
    def test_missing_and_truncated_archives(self, tmp_path, compression):
        with pytest.raises(UserError, match=r"absent\.tgz is missing"):
            flower_archive(tmp_path / "absent.tgz", "*.jpg")
        files = [(f"f/a/{n}.jpg", np.random.default_rng(n).bytes(5000)) for n in range(20)]
        archive = make_tar(tmp_path / "f.tgz", files, compression)
        whole = archive.read_bytes()
        # In the middle of a file, between two members (tarfile takes that for the end), and inside gzip's checksum.
        for length in (len(whole) // 2, (512 + 5120) * 3, len(whole) - 5 if compression else 10):
            archive.write_bytes(whole[:length])
            with pytest.raises(UserError, match=r"f\.tgz is (damaged or )?truncated"):
                flower_archive(archive, "*.jpg")

    @pytest.mark.real_data
    def test_the_real_archive_is_split_nine_to_one_in_every_class(self, real_data):
        source = flower_archive(real_data / "flower_photos.tgz", "*.jpg")
        train, validation = ({raw.key for raw in source.splits[split]()} for split in ("train", "validation"))
        totals = {"daisy": 662, "dandelion": 936, "roses": 679, "sunflowers": 614, "tulips": 773}
        for kind, total in totals.items():
            in_train, in_validation = (sum(key.startswith(kind) for key in keys) for keys in (train, validation))
            assert in_train + in_validation == total
            assert abs(in_validation - total / 10) < 2
        # Three photos lie in two classes; no copy of a training photo may be in the validation split.
        assert not {key.split("/")[1] for key in train} & {key.split("/")[1] for key in validation}


class TestImageFolder:
    @staticmethod
    def fill(folder, names, count=3):
        for name in names:
            (folder / name).mkdir(parents=True)
            for number in range(count):
                (folder / name / f"{number}.jpg").write_bytes(encode(seed=number))
        return folder

    def test_splits_by_itself(self, tmp_path):
        source = image_folder(self.fill(tmp_path, ("b", "a"), 40), "", 0.25, "x")
        assert source.class_names == ["a", "b"]
        keys = {split: {raw.key for raw in source.splits[split]()} for split in source.splits}
        assert len(keys["train"] | keys["validation"]) == 80
        assert all(split_of(key, 0.25) == split for split, some in keys.items() for key in some)

    def test_takes_a_split_folder_as_it_is_and_tells_what_it_passes_over(self, tmp_path):
        for split in ("train", "validation"):
            self.fill(tmp_path / split, ("a", "b"))
        (tmp_path / "train" / "a" / "notes.txt").touch()
        notes = []
        source = image_folder(tmp_path, "", 0.1, "x", notes.append)
        assert dict(source.num_images) == {"train": 6, "validation": 6}
        assert "passed over 1 files that are not images by name, such as a/notes.txt" in notes[0]

    def test_refusals(self, tmp_path):
        with pytest.raises(UserError, match="absent is not a folder"):
            image_folder(tmp_path / "absent", "", 0.1, "x")
        with pytest.raises(UserError, match="no class folders"):
            image_folder(tmp_path, "", 0.1, "x")
        self.fill(tmp_path, ("a",), 2)
        with pytest.raises(UserError, match="the validation split would be empty; change --validation_fraction"):
            image_folder(tmp_path, "", 0.0, "x")
        (tmp_path / "empty").mkdir()
        with pytest.raises(UserError, match="no images of class empty"):
            image_folder(tmp_path, "", 0.1, "x")


class TestImageNet:
    def test_synsets(self):
        synsets = imagenet.synsets()
        assert len(synsets) == 1000
        assert synsets[0] == ("n01440764", "tench, Tinca tinca")
        assert synsets[999][0] == "n15075141"
        assert [synset for synset, _ in synsets] == sorted(synset for synset, _ in synsets)

    @pytest.fixture
    def tars(self, tmp_path):
        synsets = ("n01440764", "n15075141")
        inner = [
            (f"{s}.tar", make_tar(tmp_path / "x.tar", [(f"{s}_{n}.JPEG", encode(seed=n)) for n in (1, 2)]).read_bytes())
            for s in synsets
        ]
        make_tar(tmp_path / "ILSVRC2012_img_train.tar", inner)
        # Not in the order of their names; labels go by the number.
        names = [f"ILSVRC2012_val_{n:08}.JPEG" for n in (3, 1)]
        make_tar(tmp_path / "ILSVRC2012_img_val.tar", [(name, encode(image_format="PNG")) for name in names])
        make_tar(tmp_path / "ILSVRC2012_img_test.tar", [("ILSVRC2012_test_00000001.JPEG", encode(mode="CMYK"))])
        return tmp_path

    def test_official_layout(self, tars):
        imagenet.main(imagenet.ImageNetOptions(output_dir=str(tars / "out"), num_workers=1, source_dir=str(tars)))
        train = read(tars / "out", "train")
        assert {key: label for key, (_, label) in train.items()} == {
            "n01440764_1.JPEG": 0, "n01440764_2.JPEG": 0, "n15075141_1.JPEG": 999, "n15075141_2.JPEG": 999,
        }  # fmt: skip
        validation = read(tars / "out", "validation")
        # The development kit's first three answers: n01751748, n09193705, n02105855 (indices 65, 970, 230).
        assert {key: label for key, (_, label) in validation.items()} == {
            "ILSVRC2012_val_00000001.JPEG": 65, "ILSVRC2012_val_00000003.JPEG": 230,
        }  # fmt: skip
        for data, _ in (*validation.values(), *read(tars / "out", "test").values()):
            assert (Image.open(io.BytesIO(data)).format, Image.open(io.BytesIO(data)).mode) == ("JPEG", "RGB")
        assert read(tars / "out", "test")["ILSVRC2012_test_00000001.JPEG"][1] == -1
        names = (tars / "out" / "label_names.txt").read_text().splitlines()
        assert names[134] == "crane (n02012849)"
        assert names[517] == "crane (n03126707)"

    def test_refusals(self, tars):
        val = tars / "ILSVRC2012_img_val.tar"
        make_tar(val, [("photo.JPEG", encode())])
        with pytest.raises(UserError, match=r"photo\.JPEG is not the name of a validation image"):
            list(imagenet.imagenet(tars).splits["validation"]())
        val.unlink()
        with pytest.raises(UserError, match=r"ILSVRC2012_img_val\.tar is missing"):
            imagenet.imagenet(tars)
        val.touch()
        train = make_tar(tars / "ILSVRC2012_img_train.tar", [("n00000001.tar", b"")])
        with pytest.raises(UserError, match="n00000001 is not a synset of ILSVRC-2012"):
            list(imagenet.imagenet(tars).splits["train"]())
        make_tar(train, [("n01440764.tar", b"damaged")])
        with pytest.raises(UserError, match=r"n01440764\.tar is damaged or truncated"):
            list(imagenet.imagenet(tars).splits["train"]())
