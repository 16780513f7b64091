"""What all verbs share: options as dataclasses, flag files that work from any folder, errors without tracebacks.

A verb declares a frozen dataclass whose fields are made by `option`, writes `main(options)`, and ends with
`command_line.run(main, Options)`. Nothing below a verb reads a flag.
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
# Where the shipped flag files are: inside an installed package, or beside it in a checkout.
_SHIPPED_CONFIGS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")
# Columns of a table in a file or a pipe.
_WIDTH_WITHOUT_TERMINAL = 200


class UserError(Exception):
    """Something that the user can mend; its message names the file, the value and the way out."""


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
        default: the default; its type (bool, int, float, str) is the flag's type. A tuple is a flag of strings that
            may be given several times, None a bool that may be left open.
        help: one line for `--help` and the README's table.
        choices: the allowed values of a string.
        lower: the smallest allowed number.
        upper: the largest allowed number.
        required: whether the user must give it.
        positional: not a flag: a tuple of what stands on the command line without a name.
    """
    metadata = {"help": help, "choices": choices, "lower": lower, "upper": upper, "required": required}
    metadata["positional"] = positional
    return dataclasses.field(default=default, metadata=metadata)


def define_flags(options_class: type, flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines one absl flag for each field of a dataclass made of `option`s."""
    for field in dataclasses.fields(options_class):
        meta = field.metadata
        if meta["positional"]:
            continue
        # Fields without a value of their own (required ones) are strings.
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
    """Parses a command line (flag files included) into a frozen dataclass; used by tests and scripts.

    Args:
        argv: the arguments, without the program's name.
        options_class: a dataclass made of `option`s.

    Raises:
        UserError: a flag file is missing, or something stands there without a name.
        absl.flags.Error: a flag is unknown or has an illegal value.
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
    """Finds a flag file: beside the file that includes it, in the working folder, then among the shipped `configs/`.

    absl alone would look in the working folder, so that a config could name its base from one folder only.

    Raises:
        UserError: none of the places has it.
    """
    path = Path(name).expanduser()
    shipped = Path(*path.parts[1:]) if path.parts[:1] == ("configs",) else path
    places = [including_folder / path] if including_folder else []
    places += [path, *(folder / shipped for folder in _SHIPPED_CONFIGS)]
    for place in places:
        if place.is_file():
            return place
    raise UserError(f"flag file {name} not found; looked for {', '.join(map(str, places))}")


def expand_flagfiles(
    argv: Sequence[str], including_folder: Path | None = None, _open_files: tuple[Path, ...] = ()
) -> list[str]:
    """Replaces each `--flagfile=X` by the flags in X, in place, so that what stands later on the line wins.

    Raises:
        UserError: a file is missing, or includes itself.
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
        # comments=True drops what follows a '#'; quotes keep values with spaces together.
        lines = shlex.split(path.read_text(encoding="utf-8"), comments=True)
        expanded += expand_flagfiles(lines, path.parent, (*_open_files, path))
    return expanded


def reason(error: Exception) -> str:
    """Returns the first line of a library's error without TensorFlow's names of graph nodes and ops."""
    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    return re.sub(r"\{\{.*?\}\} ?| ?\[Op:\w+\].*", "", first_line)


def explain(error: Exception) -> str | None:
    """Returns the message of an error that a user can mend, or None for one of ours to mend."""
    if isinstance(error, UserError):
        return str(error)
    no_space = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    # TensorFlow's file writers raise their own class; its text is the operating system's.
    if no_space or "no space left on device" in str(error).lower():
        return f"the disk is full ({error}); free some space, or choose another --output_dir, and run again"
    if isinstance(error, PermissionError):
        return f"not permitted: {error}"
    return None


def run(main: Callable[[Any], None], options_class: type) -> None:
    """Runs a verb: parses its flags, calls `main(options)`, exits 0, or 1 with one clear line on stderr.

    Args:
        main: the verb.
        options_class: its options, a frozen dataclass made of `option`s.
    """

    def parse_flags(argv: list[str]) -> list[str]:
        try:
            return app.parse_flags_with_usage([argv[0], *expand_flagfiles(argv[1:])])
        except UserError as error:
            sys.exit(f"error: {error}")

    def guarded(argv: list[str]) -> int:
        # The libraries' notes on their own doings would hide the verbs' output; --verbosity brings them back.
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

    # The verbs print results as they come, also into a pipe or a log file.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    define_flags(options_class)
    app.run(guarded, flags_parser=parse_flags)


def progress_bar(what: str, total: int | None, unit: str, **arguments: Any) -> tqdm.tqdm:
    """Returns a progress bar on stderr: live in a terminal, a line every half minute in a log file.

    Args:
        what: what stands before the bar.
        total: how many there are, or None where nobody knows.
        unit: what is counted, with a leading space.
        arguments: of tqdm, such as `initial`.
    """
    interval = 0.1 if sys.stderr.isatty() else 30.0
    return tqdm.tqdm(desc=what, total=total, unit=unit, mininterval=interval, **arguments)


def print_above_progress(text: str) -> None:
    """Prints a message on stdout, above the progress bars that are being drawn."""
    tqdm.tqdm.write(text, file=sys.stdout)


def print_table(table: Table) -> None:
    """Prints a table, into a file or a pipe as wide as it is, not as wide as a terminal that is not there."""
    console = Console()
    (console if console.is_terminal else Console(width=_WIDTH_WITHOUT_TERMINAL)).print(table)


def cpu_count() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
