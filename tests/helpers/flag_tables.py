"""Writes the README's tables of flags from the verbs' options.

python -m tests.helpers.flag_tables
"""

import dataclasses
import re

from data_prep.builder import PrepareOptions
from data_prep.flowers import FlowersOptions
from data_prep.image_folder import ImageFolderOptions
from data_prep.imagenet import ImageNetOptions
from data_prep.verify import VerifyOptions
from tests.helpers.paths import ROOT
from vgg_keras.evaluate import EvaluateOptions
from vgg_keras.export import ExportOptions
from vgg_keras.features import FeaturesOptions
from vgg_keras.predict import PredictOptions
from vgg_keras.pretrained import PretrainedOptions
from vgg_keras.report import ReportOptions
from vgg_keras.serve_check import ServeCheckOptions
from vgg_keras.training.config import TrainConfig

README = ROOT / "README.md"
VERBS = {
    "data_prep.flowers": FlowersOptions,
    "data_prep.imagenet": ImageNetOptions,
    "data_prep.image_folder": ImageFolderOptions,
    "data_prep.verify": VerifyOptions,
    "vgg_keras.train": TrainConfig,
    "vgg_keras.pretrained": PretrainedOptions,
    "vgg_keras.evaluate": EvaluateOptions,
    "vgg_keras.predict": PredictOptions,
    "vgg_keras.features": FeaturesOptions,
    "vgg_keras.report": ReportOptions,
    "vgg_keras.export": ExportOptions,
    "vgg_keras.serve_check": ServeCheckOptions,
}
SHARED = "all verbs of `data_prep` that write"
_HEADER = "| flag | default | |\n|---|---|---|\n"


def flag_row(field: dataclasses.Field) -> str:
    """Returns the row of a flag in the README's table."""
    default = (
        "required" if field.metadata["required"] else f"`{field.default}`" if field.default not in ("", ()) else ""
    )
    choices = field.metadata["choices"]
    text = f"{field.metadata['help']}{'; one of ' + ', '.join(choices) if choices else ''}"
    name = f"{field.name.upper()}..." if field.metadata["positional"] else f"--{field.name}"
    return f"| `{name}` | {default} | {text} |"


def main() -> None:
    """Rewrites the tables in the README."""
    shared = {field.name for field in dataclasses.fields(PrepareOptions)}
    sections = {SHARED: dataclasses.fields(PrepareOptions)}
    for verb, options in VERBS.items():
        fields = dataclasses.fields(options)
        if issubclass(options, PrepareOptions):
            fields = [field for field in fields if field.name not in shared]
        sections[f"`python -m {verb}`"] = fields
    text = README.read_text(encoding="utf-8")
    for title, fields in sections.items():
        table = _HEADER + "".join(flag_row(field) + "\n" for field in fields)
        pattern = rf"(### {re.escape(title)}\n\n)(\|.*\n)+"
        text, count = re.subn(pattern, lambda match, table=table: match[1] + table, text)
        assert count == 1, title
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
