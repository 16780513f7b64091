"""Escapes texts of users, such as names of files and classes, for each medium that they enter.

A name may hold whatever a file system allows: control characters, bytes that are not UTF-8, the markup of the medium.
There is one function for each medium: `visible` for terminals, pictures and messages, `storable` for files, `markdown`
and `markdown_code`, `html`, `figure_text` for matplotlib, and `csv_text` for tables that spreadsheets open.
"""

import csv
import html as html_of_python
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence

# Categories of characters that a terminal obeys, that break a line, or that UTF-8 cannot store: Cc are control
# characters, Zl and Zp separators of lines and paragraphs, Cs halves of surrogate pairs.
_UNSAFE_CATEGORIES = frozenset(("Cc", "Zl", "Zp", "Cs"))
# Characters that change the order in which others are shown, so that a text reads as another one.
_REORDERING = frozenset(("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"))
# Python reads the byte 0xNN of a file name that is not in the encoding of the system as the character U+DCNN.
_HALF_PAIRS = re.compile("[\ud800-\udc7f\udd00-\udfff]")

# An underscore between letters or digits is no markup; "]" is, in front of the address of a link.
_MARKDOWN = re.compile(r"[\\`*|~$]|(?<![^\W_])_|_(?![^\W_])|\](?=[(\[:])|!(?=\[)")
_ENTITY = re.compile(r"&(?=#|\w+;)")

# A spreadsheet takes a cell that begins with one of these, or with its full-width form, for a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def file_text(name: str) -> str:
    r"""Returns the name of a file, as Python gives it, as text: names are UTF-8, whatever the system's encoding is.

    Bytes that are not UTF-8 stay as Python gives them.

    >>> file_text("Bl\udcc3\udcbcte"), file_text("caf\udce9.jpg")
    ('Blüte', 'caf\udce9.jpg')
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def storable(text: str) -> str:
    r"""Returns a text that UTF-8 can store: bytes of file names that are not UTF-8 are written as "\xNN".

    Bytes that are UTF-8 become their characters, also where the system's encoding is ASCII.

    >>> storable("caf\udce9.jpg")
    'caf\\xe9.jpg'
    """
    whole = _HALF_PAIRS.sub(lambda found: _escaped(found[0]), text)
    return whole.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def shortened(text: str, length: int = 300) -> str:
    """Returns a text for a message, cut after a number of characters.

    >>> shortened("worker", 4), shortened("work", 4)
    ('work...', 'work')
    """
    return text if len(text) <= length else f"{text[:length]}..."


def _is_unsafe(character: str) -> bool:
    return (
        unicodedata.category(character) in _UNSAFE_CATEGORIES
        or unicodedata.bidirectional(character) in _REORDERING
        or _is_noncharacter(ord(character))
    )


def _is_noncharacter(code: int) -> bool:
    """Returns whether Unicode will never give a code a character; YAML and XML refuse the first of them."""
    return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


def visible(text: str) -> str:
    r"""Returns a text as one line that no terminal obeys.

    Control characters, line breaks, characters that reorder others, codes that are no characters, and bytes that are
    not UTF-8 are written as in Python's strings.

    >>> visible("a\x1b[31m\n\u202egpj.jpg")
    'a\\x1b[31m\\n\\u202egpj.jpg'
    """
    text = storable(text)
    if text.isascii() and text.isprintable():  # the usual case
        return text
    return "".join(_escaped(character) if _is_unsafe(character) else character for character in text)


def markdown(text: str) -> str:
    r"""Returns a text as one line of Markdown that shows it as it is, also in a cell of a table.

    >>> markdown("a|b <c> snake_case *d* [e](f)")
    'a\\|b &lt;c> snake_case \\*d\\* [e\\](f)'
    """
    text = _ENTITY.sub("&amp;", visible(text)).replace("<", "&lt;")
    return _MARKDOWN.sub(lambda found: "\\" + found[0], text)


def markdown_code(text: str) -> str:
    """Returns a text as a code span of Markdown, which backticks inside it do not end; not for cells of tables.

    >>> markdown_code("a`b")
    '``a`b``'
    """
    text = visible(text)
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if text.startswith("`") or text.endswith("`") or not text else ""
    return f"{fence}{space}{text}{space}{fence}"


def html(text: str) -> str:
    """Returns a text as HTML that shows it as it is, also inside an attribute."""
    return html_of_python.escape(visible(text))


def figure_text(text: str) -> str:
    """Returns a text, of one line or several, for matplotlib, which takes what is between "$" for mathematics."""
    return "\n".join(visible(line).replace("$", r"\$") for line in text.split("\n"))


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    r"""Returns a table as CSV, each row in one line.

    A text that a spreadsheet would take for a formula gets an apostrophe in front.

    >>> csv_text(("file", "index"), [("=1+1.jpg", -1)])
    "file,index\n'=1+1.jpg,-1\n"

    Args:
        columns: names of the columns.
        rows: cells of each row: texts, numbers.
    """

    def cell(content: object) -> object:
        if not isinstance(content, str):
            return content
        return f"'{visible(content)}" if content.startswith(_FORMULA_STARTS) else visible(content)

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([cell(content) for content in row] for row in rows)
    return text.getvalue()
