"""Writes the text of `--help` from a verb's options and the docstring of its module."""

import dataclasses
import os
import re
import shutil
import textwrap
from collections.abc import Iterable, Sequence

from vgg_keras.utils.options import Options, flag_fields

# Order of the groups of flags; others follow in the order in which they first appear.
GROUPS = ("input", "data", "net", "optimization", "transfer", "test protocol", "output", "devices", "run")
_LAST_GROUP = "other"
_EVERY_VERB = (
    (
        "--flagfile=FILE",
        "read flags from a file, in the working folder or among the configs of the package",
    ),
    ("--verbosity=0", "show the log messages of the libraries"),
    ("--help", "show this text"),
)
_NAME_WIDTH, _MIN_WIDTH, _MAX_WIDTH = 26, 60, 110


def grouped(options_class: type[Options]) -> dict[str, list[dataclasses.Field]]:
    """Returns the fields of a verb's options by group, in the order in which they are shown: required ones first."""
    groups: dict[str, list[dataclasses.Field]] = {}
    for field in flag_fields(options_class):
        groups.setdefault(field.metadata["group"] or _LAST_GROUP, []).append(field)
    order = [*(group for group in GROUPS if group in groups), *(group for group in groups if group not in GROUPS)]
    # sorted() keeps the order of the others.
    return {group: sorted(groups[group], key=lambda field: not field.metadata["required"]) for group in order}


def flag_name(field: dataclasses.Field) -> str:
    """Returns a field as it is written on the command line: `--name`, or `NAME...` if it is positional."""
    return f"{field.name.upper()}..." if field.metadata["positional"] else f"--{field.name}"


def default_text(field: dataclasses.Field) -> str:
    """Returns the default of a flag as text: "required", the value, or "" if there is none."""
    if field.metadata["required"]:
        return "required"
    if field.default in ("", (), None):
        return ""
    return str(field.default).lower() if isinstance(field.default, bool) else f"{field.default}"


def describe(field: dataclasses.Field) -> str:
    """Returns the help of a flag with its choices."""
    choices = list(filter(None, field.metadata["choices"]))
    return f"{field.metadata['help']}{'; one of ' + ', '.join(choices) if choices else ''}"


def examples(docstring: str) -> list[str]:
    """Returns the commands in a verb's docstring, each in one line."""
    joined = re.sub(r"\\\n\s*", "", docstring)
    return [line.strip() for line in joined.splitlines() if line.strip().startswith("python -m ")]


def help_text(program: str, docstring: str, options_class: type[Options]) -> str:
    """Returns the text of `--help`: what the verb does, two examples, and its flags by group with their defaults.

    Args:
        program: the command without its flags, such as "python -m vgg_keras.train".
        docstring: docstring of the verb's module, which holds the examples.
        options_class: options of the verb.
    """
    width = max(_MIN_WIDTH, min(shutil.get_terminal_size((_MAX_WIDTH, 24)).columns, _MAX_WIDTH))
    names = [flag_name(field) for field in flag_fields(options_class) if field.metadata["positional"]]
    text = [docstring.partition("\n")[0], "", f"usage: {' '.join([program, '[--flag=value ...]', *names])}", ""]
    shown = examples(docstring)[:2]
    if shown:
        text += ["examples:", *(f"  {example}" for example in shown), ""]
    for group, fields in grouped(options_class).items():
        rows = []
        for field in fields:
            default = default_text(field)
            rows.append((flag_name(field), describe(field) + (f" [{default}]" if default else "")))
        text += [f"{group}:", *_table(rows, width), ""]
    return "\n".join([*text, "every verb:", *_table(_EVERY_VERB, width)])


def _table(rows: Iterable[Sequence[str]], width: int) -> list[str]:
    """Returns lines with names at the left and wrapped texts at the right."""
    lines = []
    for name, text in rows:
        wrapped = textwrap.wrap(text, width - _NAME_WIDTH - 2) or [""]
        if len(name) >= _NAME_WIDTH:
            lines.append(f"  {name}")
            name = ""
        lines.append(f"  {name:<{_NAME_WIDTH}}{wrapped[0]}")
        lines += [" " * (_NAME_WIDTH + 2) + line for line in wrapped[1:]]
    return lines


def program_name(module: str, argv0: str) -> str:
    """Returns the command that started a verb: the name of a console script, or `python -m MODULE`.

    Args:
        module: dotted name of the verb's module, which may be the `__main__` of a package.
        argv0: first element of `sys.argv`.
    """
    script = os.path.basename(argv0)
    return script if script.startswith("vgg-") else f"python -m {module.removesuffix('.__main__')}"
