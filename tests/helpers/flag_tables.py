"""Writes the documentation's page of flags, docs/flags.md, from the verbs' options.

python -m tests.helpers.flag_tables
"""

import dataclasses
from collections.abc import Iterable

from data_prep.flowers import FlowersOptions
from data_prep.image_folder import ImageFolderOptions
from data_prep.imagenet import ImageNetOptions
from data_prep.verify import VerifyOptions
from data_prep.voc import VocOptions
from tests.helpers.documentation import DOCS
from vgg_keras.tasks.demo_options import DemoOptions
from vgg_keras.tasks.features_options import FeaturesOptions
from vgg_keras.tasks.options import (
    DataServiceOptions,
    EvaluateOptions,
    ExportOptions,
    PredictOptions,
    PretrainedOptions,
    ReportOptions,
    ReproduceOptions,
    ServeCheckOptions,
)
from vgg_keras.training.config import TrainConfig
from vgg_keras.utils import help_text
from vgg_keras.utils.options import Options, flag_fields
from vgg_keras.utils.verb_list import summary

FLAGS_PAGE = DOCS / "flags.md"
VERBS = {
    "data_prep.flowers": FlowersOptions,
    "data_prep.imagenet": ImageNetOptions,
    "data_prep.image_folder": ImageFolderOptions,
    "data_prep.voc": VocOptions,
    "data_prep.verify": VerifyOptions,
    "vgg_keras.train": TrainConfig,
    "vgg_keras.pretrained": PretrainedOptions,
    "vgg_keras.evaluate": EvaluateOptions,
    "vgg_keras.predict": PredictOptions,
    "vgg_keras.features": FeaturesOptions,
    "vgg_keras.report": ReportOptions,
    "vgg_keras.reproduce": ReproduceOptions,
    "vgg_keras.export": ExportOptions,
    "vgg_keras.serve_check": ServeCheckOptions,
    "vgg_keras.data_service": DataServiceOptions,
    "vgg_keras.demo": DemoOptions,
}
# What a verb needs unless another flag is given is not marked as required.
_REQUIRED_AT_TIMES = {ReproduceOptions: ("output_dir",)}
_INTRODUCTION = """\
<!-- Written by `python -m tests.helpers.flag_tables` from the options of the verbs. Do not edit it by hand. -->

# Verbs and flags

Each verb is a module that is run with `python -m`. A flag is given as `--name=value`; a flag that is true or false also
as `--name` or `--noname`.

Every verb has these flags too:

| flag | |
|---|---|
| `--flagfile=FILE` | reads flags from a file, which is looked for beside the file that includes it, in the working \
folder, and then among the configurations that come with the package; flags after it change what it says; \
on the command line itself, a flag that takes one path is given once |
| `--help` | lists the verb's flags |
| `--verbosity=0` | brings back the notes of the libraries |
"""
_HEADER = "| flag | default | |\n|---|---|---|\n"


def minimal(options: type[Options]) -> dict[str, str]:
    """Returns arguments that suffice for an options class."""
    required = [field.name for field in flag_fields(options) if field.metadata["required"]]
    return dict.fromkeys([*required, *_REQUIRED_AT_TIMES.get(options, ())], "x")


def flag_row(field: dataclasses.Field) -> str:
    """Returns the row of a flag in the table of its verb."""
    default = help_text.default_text(field)
    shown = default if default in ("", "required") else f"`{default}`"
    return f"| `{help_text.flag_name(field)}` | {shown} | {help_text.describe(field)} |"


def flag_tables(options_class: type[Options]) -> str:
    """Returns a verb's flags: a table below a heading for each group."""
    groups = help_text.grouped(options_class).items()
    return "\n".join(f"### {group.capitalize()}\n\n{table(fields)}" for group, fields in groups)


def table(fields: Iterable[dataclasses.Field]) -> str:
    """Returns the table of some flags as Markdown."""
    return _HEADER + "".join(f"{flag_row(field)}\n" for field in fields)


def section(verb: str) -> str:
    """Returns the section of a verb: its heading, what it does, and its flags."""
    return f"## {verb}\n\n{summary(verb)}\n\n{flag_tables(VERBS[verb])}"


def page() -> str:
    """Returns the page of all verbs and flags as Markdown."""
    return "\n".join([_INTRODUCTION, *map(section, VERBS)])


if __name__ == "__main__":
    FLAGS_PAGE.write_text(page(), encoding="utf-8")
