"""Provides what all verbs share: flags as dataclasses, flag files found from any folder, errors without tracebacks.

A verb declares a frozen dataclass whose fields are made by `option`, defines `main(options)`, and ends with
`cli.run(main, Options)`. Only verbs read flags; the modules that they call take plain arguments.
"""

import dataclasses
import errno
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tqdm
from absl import app, flags, logging
from rich.console import Console
from rich.table import Table

_PACKAGE = Path(__file__).resolve().parent.parent
# Folders of the shipped flag files: inside an installed package, or beside it in a checkout.
_SHIPPED_CONFIGS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")
# Width in characters of a table that is written to a file or a pipe.
_WIDTH_WITHOUT_TERMINAL = 200


class UserError(Exception):
    """Error that the user can correct; its message names the file or value, what is wrong, and what to do."""


def option(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] | None = None,
    lower: float | None = None,
    upper: float | None = None,
    required: bool = False,
    positional: bool = False,
) -> Any:
    """Returns a dataclass field that is also a flag.

    Args:
        default: default value; its type (bool, int, float, str) is the flag's type. A tuple makes a flag of strings
            that may be given several times; None makes a bool flag without a default.
        help: one line for `--help` and the README's table of flags.
        choices: allowed values of a string.
        lower: smallest allowed number.
        upper: largest allowed number.
        required: whether the user must give the flag.
        positional: whether the field is no flag, but the tuple of the command line's arguments without a name.
    """
    metadata = {"help": help, "choices": choices, "lower": lower, "upper": upper, "required": required}
    metadata["positional"] = positional
    return dataclasses.field(default=default, metadata=metadata)


