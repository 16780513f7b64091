"""Describes an exported model for people: net, use, limits, data, errors, flags, versions, licence.

The head of the card is for the Hugging Face Hub (`card_metadata`).
"""

from collections.abc import Mapping
from pathlib import Path, PurePath

from vgg_keras.inference import protocol
from vgg_keras.models import run_record
from vgg_keras.models.architectures import LOCALIZATION, PCR
from vgg_keras.models.preparation import RANDOM_RESIZED, SQUASH
from vgg_keras.serving import card_metadata
from vgg_keras.utils.display import errors_text
from vgg_keras.utils.escaping import markdown, visible
from vgg_keras.utils.words import counted

FILE = "model_card.md"

_FOLDER = Path(__file__).parent
_TEMPLATE, _LOCALIZER_TEMPLATE = (_FOLDER / f"{name}_card_template.md" for name in ("model", "localizer"))
# What the served model is shown of a photo.
METHOD_DESCRIPTIONS = {
    protocol.DENSE: (
        "Dense evaluation (sect. 3.2): the whole photo, whatever its shape, {average} averaged over the map"
    ),
    protocol.MULTI_CROP: "A 5x5 grid of crops, corners included (sect. 3.2)",
    protocol.CENTER_CROP: "The centre crop",
    SQUASH: "The whole photo, squashed to {input_size}x{input_size} pixels whatever its shape",
}
_SCALES = ", at Q = {} (the smallest side in pixels)"
# Number of classes whose names the card lists; all are in assets/label_names.txt.
_MOST_CLASSES = 20
_WINDOWS = "none: it has learned from windows of random size"
_NOT_KNOWN = "unknown: the source was not in the folder of a run"


def text(record: Mapping, run: Path) -> str:
    """Returns the model card as Markdown.

    Args:
        record: content of `export.json`.
        run: folder of the source model, whose record and history of the training go into the card if they exist.

    Raises:
        UserError: the run's record is damaged.
    """
    training = run_record.read_record(run) if (run / run_record.RECORD).exists() else {"flags": {}}
    flags, best = training["flags"], _best_epoch(run)
    data = flags.get("dataset") or flags.get("data_dir")
    localizes = record.get("task") == LOCALIZATION
    derived = {
        "source": markdown(PurePath(record["source"]).name),  # others have no use for its folder
        "trained_on": markdown(f"{data}, {flags.get('train_split')}") if data else _NOT_KNOWN,
        "training_data": _training_data(training) if data else f"The data are {_NOT_KNOWN}.",
        "train_scale": record["train_scale"] or (_WINDOWS if flags.get("crop") == RANDOM_RESIZED else _NOT_KNOWN),
        "training_versions": _listed(training.get("versions", {})),
        "export_versions": _listed(record["versions"]),
        "errors": _errors(best, flags, record["num_classes"], localizes=localizes),
        "looks": METHOD_DESCRIPTIONS[record["method"]].format(**record),
        "scales": "" if record["method"] == SQUASH else _SCALES.format(", ".join(map(str, record["test_scales"]))),
        **(_boxes(record) if localizes else _classes(record)),
        "flags": "\n".join(
            f"    --{name}={visible(str(value))}" for name, value in flags.items() if name != "output_dir"
        )
        or _NOT_KNOWN,
    }
    template = _LOCALIZER_TEMPLATE if localizes else _TEMPLATE
    card = template.read_text(encoding="utf-8").format(**{**record, **derived})
    return f"{card_metadata.front_matter(record, flags, best)}\n{card}"


def _best_epoch(run: Path) -> dict | None:
    """Returns the entry of the epoch whose weights are the best model; None if the history is unknown."""
    history = [entry for entry in run_record.read_history(run) if "validation_top1_error" in entry]
    return run_record.best_entry(history) if history else None


def _training_data(training: Mapping) -> str:
    """Returns a sentence about the photos of the training; their number and classes, if the record has them."""
    flags, found = training["flags"], training.get("data", {})
    counts = [
        f"{found[key]:,} photos of {markdown(split)}"
        for split in (str(flags.get(f"{use}_split")) for use in ("train", "validation"))
        if isinstance(found.get(key := f"the number of photos in {split}"), int)
    ]
    names = found.get("the classes")
    classes = ""
    if isinstance(names, list):
        shown = ", ".join(markdown(str(name)) for name in names[:_MOST_CLASSES])
        classes = f" Classes: {shown}{', ...' if len(names) > _MOST_CLASSES else ''}."
    return f"{markdown(flags.get('dataset') or flags['data_dir'])}{': ' if counts else ''}{', '.join(counts)}.{classes}"


def _classes(record: Mapping) -> dict:
    """Returns what a classifier's card tells besides."""
    return {
        "mirrored": "" if record["flip"] else "no ",
        "calibration": _calibration(record.get("temperature", 1.0), record.get("temperature_fitted_on", "")),
        "num_named": min(record["top"], record["num_classes"]),
    }


def _calibration(temperature: float, fitted_on: str) -> str:
    """Returns how the posteriors are scaled, as the end of a sentence."""
    if temperature == 1:
        return "as the net gives them"
    fitted = f", fitted on {markdown(fitted_on)}" if fitted_on else ""
    return (
        f"scaled by the temperature {temperature:.4g} (arXiv:1706.04599{fitted}), which keeps the order of the classes"
    )


def _boxes(record: Mapping) -> dict:
    """Returns what a localizer's card tells besides."""
    per_class = record["box_regression"] == PCR
    return {
        "regression": "a box for each class" if per_class else "one box, whatever the class",
        "num_boxes": record["num_classes"] if per_class else 1,
        "mirrored": ", averaged with its mirror image" if record["flip"] else "",
    }


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or _NOT_KNOWN


def _errors(best: Mapping | None, flags: Mapping, num_classes: int, *, localizes: bool) -> str:
    if best is None:
        return _NOT_KNOWN
    view = "squashed" if flags.get("validation_resize") == SQUASH else "centre crop"
    if localizes:
        errors = (
            f"Localization error {best['validation_top1_error']:.2f}% (an IoU of at most 0.5 with the object with "
            "the largest area inside the view), the true class known"
        )
    else:
        errors = errors_text(best["validation_top1_error"], best["validation_top5_error"], num_classes).capitalize()
    return (
        f"{errors}: {counted(best['validation_num_images'], 'image')} of "
        f"{markdown(flags.get('validation_split', 'the validation split'))}, {view}, after epoch "
        f"{best['epoch']}. The epoch was chosen on these images."
    )
