"""Writes ILSVRC-2012 (ImageNet) as TFRecords, from the official tars.

    python -m data_prep.imagenet --source_dir=ILSVRC2012 --output_dir=data/imagenet

`source_dir` holds `ILSVRC2012_img_train.tar` (a tar with one tar for each synset), `ILSVRC2012_img_val.tar` and, if you
have it, `ILSVRC2012_img_test.tar`. `--boxes=FOLDER` adds the boxes of `ILSVRC2012_bbox_train_v2.tar.gz` and
`ILSVRC2012_bbox_val_v3.tgz`.
"""

import dataclasses
import fnmatch
import functools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from data_prep.archives import identity, make_readable, open_tar, tar_files, unpacked_bytes
from data_prep.builder import PrepareOptions, write_dataset
from data_prep.imagenet_boxes import ANNOTATE, read_boxes
from data_prep.pieces import Piece, Pieces
from data_prep.sources import Source, Split
from data_prep.summary import Recipe, print_summary
from vgg_keras.data.imagenet import synsets
from vgg_keras.utils import cli, paths
from vgg_keras.utils.console import progress_bar
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.options import PathLike, option
from vgg_keras.utils.shell import flag

_TARS = {
    "train": "ILSVRC2012_img_train.tar",
    "validation": "ILSVRC2012_img_val.tar",
    "test": "ILSVRC2012_img_test.tar",
}
# Numbers of images in the official tars by the tars' sizes in bytes, for the progress bar.
_OFFICIAL = {147_897_477_120: 1_281_167, 6_744_924_160: 50_000}

