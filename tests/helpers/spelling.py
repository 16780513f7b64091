"""Holds the spelling of the project's texts: British with -ize, so that prose and flags agree ("localization").

python -m tests.helpers.spelling
"""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.documentation import pages
from tests.helpers.paths import ROOT

_PACKAGES = ("benchmarks", "data_prep", "tests", "vgg_keras")
# Verbs in -ize before the ending: of other words, such as "analyse" and "precise", -is- is a part.
_STEMS = (
    "capital|categor|character|custom|final|general|initial|local|maxim|minim|memor|normal|optim|organ|parallel|penal|"
    "prior|quant|random|real|recogn|regular|serial|special|standard|summar|synchron|token|util|visual"
)
# Not inside names of code, which are joined by underscores or stand before a bracket.
_WORD = re.compile(
    rf"(?<![\w.])((?:de|re|un|pre)?(?:{_STEMS})(?:it)?i)s(e|es|ed|er|ers|ing|able|ation|ations)\b(?![_(])",
    re.IGNORECASE,
)
# Tokens of Python that hold text; since Python 3.12, f-strings are in parts.
_TEXTS = {"STRING", "FSTRING_MIDDLE", "COMMENT"}


def corrected(text: str) -> str:
    """Returns a text with -iz- in the words that have -is-.

    >>> corrected("Localisers normalise, analyse and summarise")
    'Localizers normalize, analyse and summarize'
    """
    return _WORD.sub(lambda found: f"{found[1]}{'Z' if found[2].isupper() else 'z'}{found[2]}", text)


def corrected_code(code: str) -> str:
    """Returns Python code with the same in its strings and comments, but not in its names."""
    lines = code.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if (
            token.type == tokenize.STRING
            or token.type == tokenize.COMMENT
            or "FSTRING" in tokenize.tok_name[token.type]
        ):
            (first, begin), (last, end) = token.start, token.end
            for row in range(first - 1, last):
                line = lines[row]
                left, right = begin if row == first - 1 else 0, end if row == last - 1 else len(line)
                lines[row] = line[:left] + corrected(line[left:right]) + line[right:]
    return "".join(lines)


def misspelt() -> Iterator[tuple[Path, str]]:
    """Yields each file of code, of flags and of documentation that is spelt otherwise, with its corrected text."""
    code = [path for package in _PACKAGES for path in (ROOT / package).rglob("*.py") if path != Path(__file__)]
    for path in [*pages(), *(ROOT / "configs").rglob("*.cfg"), *code]:
        text = path.read_text(encoding="utf-8")
        right = corrected_code(text) if path.suffix == ".py" else corrected(text)
        if right != text:
            yield path, right


if __name__ == "__main__":
    for wrong, right_text in misspelt():
        wrong.write_text(right_text, encoding="utf-8")
