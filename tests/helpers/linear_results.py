"""Makes results of linear SVMs on descriptors, as `features --classifier` writes them."""

# As VOC2012's development kit lists them (VOCinit.m).
VOC_OBJECTS = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
VOC_ACTIONS = (
    *("jumping", "phoning", "playinginstrument", "reading", "ridingbike", "ridinghorse", "running", "takingphoto"),
    *("usingcomputer", "walking"),
)


def linear_result(
    nets=("D",), num_classes=102, num_images=(8_230, 914), recall=91.0, std=0.75, per_class=(30, 50), **changed
):
    """Returns the content of a features.json: of Caltech-101 by the paper's protocol unless arguments say otherwise."""
    images = [
        {"data_set": "caltech101", "split": split, "num_images": count, "num_classes": num_classes}
        for split, count in zip(("train", "validation"), num_images, strict=True)
    ]
    of_split = {"c": 1.0, "num_training_images": 3_060, "num_images": 4_000, "mean_class_recall": recall}
    settings = {"layer": "fc7", "power": "linear", "combine": "stack", "flip": True, "seed": 0}
    return {
        "mean_class_recall": recall,
        "mean_class_recall_std": std,
        "top1_error": 10.0,
        "num_training_images": 3_060,
        "num_images": 4_000,
        "splits": [of_split] * 3,
        "nets": list(nets),
        "train_scales": ["256,512"] * len(nets),
        "test_scales": [[256, 384, 512]] * len(nets),
        "images": images,
        "voc_year": 2012,
        "settings": {**settings, "train_per_class": per_class[0], "test_per_class": per_class[1]},
        **changed,
    }


def voc_result(precision=88.5, year=2007, num_images=4_952, nets=("D",), scales=(256, 384, 512, 640, 768), **changed):
    """Returns the content of a features.json of PASCAL VOC by the paper's protocol; of its actions if "described"."""
    num_classes = 10 if "described" in changed else 20
    made = linear_result(nets, num_classes, num_images=(5_011, num_images), recall=None, std=None)
    del made["splits"], made["mean_class_recall_std"]
    settings = {**made["settings"], "combine": "average", "train_per_class": 0, "test_per_class": 0}
    return {
        **made,
        "mean_average_precision": precision,
        "average_precisions": dict.fromkeys(VOC_ACTIONS if "described" in changed else VOC_OBJECTS, precision),
        "voc_year": year,
        "num_images": num_images,
        "test_scales": [list(scales)] * len(nets),
        "settings": settings,
        **changed,
    }
