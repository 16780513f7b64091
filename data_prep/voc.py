"""Writes photos with boxes, in PASCAL VOC's layout, as TFRecords.

    python -m data_prep.voc --source_dir=VOCdevkit/VOC2007 --output_dir=data/voc2007

`source_dir` holds `JPEGImages/`, `Annotations/*.xml` and `ImageSets/Main/` with `train.txt`, `val.txt` and, if there is
one, `test.txt`. If the objects of every image are of one class, that is its label; else the images have several labels.
With --task=actions each record is of a person whom `ImageSets/Action/` lists, with the box and the actions.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from data_prep import voc_actions, voc_xml
from data_prep.builder import PrepareOptions, write_dataset
from data_prep.objects import Annotation, NoteReader, Object
from data_prep.pieces import FileReader, Piece, Pieces, file_piece
from data_prep.sources import Source, Split, some_names
from data_prep.summary import Recipe, print_summary
from data_prep.voc_layout import ANNOTATIONS, FIRST_PIXEL, PHOTOS, Faults, Layout, read_layout
from vgg_keras.utils import cli, console, paths, shell
from vgg_keras.utils.console import progress_bar
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.escaping import visible
from vgg_keras.utils.options import PathLike, option
from vgg_keras.utils.words import counted

# What is read from the folder.
OBJECTS, ACTIONS = "objects", "actions"

# Where every image has one class: a classifier, which the dense test and `predict` need, and a localizer.
_CLASSIFIER = Recipe("train a classifier", {"flagfile": "configs/my_photos.cfg"}, run_suffix="_classifier")
_LOCALIZER = Recipe(
    "train a localizer, which predicts boxes",
    {"flagfile": "configs/my_boxes.cfg"},
    note="ImageNet's convolutions are downloaded; without a network, give --init_from=FILE",
)
# A net is not trained on images of several labels: linear SVMs learn from the features of a net from elsewhere.
_PRETRAINED = "models/vgg16.keras"
_SEVERAL_LABELS = Recipe(
    "fit linear classifiers on the features of a net from ImageNet",
    {"model": _PRETRAINED, "test_scales": "256,384", "classifier": True},
    note="the net is written by:  "
    + shell.command("vgg_keras.pretrained", source="keras_applications", net="D", output=_PRETRAINED),
    verb="vgg_keras.features",
    output=("output", "evaluations/{name}/features.npz"),
)
_PERSONS = dataclasses.replace(_SEVERAL_LABELS, flags={**_SEVERAL_LABELS.flags, "regions": "image,box"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class VocOptions(PrepareOptions):
    """Flags of `data_prep.voc`."""

    source_dir: PathLike = option(
        "",
        "the folder with JPEGImages, Annotations and ImageSets, or one above it",
        required=True,
        group="input",
        path=True,
    )
    task: str = option(
        OBJECTS,
        "objects: the images of ImageSets/Main, with the classes and boxes of their objects; actions: the persons of "
        "ImageSets/Action, with what they do",
        choices=(OBJECTS, ACTIONS),
        group="input",
    )


@dataclasses.dataclass(frozen=True)
class _Image:
    """An image of a split before the classes are known.

    Attributes:
        key: path of the photo below `JPEGImages`.
        file: name of the annotation; "" if there is none, as in the test splits of contests.
        size: width and height in pixels that the annotation gives, or (0, 0).
        objects: the objects.
    """

    key: str
    file: str = ""
    size: tuple[int, int] = (0, 0)
    objects: tuple[voc_xml.NamedObject, ...] = ()

    @property
    def names(self) -> set[str]:
        """Names of the classes of its objects."""
        return {one.name for one in self.objects}

    def piece(self, folder: Path, label_of: Mapping[str, int], multi_label: bool) -> Piece:
        """Returns the image as a piece of its split."""
        objects = [Object(label_of[one.name], one.box, one.is_difficult) for one in self.objects]
        label = objects[0].label if objects and not multi_label else -1
        note = Annotation(self.file, self.size, objects).to_note() if objects else b""
        return file_piece(folder, self.key, label, note)


def _read_split(layout: Layout, split: str, faults: Faults, note: Callable[[str], None]) -> list[_Image]:
    """Reads the annotations of a split."""
    names = layout.image_sets[split]
    # The annotations of a contest's test images are kept secret, but for a few that belong to other tasks.
    annotated = sum(name in layout.annotations for name in names)
    secret = split == "test" and 2 * annotated < len(names)
    if secret and annotated:
        note(f"{split}: {annotated:,} of {len(names):,} images have annotations; it is stored without labels")
    images = []
    for name in progress_bar(f"annotations of {split}", len(names), " files", iterable=names, leave=False):
        if name not in layout.photos:
            faults.add(split, name, layout.root / PHOTOS / name, f"missing, and {layout.files[split].name} names it")
        elif secret:
            images.append(_Image(layout.photos[name]))
        elif name not in layout.annotations:
            path = layout.root / ANNOTATIONS / f"{name}.xml"
            faults.add(split, layout.photos[name], path, f"missing, and {layout.files[split].name} names it")
        else:
            path = layout.annotations[name]
            try:
                with path.open("rb") as file:
                    size, objects = voc_xml.parse(file)
                images.append(_Image(layout.photos[name], path.name, size, tuple(objects)))
            except ValueError as error:
                faults.add(split, layout.photos[name], path, str(error))
    return images


def _is_multi_label(images: Iterable[_Image], note: Callable[[str], None]) -> bool:
    """Returns whether some of the annotated images have no class, or several, and says so."""
    others = [image for image in images if image.file and len(image.names) != 1]
    if others:
        example = f"{visible(others[0].key)}: {some_names(sorted(others[0].names)) or 'no object'}"
        note(
            f"{counted(len(others), 'image')} with objects of several classes or of none ({example}): every image gets "
            "a list of labels in place of one label"
        )
    return bool(others)


def voc(
    source_dir: Path, name: str, note: Callable[[str], None] = console.say, *, skip_bad_images: bool = False
) -> Source:
    """Returns a folder of VOC's layout as a source.

    Args:
        source_dir: the folder, or one above it.
        name: TFDS name of the data set.
        note: function that shows a message.
        skip_bad_images: whether images that are missing, or whose annotation is missing or no XML of VOC, are left out.

    Raises:
        UserError: the layout is not that of VOC, or an image or its annotation is missing or damaged.
    """
    layout = read_layout(source_dir, note)
    faults = Faults(skip_bad_images)
    images = {split: _read_split(layout, split, faults, note) for split in layout.image_sets}
    everything = [image for some in images.values() for image in some]
    class_names = sorted(set().union(*(image.names for image in everything)))
    if not class_names:
        raise UserError(f"{layout.root / ANNOTATIONS}: no annotation has an object")
    multi_label = _is_multi_label(everything, note)
    folder, label_of = layout.root / PHOTOS, {name: index for index, name in enumerate(class_names)}
    splits = {
        split: Split(
            Pieces.collect(image.piece(folder, label_of, multi_label) for image in some),
            lambda _: FileReader(folder),
            annotate=NoteReader(FIRST_PIXEL, strict=True),
        )
        for split, some in images.items()
    }
    return Source(
        name=name,
        description=f"Images of {len(class_names)} classes, with boxes, from a folder of PASCAL VOC's layout.",
        class_names=class_names,
        label_names=class_names,
        splits=splits,
        multi_label=multi_label,
        left_out=faults.lines,
    )


def _recipes(source: Source) -> Sequence[Recipe]:
    """Returns the ways to train on a source, in the order in which they are gone."""
    if source.multi_label:
        return [_PERSONS if source.one_object else _SEVERAL_LABELS]
    # Of one class alone there is nothing to classify.
    return [_CLASSIFIER, _LOCALIZER] if len(source.class_names) > 1 else [_LOCALIZER]


def main(options: VocOptions) -> None:
    """Writes a folder of VOC's layout as TFRecords and prints a summary."""
    source_dir = paths.existing_folder(
        "source_dir", options.source_dir, f"name the folder that holds {PHOTOS} and {ANNOTATIONS}"
    )
    name = Path(options.output_dir).resolve().name
    read = voc_actions.actions if options.task == ACTIONS else voc
    source = read(source_dir, name, skip_bad_images=options.skip_bad_images)
    print_summary(write_dataset(source, options), _recipes(source))


run = partial(cli.run, main, VocOptions)

if __name__ == "__main__":
    run()
