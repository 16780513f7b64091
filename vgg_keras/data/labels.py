"""Makes the two files that name the classes.

They are kept beside the records of a data set, in a run's folder and in an exported model.
"""

import json
from collections.abc import Sequence

LABEL_NAMES = "label_names.txt"
CLASS_INDICES = "class_indices.json"


def label_files(class_names: Sequence[str], label_names: Sequence[str]) -> dict[str, str]:
    """Returns the texts of the two files by file name: the label names, and the class indices as JSON.

    Args:
        class_names: unique names in the order of the class indices.
        label_names: human-readable names in the same order, written one to a line.
    """
    indices = {name: index for index, name in enumerate(class_names)}
    return {LABEL_NAMES: "\n".join(label_names) + "\n", CLASS_INDICES: json.dumps(indices, indent=2) + "\n"}
