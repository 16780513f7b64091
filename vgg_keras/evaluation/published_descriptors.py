"""Lists what the paper reaches with descriptors on other data sets (arXiv:1409.1556, appendix B, Tables 11 and 12)."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from vgg_keras.evaluation.linear_records import IMAGE, IMAGE_AND_BOX
from vgg_keras.inference.protocol import AVERAGE, LINEAR, STACK
from vgg_keras.utils.words import counted

VOC_2007, VOC_2012, CALTECH_101, CALTECH_256 = "VOC-2007", "VOC-2012", "Caltech-101", "Caltech-256"
ACTIONS = "VOC-2012 actions"
MEASURES = {VOC_2007: "mAP", VOC_2012: "mAP", ACTIONS: "mAP"}
MEAN_CLASS_RECALL = "mean class recall"


@dataclasses.dataclass(frozen=True)
class DescriptorKey:
    """What a row of Tables 11 and 12 is of.

    Attributes:
        data_set: name of the data set.
        nets: names of the nets whose descriptors are stacked, sorted.
        described: IMAGE, or IMAGE_AND_BOX where the descriptor of a person's box is stacked with that of the image.
    """

    data_set: str
    nets: tuple[str, ...]
    described: str = IMAGE


@dataclasses.dataclass(frozen=True)
class PublishedDescriptorResult:
    """A figure of Table 11 or 12.

    Attributes:
        table: number of the table.
        key: what the figure is of.
        value: mean average precision (VOC) or mean class recall (Caltech) in percent.
        spread: what the paper gives after ±, over three random splits; None where there are none.
    """

    table: int
    key: DescriptorKey
    value: float
    spread: float | None = None

    @property
    def measure(self) -> str:
        """Name of the measure."""
        return MEASURES.get(self.key.data_set, MEAN_CLASS_RECALL)


_D, _E, _D_AND_E = ("D",), ("E",), ("D", "E")
_TABLE_11: dict[str, dict[tuple[str, ...], tuple[float, ...]]] = {
    VOC_2007: {_D: (89.3,), _E: (89.3,), _D_AND_E: (89.7,)},
    VOC_2012: {_D: (89.0,), _E: (89.0,), _D_AND_E: (89.3,)},
    CALTECH_101: {_D: (91.8, 1.0), _E: (92.3, 0.5), _D_AND_E: (92.7, 0.5)},
    CALTECH_256: {_D: (85.0, 0.2), _E: (85.1, 0.3), _D_AND_E: (86.2, 0.3)},
}
PUBLISHED: tuple[PublishedDescriptorResult, ...] = (
    *(
        PublishedDescriptorResult(11, DescriptorKey(data_set, nets), *figures)
        for data_set, by_nets in _TABLE_11.items()
        for nets, figures in by_nets.items()
    ),
    PublishedDescriptorResult(12, DescriptorKey(ACTIONS, _D_AND_E, IMAGE), 79.2),
    PublishedDescriptorResult(12, DescriptorKey(ACTIONS, _D_AND_E, IMAGE_AND_BOX), 84.0),
)


@dataclasses.dataclass(frozen=True)
class PaperProtocol:
    """How the paper computes and tests descriptors on a data set (appendix B).

    Attributes:
        test_scales: test scales Q in pixels; none: the paper does not say.
        combine: how the descriptors of the scales are combined, AVERAGE or STACK.
        splits: number of random splits; 0: the data set's own.
        train_per_class: training images of each class in a random split.
        test_per_class: largest number of test images of each class; 0: all others.
        num_images: number of test images; 0: not known, or a matter of the random splits.
    """

    test_scales: tuple[int, ...]
    combine: str
    splits: int = 0
    train_per_class: int = 0
    test_per_class: int = 0
    num_images: int = 0


_VOC_SCALES = (256, 384, 512, 640, 768)
PROTOCOLS = {
    VOC_2007: PaperProtocol(_VOC_SCALES, AVERAGE, num_images=4_952),
    # Of 2012 only the validation images have public labels, so that no number is asked for.
    VOC_2012: PaperProtocol(_VOC_SCALES, AVERAGE),
    CALTECH_101: PaperProtocol((256, 384, 512), STACK, 3, 30, 50),
    CALTECH_256: PaperProtocol((256, 384, 512), STACK, 3, 60),
    ACTIONS: PaperProtocol((), AVERAGE),
}
# The data sets by their number of classes and images: with the class of backgrounds, as the paper counts them too.
_CALTECH = {(102, 9_144): CALTECH_101, (257, 30_607): CALTECH_256}
_OBJECTS = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep "
    "sofa train tvmonitor"
)
_ACTIONS = "jumping phoning playinginstrument reading ridingbike ridinghorse running takingphoto usingcomputer walking"
# The same by the classes, the year, and whether the images are of persons and their actions.
_VOC = {
    (frozenset(_OBJECTS.split()), 2007, False): VOC_2007,
    (frozenset(_OBJECTS.split()), 2012, False): VOC_2012,
    (frozenset(_ACTIONS.split()), 2012, True): ACTIONS,
}


def find_data_set(record: Mapping[str, Any]) -> str:
    """Returns the name of the paper's data set that a result is of; "" if it is of another one.

    Args:
        record: the result, as `linear_records.read` returns it.
    """
    if record.get("mean_average_precision") is None:
        classes = record["images"][0]["num_classes"]
        return _CALTECH.get((classes, sum(images["num_images"] for images in record["images"])), "")
    by_class = record.get("average_precisions")
    names = frozenset(by_class if isinstance(by_class, Mapping) else ())
    return _VOC.get((names, record.get("voc_year") or 0, "described" in record), "")


def differences(record: Mapping[str, Any], papers: PaperProtocol) -> list[str]:
    """Returns in words in what a result differs from the paper's way (appendix B).

    Args:
        record: the result, as `linear_records.read` returns it.
        papers: the paper's way on its data set.
    """
    settings, split_count = record["settings"], len(record.get("splits", []))
    scales = {tuple(sorted(of_net)) for of_net in record["test_scales"]}
    per_class = (settings["train_per_class"], settings["test_per_class"])
    several = len(papers.test_scales) > 1
    found = {
        f"layer {settings['layer']}": settings["layer"] != "fc7",
        f"power {settings['power']}": settings["power"] != LINEAR,
        "no mirror": not settings["flip"],
        "other Q": several and scales != {papers.test_scales},
        f"scales joined by {settings['combine']}": several and settings["combine"] != papers.combine,
        counted(split_count, "random split"): split_count != papers.splits,
        f"{per_class[0]} training and {per_class[1] or 'all other'} test images of a class": bool(papers.splits)
        and per_class != (papers.train_per_class, papers.test_per_class),
        "other test images": papers.num_images not in (0, record["num_images"]),
    }
    return [words for words, differs in found.items() if differs]


def find_key(record: Mapping[str, Any]) -> DescriptorKey | None:
    """Returns the row of Table 11 or 12 that a result is of, or None if the paper has no such data set or nets.

    Args:
        record: the result, as `linear_records.read` returns it.
    """
    key = DescriptorKey(find_data_set(record), tuple(sorted(record["nets"])), record.get("described", IMAGE))
    return key if any(row.key == key for row in PUBLISHED) else None
