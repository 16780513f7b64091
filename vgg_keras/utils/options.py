"""Describes the options of a verb as a dataclass, and makes it from a command line with flag files or in Python.

A verb's options are a frozen dataclass that derives from `Options` and whose fields are made by `option`. Values are
checked when an instance is made, so that flags and Python arguments are refused with the same messages.
"""

import dataclasses
import json
import math
import numbers
import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from absl import flags

from vgg_keras.utils import paths
from vgg_keras.utils.arithmetic import parse_number
from vgg_keras.utils.errors import UserError, did_you_mean
from vgg_keras.utils.flagfiles import expand_flagfiles, without_flagfiles
from vgg_keras.utils.folder_layout import FolderLayout

# An instance of options holds a path as a text.
PathLike = paths.PathLike
# What a flag of output names.
FILE, FOLDER, NEW_FOLDER = "file", "folder", "new folder"


def option(
    default: Any,
    help: str,
    *,
    group: str = "",
    choices: Sequence[str] | None = None,
    aliases: dict[str, str] | None = None,
    lower: float | None = None,
    upper: float | None = None,
    required: bool = False,
    positional: bool = False,
    path: bool = False,
    output: str = "",
    layout: FolderLayout | None = None,
) -> Any:
    """Returns a dataclass field that is also a flag.

    Args:
        default: default value; its type (bool, int, float, str) is the flag's type. A tuple makes a flag of strings
            that may be given several times; None makes a bool flag without a default.
        help: one line for `--help` and the documentation's page of flags.
        group: heading under which `--help` and the page of flags list it; "" for the last group, "other".
        choices: allowed values of a string.
        aliases: other spellings of the choices.
        lower: smallest allowed number.
        upper: largest allowed number.
        required: whether the user must give the flag.
        positional: whether the field is no flag, but the tuple of the command line's arguments without a name.
        path: whether the strings are paths of this machine, in which "~" stands for the home folder.
        output: FILE or FOLDER if the verb writes the file, or into the folder, that the flag names; NEW_FOLDER if it
            makes the folder: `check_outputs` then checks the path before the work begins.
        layout: what the verb writes into the folder, or reads from an input beside what the flag itself names.
    """
    metadata = {
        "help": help,
        "group": group,
        "choices": tuple(choices or ()),
        "aliases": aliases or {},
        "lower": -math.inf if lower is None else lower,
        "upper": math.inf if upper is None else upper,
        "required": required,
        "positional": positional,
        "path": path or bool(output),
        "output": output,
        "layout": layout,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """Options that every verb has, and the checks of all of them.

    Attributes:
        verbose: whether messages, tables and progress bars are shown. No flag: a verb always shows them, a function of
            the Python API only if asked to.
        flagfiles: the flag files from which they were read.
        takes_cluster: whether the verb runs on all workers of a cluster together.

    Raises:
        UserError: a value is missing, of the wrong type, out of its range, or not one of the choices.
    """

    verbose: bool = False
    flagfiles: tuple[Path, ...] = dataclasses.field(default=(), init=False, repr=False, compare=False)
    takes_cluster: ClassVar[bool] = False

    def flags(self) -> dict[str, Any]:
        """Returns the values of all flags by name."""
        return {field.name: getattr(self, field.name) for field in flag_fields(type(self))}

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Returns the defaults of all flags by name."""
        return {field.name: field.default for field in flag_fields(cls)}

    def changed(self, names: Iterable[str]) -> list[str]:
        """Returns those of some flags that have another value than their default, in the order that is given."""
        defaults = self.defaults()
        return [name for name in names if getattr(self, name) != defaults[name]]

    def check_outputs(self) -> None:
        """Checks that everything can be written where the flags say; for the begin of a verb's work.

        Raises:
            UserError: a path is no local one, a file stands where a folder should be, a folder cannot be written to, a
                name is too long, or a file is also an input or another output.
        """
        for name, file in self.output_files():
            paths.output_file(name, file)
        for kind, check in {FOLDER: paths.output_folder, NEW_FOLDER: paths.new_folder}.items():
            for name, path in self.named_paths(kind):
                check(name, path)
        inputs = self.input_files()
        for name, path in self.named_paths(FOLDER):
            if layout := self._layout(name):
                layout.require_writable(Path(path))
                # A flag file counts for files of its own name alone: that of a run resumes the run.
                paths.require_separate([(name, Path(path) / file) for file in layout.files], inputs)
                paths.require_outside([(name, Path(path) / folder) for folder in layout.folders], inputs)
        if files := self.output_files():
            paths.require_separate(files, [*inputs, *self.flagfiles], self.named_paths(FOLDER))

    def output_files(self) -> list[tuple[str, PathLike]]:
        """Returns the files that are written under names that flags give, each with the name of its flag."""
        return list(self.named_paths(FILE))

    def input_files(self) -> list[Path]:
        """Returns the files and folders that flags name as inputs, and the files that are read with them."""
        found = []
        for name, path in self.named_paths(""):
            layout = self._layout(name)
            found += [Path(path), *(layout.existing(Path(path)) if layout else ())]
        return found

    def _layout(self, name: str) -> FolderLayout | None:
        return type(self).__dataclass_fields__[name].metadata["layout"]

    def named_paths(self, kind: str) -> list[tuple[str, str]]:
        """Returns the paths that flags of a kind name, each with the name of its flag.

        Args:
            kind: FILE, FOLDER or NEW_FOLDER, which are written, or "" for what is read.
        """
        fields = [field for field in flag_fields(type(self)) if field.metadata["path"]]
        given = [(field.name, getattr(self, field.name)) for field in fields if field.metadata["output"] == kind]
        several = [(name, value if isinstance(value, tuple) else (value,)) for name, value in given]
        return [(name, path) for name, values in several for path in values if path]

    def __post_init__(self) -> None:
        if not isinstance(self.verbose, bool):
            raise UserError(f"verbose={self.verbose!r} must be True or False")
        for field in flag_fields(type(self)):
            object.__setattr__(self, field.name, _checked(field, getattr(self, field.name)))


OptionsT = TypeVar("OptionsT", bound=Options)


def flag_fields(options_class: type[Options]) -> list[dataclasses.Field]:
    """Returns the fields of an options class that `option` made, in their order."""
    return [field for field in dataclasses.fields(options_class) if "help" in field.metadata]


def _checked(field: dataclasses.Field, value: Any) -> Any:
    """Returns an option's value in its own type; raises a UserError if it is not allowed."""
    if isinstance(field.default, tuple):
        values = [value] if isinstance(value, (str, os.PathLike)) else value
        if not isinstance(values, Iterable):
            raise UserError(f"--{field.name}={value!r} must be a text or a list of texts")
        value = tuple(_checked_text(field, one) for one in values)
    elif isinstance(field.default, bool) or field.default is None:
        if not isinstance(value, bool) and not (value is None and field.default is None):
            raise UserError(f"--{field.name}={value!r} must be True or False")
    elif isinstance(field.default, (int, float)):
        value = _checked_number(field, value)
    else:
        value = _checked_text(field, value)
    if field.metadata["required"] and not value:
        raise UserError(f"--{field.name} is missing: {field.metadata['help']}")
    return value


def _checked_number(field: dataclasses.Field, value: Any) -> int | float:
    whole = isinstance(field.default, int)
    if isinstance(value, bool) or not isinstance(value, numbers.Integral if whole else numbers.Real):
        raise UserError(f"--{field.name}={value!r} must be a {'whole number' if whole else 'number'}")
    convert: Any = int if whole else float
    try:
        number = convert(value)
    except OverflowError:
        number = math.inf
    lower, upper = field.metadata["lower"], field.metadata["upper"]
    if not math.isfinite(number):
        raise UserError(f"--{field.name}={number} must be a finite number")
    if not lower <= number <= upper:
        bounds = [f"at least {lower:g}"] * math.isfinite(lower) + [f"at most {upper:g}"] * math.isfinite(upper)
        raise UserError(f"--{field.name}={number} must be {' and '.join(bounds)}")
    return number


def _checked_text(field: dataclasses.Field, value: Any) -> str:
    # In Python scales are given as numbers, and further arguments as dictionaries.
    if isinstance(value, dict):
        value = json.dumps(value)
    elif isinstance(value, numbers.Integral) and not isinstance(value, bool):
        value = str(value)
    elif isinstance(value, (list, tuple)) and all(isinstance(one, numbers.Integral) for one in value):
        value = ",".join(map(str, value))
    if not isinstance(value, (str, os.PathLike)):
        raise UserError(f"--{field.name}={value!r} must be a text")
    text = os.fspath(value)
    if field.metadata["path"]:
        text = paths.expand(f"--{field.name}={text}", text)
    choices, aliases = field.metadata["choices"], field.metadata["aliases"]
    text = aliases.get(text.lower(), text)
    if choices and text not in choices:
        hint = did_you_mean(text, [*choices, *aliases])
        raise UserError(f"--{field.name}={text} must be one of {', '.join(filter(None, choices))}{hint}")
    return text


def parse(
    argv: Sequence[str], options_class: type[OptionsT], *, verbose: bool = False, flagfiles: Iterable[Path] = ()
) -> OptionsT:
    """Makes options from a command line, with its flag files.

    Args:
        argv: the arguments, without the program's name.
        options_class: a subclass of `Options`.
        verbose: value of `Options.verbose`.
        flagfiles: the flag files that were replaced by their flags already.

    Raises:
        UserError: a flag is unknown, missing or has an illegal value, a flag file is missing, or an argument without a
            name is not expected.
    """
    fields = flag_fields(options_class)
    flag_values = _define_flags(fields)
    opened = list(flagfiles)
    try:
        rest = flag_values(["verb", *expand_flagfiles(argv, opened, repeatable_flags(options_class))])[1:]
    except flags.UnrecognizedFlagError as error:
        names = [field.name for field in fields if not field.metadata["positional"]]
        hint = did_you_mean(error.flagname.removeprefix("no"), names, "--")
        hint = hint or "; --help lists them all"
        raise UserError(f"--{error.flagname} is not a flag of this verb{hint}") from None
    except flags.Error as error:
        raise UserError(str(error)) from None
    positional = [field.name for field in fields if field.metadata["positional"]]
    present = [field for field in fields if field.name not in positional and flag_values[field.name].present]
    given = {field.name: _from_text(field, flag_values[field.name].value) for field in present}
    if rest and not positional:
        is_config = rest[0].endswith(".cfg")
        hint = f"did you mean --flagfile={rest[0]}?" if is_config else "every option is a flag, --name=value"
        raise UserError(f"unexpected argument: {shlex.join(rest)}; {hint}")
    given |= {name: tuple(rest) for name in positional}
    options = options_class(**given, verbose=verbose)
    object.__setattr__(options, "flagfiles", tuple(opened))
    return options


def repeatable_flags(options_class: type[Options]) -> frozenset[str]:
    """Returns the names of the flags that take several values by being repeated."""
    return frozenset(field.name for field in flag_fields(options_class) if isinstance(field.default, tuple))


def require_one_path(argv: Sequence[str], options_class: type[Options]) -> None:
    """Checks that a command line gives no second path to a flag that takes one, and of which the first would be lost.

    Two paths look like two inputs, as other verbs take them. Of other flags the last value counts, as in most programs,
    so that scripts may add values of their own. A flag file may hold the flag too: flags after it change what it says.

    Args:
        argv: the arguments, without the program's name; `parse` accepts them.
        options_class: a subclass of `Options`.

    Raises:
        UserError: a flag that takes one path has two that differ.
    """
    fields = [field for field in flag_fields(options_class) if not field.metadata["positional"]]
    flag_values = _define_flags(fields)
    flag_values.set_gnu_getopt(True)
    for field in fields:
        if not isinstance(field.default, tuple) and field.metadata["path"]:
            _refuse_second_value(flag_values[field.name])
    flag_values(["verb", *without_flagfiles(argv)], known_only=True)


def _refuse_second_value(flag: flags.Flag) -> None:
    parse_value = flag.parse

    def parse_once(argument: Any) -> None:
        given, before = flag.present, flag.value
        parse_value(argument)
        if given and flag.value != before:
            raise UserError(
                f"--{flag.name} is given twice, as {before} and as {flag.value}; it takes one: leave one out"
            )

    flag.parse = parse_once  # type: ignore[method-assign]


def _define_flags(fields: Iterable[dataclasses.Field]) -> flags.FlagValues:
    """Defines an absl flag for each field; numbers are read as text, since `_checked` explains what is wrong better."""
    flag_values = flags.FlagValues()
    for field in fields:
        if field.metadata["positional"]:
            continue
        define: Any = flags.DEFINE_string
        if isinstance(field.default, bool) or field.default is None:
            define = flags.DEFINE_bool
        elif isinstance(field.default, tuple):
            define = flags.DEFINE_multi_string
        define(field.name, None, field.metadata["help"], flag_values=flag_values)
    return flag_values


def _from_text(field: dataclasses.Field, value: Any) -> Any:
    """Returns a number for the text of a numeric flag, or the text itself if it is none, which `_checked` refuses."""
    if not isinstance(value, str) or isinstance(field.default, (str, bool)):
        return value
    number = parse_number(value)
    return value if number is None else number