_RECIPE = Recipe("train net D on it", {"flagfile": "configs/vgg16.cfg"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageNetOptions(PrepareOptions):
    """Flags of `data_prep.imagenet`."""

    source_dir: PathLike = option("", "the folder with the official tars", required=True, group="input", path=True)
    image_pattern: str = option(
        "*", "glob for the images' file names, such as n015* for some synsets, to make a smaller set", group="input"
    )
    boxes: PathLike = option(
        "",
        "box annotations to store too: a tar of XML files as distributed, or a folder with such tars or with the files",
        group="input",
        path=True,
    )


def validation_synsets() -> list[str]:
    """Returns the synsets of the 50,000 validation images, in the images' order, from a file of tensorflow-datasets."""
    with cli.loading_libraries():
        import tensorflow_datasets as tfds

    path = tfds.core.tfds_path("datasets/imagenet2012/validation_labels.txt")
    return path.read_text(encoding="utf-8").split()


def _train_pieces(tar_path: Path, image_pattern: str, label_of: dict[str, int]) -> Iterator[Piece]:
    with open_tar(tar_path) as outer:
        for member in tar_files(outer, tar_path):
            synset = member.name.removesuffix(".tar").rpartition("/")[2]
            inside = Path(f"{tar_path}!{member.name}")
            if synset not in label_of:
                raise UserError(f"{inside}: {synset} is not a synset of ILSVRC-2012")
            count = 0
            with open_tar(inside, outer.extractfile(member)) as inner:
                for image in tar_files(inner, inside):
                    count += 1
                    name = image.name.rpartition("/")[2]
                    if fnmatch.fnmatch(name, image_pattern):
                        yield Piece(name, label_of[synset], image.size, member.offset_data + image.offset_data)
            if not count:
                raise UserError(f"{inside} holds no images")


def _flat_pieces(tar_path: Path, image_pattern: str, synset: Callable[[str], str], label_of: dict) -> Iterator[Piece]:
    """Yields the images of a tar without folders; the pattern may also match "<synset>_<name>", as in training."""
    with open_tar(tar_path) as tar:
        for member in tar_files(tar, tar_path):
            name = member.name.rpartition("/")[2]
            its_synset = synset(name)
            if fnmatch.fnmatch(name, image_pattern) or fnmatch.fnmatch(f"{its_synset}_{name}", image_pattern):
                yield Piece(name, label_of.get(its_synset, -1), member.size, member.offset_data)


def _validation_synset(name: str, answers: list[str]) -> str | None:
    """Returns the synset of a validation image by its name without the suffix, or None for other names."""
    number = re.fullmatch(r"ILSVRC2012_val_(\d{8})", name)
    return answers[int(number[1]) - 1] if number and 1 <= int(number[1]) <= len(answers) else None


def _validation_pieces(tar_path: Path, image_pattern: str, label_of: dict[str, int]) -> Iterator[Piece]:
    answers = validation_synsets()

    def synset(name: str) -> str:
        found = _validation_synset(name.removesuffix(".JPEG"), answers) if name.endswith(".JPEG") else None
        if not found:
            raise UserError(f"{tar_path}: {name} is not the name of a validation image of ILSVRC-2012")
        return found

    return _flat_pieces(tar_path, image_pattern, synset, label_of)


def _read_notes(boxes: Path, label_of: dict[str, int]) -> dict[str, bytes]:
    """Reads the boxes of training and validation images, and returns the notes for their pieces."""
    answers = validation_synsets()

    def label(name: str) -> int | None:
        synset = _validation_synset(name, answers) or name.partition("_")[0]
        return label_of.get(synset)

    return read_boxes(boxes, label, list(label_of))


def _split(name: str, tar_path: Path, pieces: Iterator[Piece], notes: Mapping[str, bytes] | None) -> Split:
    """Lists the images of a split, which takes minutes for the official training tar, and shows the progress."""
    total = _OFFICIAL.get(tar_path.stat().st_size)
    listed = progress_bar(f"listing {name}", total, " images", iterable=pieces, leave=False)
    noted = (piece._replace(note=(notes or {}).get(piece.key.removesuffix(".JPEG"), b"")) for piece in listed)
    annotate = None if notes is None else ANNOTATE
    return Split(Pieces.collect(noted), functools.partial(make_readable, tar_path), identity(tar_path), annotate)


def imagenet(source_dir: Path, image_pattern: str = "*", boxes: Path | None = None) -> Source:
    """Returns the official tars as a source.

    Args:
        source_dir: the folder that holds the tars.
        image_pattern: glob pattern of the images' file names. One of synsets, such as "n015*", also takes the
            validation images of these, and leaves out the test images.
        boxes: the tar or the folder of the box annotations; None: the records hold no objects. Images of which it has
            no box of their class have none.

    Raises:
        UserError: the training or the validation tar is missing; a tar is damaged or empty, or holds a synset or an
            image that is not one of ILSVRC-2012; the boxes cannot be read, or are of other images.
    """
    tars = {split: source_dir / name for split, name in _TARS.items()}
    for split in ("train", "validation"):
        if not tars[split].is_file():
            raise UserError(
                f"{tars[split]} is missing; --source_dir must hold {_TARS['train']} and {_TARS['validation']}"
            )
    names = synsets()
    label_of = {synset: index for index, (synset, _) in enumerate(names)}
    words = Counter(words for _, words in names)
    pieces = {
        "train": _train_pieces(tars["train"], image_pattern, label_of),
        "validation": _validation_pieces(tars["validation"], image_pattern, label_of),
    }
    if tars["test"].is_file():
        pieces["test"] = _flat_pieces(tars["test"], image_pattern, lambda _: "", label_of)
    notes = None if boxes is None else _read_notes(boxes, label_of)
    splits = {split: _split(split, tars[split], some, notes) for split, some in pieces.items()}
    if notes is not None and not any(split.pieces.notes for split in splits.values()):
        raise UserError(f"{flag('boxes', str(boxes))} has no box for any image of {source_dir}")
    if "test" in splits and not len(splits["test"].pieces):  # no test image is known to be of a synset
        del splits["test"]
    return Source(
        name="imagenet2012",
        description="ILSVRC-2012 (ImageNet), images as the official tars hold them.",
        class_names=list(label_of),
        # Two synsets have the same words, "crane": the bird and the machine.
        label_names=[text if words[text] == 1 else f"{text} ({synset})" for synset, text in names],
        splits=splits,
        temporary_bytes=sum(unpacked_bytes(tars[name], split.pieces) for name, split in splits.items()),
    )


def main(options: ImageNetOptions) -> None:
    """Writes ILSVRC-2012 as TFRecords and prints a summary."""
    source_dir = paths.existing_folder("source_dir", options.source_dir, f"name the folder that holds {_TARS['train']}")
    boxes = paths.existing("boxes", options.boxes) if options.boxes else None
    summary = write_dataset(
        imagenet(source_dir, options.image_pattern, boxes),
        options,
        only_jpeg=True,
        # Published errors are measured without regard to the EXIF orientation that some images have.
        upright=False,
        # A subset of the images need not contain all 1,000 classes.
        allow_empty_classes=True,
    )
    print_summary(summary, [_RECIPE])


run = partial(cli.run, main, ImageNetOptions)

if __name__ == "__main__":
    run()
