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
from vgg_keras.tasks.options import (
    EvaluateOptions,
    ExportOptions,
    FeaturesOptions,
    PredictOptions,
    PretrainedOptions,
    ReportOptions,
    ServeCheckOptions,
)
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils import help_text
from vgg_keras.utils.options import flag_fields

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
    default = help_text.default_text(field)
    shown = default if default in ("", "required") else f"`{default}`"
    return f"| `{help_text.flag_name(field)}` | {shown} | {help_text.describe(field)} |"


def main() -> None:
    """Rewrites the tables in the README."""
    shared = {field.name for field in flag_fields(PrepareOptions)}
    sections = {SHARED: flag_fields(PrepareOptions)}
    for verb, options in VERBS.items():
        fields = flag_fields(options)
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
