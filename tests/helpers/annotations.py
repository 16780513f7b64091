"""Makes annotations in VOC's XML, and folders of VOC's layout, for tests."""

from pathlib import Path

from tests.helpers.photos import encode


def annotation_xml(objects, size=(100, 50)) -> bytes:
    """Returns an annotation.

    Args:
        objects: (class name, xmin, ymin, xmax, ymax) of each object, and True behind them if it is difficult, or for a
            person whether it does each action, {action: bool}.
        size: width and height in pixels, or None for a file without them.
    """
    sides = "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    marked = "".join(
        f"<object><name>{name}</name>{_more(*more)}"
        f"<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object>"
        for name, xmin, ymin, xmax, ymax, *more in objects
    )
    return f"<annotation><filename>a.jpg</filename>{sides}{marked}</annotation>".encode()


def _more(more=False) -> str:
    if isinstance(more, dict):
        return f"<actions>{''.join(f'<{name}>{does:d}</{name}>' for name, does in more.items())}</actions>"
    return "<difficult>1</difficult>" * bool(more)


def write_actions(root: Path, splits) -> None:
    """Writes the lists of VOC's action task into a folder of VOC's layout, as the development kit names them.

    Args:
        root: the folder.
        splits: {name of the image set: {(name of the image, number of the object): {action: 1, -1 or 0}}}; persons
            without labels are listed as the images of a contest's test set are.
    """
    folder = root / "ImageSets" / "Action"
    folder.mkdir(parents=True, exist_ok=True)
    for split, persons in splits.items():
        images = dict.fromkeys(image for image, _ in persons)
        (folder / f"{split}.txt").write_text("".join(f"{image}\n" for image in images), encoding="utf-8")
        for action in dict.fromkeys(action for labels in persons.values() for action in labels):
            rows = [(*person, labels[action]) for person, labels in persons.items() if action in labels]
            text = "".join(f"{image} {number:2} {label:2}\n" for image, number, label in rows)
            (folder / f"{action}_{split}.txt").write_text(text, encoding="utf-8")


def write_voc(root: Path, splits, size=(100, 50), image_sets="ImageSets/Main") -> Path:
    """Writes a folder of VOC's layout, and returns it.

    Args:
        root: the folder.
        splits: {name of the image set: {name of the image: objects as `annotation_xml` takes them}}.
        size: width and height of the photos in pixels.
        image_sets: the folder of the image sets.
    """
    for folder in ("JPEGImages", "Annotations", image_sets):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for split, images in splits.items():
        (root / image_sets / f"{split}.txt").write_text("".join(f"{name}\n" for name in images), encoding="utf-8")
        for number, (name, objects) in enumerate(images.items()):
            (root / "JPEGImages" / f"{name}.jpg").write_bytes(encode(size, seed=number))
            (root / "Annotations" / f"{name}.xml").write_bytes(annotation_xml(objects, size))
    return root
