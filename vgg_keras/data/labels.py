"""Makes the files that name the classes.

They are kept beside the records of a data set, in a run's folder and in an exported model. The package reads
`label_names.txt` and `class_indices.json`; `class_names.json` tells other programs the same as the latter, by index.
"""

import json
from collections.abc import Sequence

from vgg_keras.utils.escaping import visible

LABEL_NAMES = "label_names.txt"
CLASS_INDICES = "class_indices.json"
CLASS_NAMES = "class_names.json"


def label_lines(label_names: Sequence[str]) -> str:
    """Returns the text of the file of label names: each in one line, whatever characters it holds."""
    return "".join(f"{visible(name)}\n" for name in label_names)


def label_files(class_names: Sequence[str], label_names: Sequence[str]) -> dict[str, str]:
    """Returns the texts of the files by file name.

    They are the label names, {class name: index} as JSON, and {index: class name} as JSON, whose keys are texts: "0".

    Args:
        class_names: unique names in the order of the class indices.
        label_names: human-readable names in the same order, written one to a line.
    """
    indices = {name: index for index, name in enumerate(class_names)}
    names = {str(index): name for index, name in enumerate(class_names)}
    return {
        LABEL_NAMES: label_lines(label_names),
        CLASS_INDICES: json.dumps(indices, indent=2) + "\n",
        CLASS_NAMES: json.dumps(names, indent=2) + "\n",
    }