def define_flags(options_class: type, flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines one absl flag for each field of a dataclass made of `option`s, except positional ones."""
    for field in dataclasses.fields(options_class):
        meta = field.metadata
        if meta["positional"]:
            continue
        # absl reports a required flag as missing only if its default is None.
        default = None if meta["required"] else field.default
        common = {"name": field.name, "default": default, "help": meta["help"], "flag_values": flag_values}
        if isinstance(field.default, bool) or field.default is None:
            flags.DEFINE_bool(**common)
        elif isinstance(field.default, tuple):
            flags.DEFINE_multi_string(**common)
        elif isinstance(field.default, int):
            flags.DEFINE_integer(**common, lower_bound=meta["lower"], upper_bound=meta["upper"])
        elif isinstance(field.default, float):
            flags.DEFINE_float(**common, lower_bound=meta["lower"], upper_bound=meta["upper"])
        elif meta["choices"]:
            flags.DEFINE_enum(**common, enum_values=meta["choices"])
        else:
            flags.DEFINE_string(**common)
        if meta["required"]:
            flags.mark_flag_as_required(field.name, flag_values=flag_values)


def parse(argv: Sequence[str], options_class: type) -> Any:
    """Parses a command line, with its flag files, into a frozen dataclass; for tests and scripts.

    Args:
        argv: the arguments, without the program's name.
        options_class: a dataclass whose fields are made by `option`.

    Returns:
        An instance of `options_class`.

    Raises:
        UserError: a flag file is missing, or an argument without a name is not expected.
        absl.flags.Error: a flag is unknown or missing, or has an illegal value.
    """
    flag_values = flags.FlagValues()
    define_flags(options_class, flag_values)
    rest = flag_values(["verb", *expand_flagfiles(argv)])[1:]
    return _from_flags(options_class, flag_values, rest)


def _from_flags(options_class: type, flag_values: flags.FlagValues, rest: Sequence[str]) -> Any:
    fields = dataclasses.fields(options_class)
    values = {field.name: flag_values[field.name].value for field in fields if not field.metadata["positional"]}
    positional = [field.name for field in fields if field.metadata["positional"]]
    if rest and not positional:
        raise UserError(f"unexpected arguments: {' '.join(rest)}; every option is a flag, --name=value")
    values |= {name: tuple(rest) for name in positional}
    return options_class(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def find_flagfile(name: str, including_folder: Path | None = None) -> Path:
    """Finds a flag file: beside the file that includes it, in the working folder, or among the shipped `configs/`.

    absl alone searches the working folder only: a config that includes another would work from one folder only.

    Args:
        name: path of the flag file, relative to one of these folders, or absolute.
        including_folder: folder of the flag file that includes it, if one does.

    Raises:
        UserError: none of the folders has the file.
    """
    path = Path(name).expanduser()
    shipped = Path(*path.parts[1:]) if path.parts[:1] == ("configs",) else path
    candidates = [including_folder / path] if including_folder else []
    candidates += [path, *(folder / shipped for folder in _SHIPPED_CONFIGS)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise UserError(f"flag file {name} not found; looked for {', '.join(map(str, candidates))}")


def expand_flagfiles(
    argv: Sequence[str], including_folder: Path | None = None, _open_files: tuple[Path, ...] = ()
) -> list[str]:
    """Replaces each `--flagfile=X` by the flags in X, at the same position, so that later flags override earlier ones.

    Args:
        argv: the arguments, without the program's name.
        including_folder: folder of the flag file that the arguments come from, if they come from one.

    Raises:
        UserError: a flag file is missing, or includes itself.
    """
    expanded: list[str] = []
    arguments = iter(argv)
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name not in ("--flagfile", "-flagfile"):
            expanded.append(argument)
            continue
        path = find_flagfile(value if equals else next(arguments, ""), including_folder).resolve()
        if path in _open_files:
            raise UserError(f"flag file {path} includes itself")
        # comments=True drops the text after a '#'; quotes keep values with spaces together.
        lines = shlex.split(path.read_text(encoding="utf-8"), comments=True)
        expanded += expand_flagfiles(lines, path.parent, (*_open_files, path))
    return expanded


def reason(error: Exception) -> str:
    """Returns the first line of a library's error message, without TensorFlow's names of graph nodes and ops."""
    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    return re.sub(r"\{\{.*?\}\} ?| ?\[Op:\w+\].*", "", first_line)


def explain(error: Exception) -> str | None:
    """Returns the message for an error that the user can correct, or None for any other error, which is a bug."""
    if isinstance(error, UserError):
        return str(error)
    no_space = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    # TensorFlow's file writers raise a class of their own, with the operating system's text.
    if no_space or "no space left on device" in str(error).lower():
        return f"the disk is full ({error}); free some space, or choose another --output_dir, and run again"
    if isinstance(error, PermissionError):
        return f"no permission: {error}"
    return None


def run(main: Callable[[Any], None], options_class: type) -> None:
    """Runs a verb and exits: parses its flags and calls `main(options)`.

    The exit status is 0; 1 after an error, with one line on stderr if the user can correct it, else with a traceback;
    130 after an interrupt.

    Args:
        main: the verb.
        options_class: its options, a frozen dataclass whose fields are made by `option`.
    """

    def parse_flags(argv: list[str]) -> list[str]:
        try:
            return app.parse_flags_with_usage([argv[0], *expand_flagfiles(argv[1:])])
        except UserError as error:
            sys.exit(f"error: {error}")

    def guarded(argv: list[str]) -> int:
        # The libraries' log messages would hide the verb's output; --verbosity shows them.
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.ERROR)
        try:
            main(_from_flags(options_class, flags.FLAGS, argv[1:]))
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
        except Exception as error:
            message = explain(error)
            if message is None:
                raise
            print(f"error: {message}", file=sys.stderr)
            return 1
        return 0

    # Results appear as soon as they are printed, also in a pipe or a log file.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    define_flags(options_class)
    app.run(guarded, flags_parser=parse_flags)


def progress_bar(what: str, total: int | None, unit: str, **arguments: Any) -> tqdm.tqdm:
    """Returns a progress bar on stderr: live in a terminal, a line every half minute in a log file.

    Args:
        what: text in front of the bar.
        total: total count, or None if it is unknown.
        unit: name of what is counted, with a leading space.
        arguments: further arguments of `tqdm.tqdm`, such as `initial`.
    """
    interval = 0.1 if sys.stderr.isatty() else 30.0
    return tqdm.tqdm(desc=what, total=total, unit=unit, mininterval=interval, **arguments)


def print_above_progress(text: str) -> None:
    """Prints a message on stdout, above the progress bars that are on display."""
    tqdm.tqdm.write(text, file=sys.stdout)


def print_table(table: Table) -> None:
    """Prints a table on stdout: as wide as the terminal, or up to 200 characters wide in a file or a pipe."""
    console = Console()
    (console if console.is_terminal else Console(width=_WIDTH_WITHOUT_TERMINAL)).print(table)


def cpu_count() -> int:
    """Returns the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
