"""Writes data sets in the layout of TFDS's own "voc", by TFDS."""

import numpy as np
import tensorflow_datasets as tfds

from vgg_keras.data import datasets

CLASSES = ["cat", "dog", "pig"]
# ymin, xmin, ymax, xmax; multiples of a power of two, so that float32 holds them.
LEFT, RIGHT, ALL = (0.25, 0.0, 0.75, 0.5), (0.25, 0.5, 0.75, 1.0), (0.0, 0.0, 1.0, 1.0)


def write_like_tfds_voc(folder, images):
    """Writes the split "train" with TFDS and opens it.

    Args:
        folder: the root folder of TFDS's data sets.
        images: (pixels, objects) of each image; an object is (class index, box, whether it is difficult).
    """
    label = tfds.features.ClassLabel(names=CLASSES)
    features = {
        "image": tfds.features.Image(),
        "image/filename": tfds.features.Text(),
        "objects": tfds.features.Sequence(
            {
                "label": label,
                "bbox": tfds.features.BBoxFeature(),
                "pose": tfds.features.ClassLabel(names=["Frontal", "Left"]),
                "is_truncated": np.bool_,
                "is_difficult": np.bool_,
            }
        ),
        "labels": tfds.features.Sequence(label),
        "labels_no_difficult": tfds.features.Sequence(label),
    }
    records = [
        (
            number,
            {
                "image": pixels,
                "image/filename": f"{number}.jpg",
                "objects": [
                    {
                        "label": index,
                        "bbox": tfds.features.BBox(*box),
                        "pose": 0,
                        "is_truncated": False,
                        "is_difficult": difficult,
                    }
                    for index, box, difficult in objects
                ],
                "labels": sorted({index for index, _, _ in objects}),
                "labels_no_difficult": sorted({index for index, _, difficult in objects if not difficult}),
            },
        )
        for number, (pixels, objects) in enumerate(images)
    ]
    tfds.dataset_builders.store_as_tfds_dataset(
        name="voc",
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={"train": records},
        data_dir=folder,
    )
    return datasets.open_data(folder, multi_label=True)
