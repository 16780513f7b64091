"""Names what the folder of an evaluation holds. Needs neither TensorFlow nor NumPy."""

from vgg_keras.evaluation.linear_records import FILE as DESCRIPTOR_RESULT
from vgg_keras.evaluation.tables import RECORD, REPORT
from vgg_keras.utils.folder_layout import FolderLayout

PAGE = "report.html"
PREDICTIONS = "predictions.csv"
# Which images each result got wrong.
MISTAKES = "mistakes.npz"
# The boxes that localizers predict, in the place of PREDICTIONS.
BOXES = "boxes.csv"
# The difference to what --compare named last.
COMPARISON = "comparison.md"
# The evaluations of the models that --compare named, each in a folder called by the begin of the model's SHA-256.
COMPARED_MODEL = "compared"
# What an unfinished evaluation holds: its settings, and the posteriors at each scale.
PARTIAL = "partial"
SETTINGS = f"{PARTIAL}/settings.json"
PICTURES = "pictures"
ERRORS_BY_CLASS = f"{PICTURES}/errors_by_class.png"
CONFUSION_MATRIX = f"{PICTURES}/confusion_matrix.png"
RELIABILITY = f"{PICTURES}/reliability.png"
MISTAKEN_PHOTOS = f"{PICTURES}/mistakes.png"
SCORE_MAPS = f"{PICTURES}/class_score_maps.png"
BOXED_PHOTOS = f"{PICTURES}/boxes.png"

WRITTEN = FolderLayout(
    (
        *(RECORD, REPORT, PAGE, PREDICTIONS, BOXES, MISTAKES, COMPARISON),
        *(ERRORS_BY_CLASS, CONFUSION_MATRIX, RELIABILITY, MISTAKEN_PHOTOS, SCORE_MAPS, BOXED_PHOTOS),
    ),
    (PICTURES, PARTIAL, COMPARED_MODEL),
)
# What is read of a finished evaluation, and of those that lie at any depth below a folder.
COMPARED = FolderLayout((RECORD, MISTAKES))
COLLECTED = FolderLayout((f"**/{RECORD}", f"**/{MISTAKES}", f"**/{DESCRIPTOR_RESULT}"))
