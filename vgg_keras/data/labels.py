"""Makes the two files that name the classes.

They are kept beside the records of a data set, in a run's folder and in an exported model.
"""

import json
from collections.abc import Sequence

from vgg_keras.utils.escaping import visible

LABEL_NAMES = "label_names.txt"
CLASS_INDICES = "class_indices.json"


def label_lines(label_names: Sequence[str]) -> str:
    """Returns the text of the file of label names: each in one line, whatever characters it holds."""
    return "".join(f"{visible(name)}\n" for name in label_names)


def label_files(class_names: Sequence[str], label_names: Sequence[str]) -> dict[str, str]:
    """Returns the texts of the two files by file name: the label names, and the class indices as JSON.

    Args:
        class_names: unique names in the order of the class indices.
        label_names: human-readable names in the same order, written one to a line.
    """
    indices = {name: index for index, name in enumerate(class_names)}
    return {LABEL_NAMES: label_lines(label_names), CLASS_INDICES: json.dumps(indices, indent=2) + "\n"}
