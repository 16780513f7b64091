"""Reads the README and the pages of the documentation: fenced blocks, command lines, inline code."""

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.helpers.paths import ROOT

DOCS = ROOT / "docs"


class Block(NamedTuple):
    """A fenced block of a page.

    Attributes:
        page: path of the page.
        language: word after the opening fence.
        code: text of the block.
    """

    page: Path
    language: str
    code: str


class Command(NamedTuple):
    """A command line that runs a verb.

    Attributes:
        page: path of the page.
        verb: dotted name of the verb's module.
        arguments: arguments of the verb.
    """

    page: Path
    verb: str
    arguments: list[str]


def pages() -> list[Path]:
    """Returns the README, the other texts at the top level and in deploy/, and the pages of docs/."""
    return [*sorted(ROOT.glob("*.md")), ROOT / "deploy" / "README.md", *sorted(DOCS.rglob("*.md"))]


def text(page: str) -> str:
    """Returns the text of a page of docs/."""
    return (DOCS / page).read_text(encoding="utf-8")


def blocks(language: str) -> list[Block]:
    """Returns all fenced blocks of a language, those in admonitions without their indentation."""
    fence = re.compile(rf"^( *)```{language}\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
    return [
        Block(page, language, re.sub(rf"^{indent}", "", code, flags=re.MULTILINE))
        for page in pages()
        for indent, code in fence.findall(page.read_text(encoding="utf-8"))
    ]


def simple_commands(script: str) -> Iterator[list[str]]:
    """Yields the words of each simple command of a shell script: lines, and parts of pipes and of lists."""
    for line in script.replace("\\\n", " ").splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        for is_operator, group in itertools.groupby(words, key=lambda word: set(word) <= set("();<>|&")):
            if not is_operator:
                yield list(group)


def commands() -> list[Command]:
    """Returns the command lines of all `bash` blocks that run a verb, `python -m vgg_keras.X` or `data_prep.X`."""
    found = []
    for page, _, code in blocks("bash"):
        for words in simple_commands(code):
            verb = words[words.index("-m") + 1] if "-m" in words[:-1] else ""
            if verb.startswith(("vgg_keras.", "data_prep.")):
                found.append(Command(page, verb, words[words.index("-m") + 2 :]))
    return found


def inline_flags(page: Path) -> set[str]:
    """Returns the names of the flags in inline code that starts with one, such as `--net=D`, or that follows a verb."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return {flag for code in re.findall(r"`([^`\n]+)`", text) for flag in re.findall(r"(?:^|\s)--(\w+)", code)}
