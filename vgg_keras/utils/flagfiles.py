"""Finds flag files from any folder, and replaces `--flagfile=X` by the flags in X."""

import shlex
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from vgg_keras.utils import paths, side_files
from vgg_keras.utils.errors import UserError, near_name

_PACKAGE = Path(__file__).resolve().parent.parent
# Folders of the shipped flag files: inside an installed package, or beside it in a checkout.
_SHIPPED_CONFIGS = (_PACKAGE / "configs", _PACKAGE.parent / "configs")
_FLAGFILE = ("--flagfile", "-flagfile")


def shipped_configs() -> list[str]:
    """Returns the names of the flag files that come with the package, such as "configs/vgg16.cfg"."""
    found = {
        f"configs/{path.relative_to(folder).as_posix()}"
        for folder in _SHIPPED_CONFIGS
        for path in (folder.rglob("*.cfg") if folder.is_dir() else ())
    }
    return sorted(found)


def find_flagfile(name: str, including_folder: Path | None = None) -> Path:
    """Finds a flag file: beside the file that includes it, in the working folder, or among the shipped `configs/`.

    absl alone searches the working folder only: a config that includes another would work from one folder only.

    Args:
        name: path of the flag file, relative to one of these folders, or absolute.
        including_folder: folder of the flag file that includes it, if one does.

    Raises:
        UserError: none of the folders has the file.
    """
    if not name:
        raise UserError("--flagfile is empty; give it a file, such as --flagfile=configs/vgg16.cfg")
    path = Path(paths.expand(f"--flagfile={name}", name))
    if path.is_dir():
        raise UserError(f"--flagfile={name} is a folder; name a file in it")
    shipped = Path(*path.parts[1:]) if path.parts[:1] == ("configs",) else path
    candidates = [including_folder / path] if including_folder else []
    candidates += [path, *(folder / shipped for folder in _SHIPPED_CONFIGS)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    by_stem = {Path(config).stem: config for config in shipped_configs()}
    near = near_name(path.stem, by_stem)
    hint = f"did you mean --flagfile={by_stem[near]}?" if near else f"looked for {', '.join(map(str, candidates))}"
    raise UserError(f"flag file {name} not found; {hint}")


def expand_flagfiles(
    argv: Sequence[str],
    opened: list[Path] | None = None,
    repeatable: Collection[str] = (),
    including_folder: Path | None = None,
    _open_files: tuple[Path, ...] = (),
) -> list[str]:
    """Replaces each `--flagfile=X` by the flags in X, at the same position, so that later flags override earlier ones.

    Args:
        argv: the arguments, without the program's name.
        opened: list to which the flag files are added.
        repeatable: names of the flags that take several values by being repeated. Where the arguments hold one, its
            values in X do not count: they are replaced, and not added to.
        including_folder: folder of the flag file that the arguments come from, if they come from one.

    Raises:
        UserError: a flag file is missing or cannot be read, or includes itself.
    """
    own = {name for argument in without_flagfiles(argv) if (name := _name(argument)) in repeatable}
    expanded: list[str] = []
    for argument, flagfile in _flagfiles_apart(argv):
        if flagfile is None:
            expanded.append(argument)
            continue
        path = find_flagfile(flagfile, including_folder).resolve()
        if path in _open_files:
            raise UserError(f"flag file {path} includes itself")
        if opened is not None:
            opened.append(path)
        inside = expand_flagfiles(_read(path), opened, repeatable, path.parent, (*_open_files, path))
        expanded += _without(inside, own)
    return expanded


def _name(argument: str) -> str:
    """Returns the name of the flag that an argument gives: "x" of --x=1, -x, and --x; "" if it gives none."""
    return argument.lstrip("-").partition("=")[0] if argument.startswith("-") else ""


def _without(arguments: Sequence[str], names: Collection[str]) -> list[str]:
    """Returns the arguments without some flags and their values, which may be arguments of their own."""
    kept, following = [], iter(arguments)
    for argument in following:
        if _name(argument) not in names:
            kept.append(argument)
        elif "=" not in argument:
            next(following, None)
    return kept


def without_flagfiles(argv: Sequence[str]) -> list[str]:
    """Returns the arguments of a command line itself, without those that are in flag files."""
    return [argument for argument, flagfile in _flagfiles_apart(argv) if flagfile is None]


def _flagfiles_apart(argv: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Yields each argument with the name of the flag file that it asks for, or None if it asks for none."""
    arguments = iter(argv)
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name not in _FLAGFILE:
            yield argument, None
        else:
            yield argument, value if equals else next(arguments, "")


def _read(path: Path) -> list[str]:
    """Returns the arguments in a flag file."""
    text = side_files.read_text(path, "name a file with a flag in each line, as those in configs/")
    try:
        # comments=True drops the text after a '#'; quotes keep values with spaces together.
        return shlex.split(text, comments=True)
    except ValueError as error:  # a quotation mark without its partner
        raise UserError(f"flag file {path} cannot be read: {error}") from error
