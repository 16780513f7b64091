"""Makes annotations in VOC's XML, and folders of VOC's layout, for tests."""

from pathlib import Path

from tests.helpers.photos import encode


def annotation_xml(objects, size=(100, 50)) -> bytes:
    """Returns an annotation.

    Args:
        objects: (class name, xmin, ymin, xmax, ymax) of each object, and True behind them if it is difficult.
        size: width and height in pixels, or None for a file without them.
    """
    sides = "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    marked = "".join(
        f"<object><name>{name}</name>{'<difficult>1</difficult>' * bool(difficult)}"
        f"<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object>"
        for name, xmin, ymin, xmax, ymax, *difficult in objects
    )
    return f"<annotation><filename>a.jpg</filename>{sides}{marked}</annotation>".encode()


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
