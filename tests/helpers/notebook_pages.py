"""Shows the notebooks below docs/ as pages of the site: a hook of MkDocs, which mkdocs.yml names.

A notebook becomes a Markdown page with the outputs that are stored in it, so that it has the looks of the other pages,
is searched like them, and loads nothing from another host. The notebook itself is there for download. Links to a
notebook lead to its page.

MkDocs loads this file alone, so it imports nothing of the tests.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_SUFFIX = ".ipynb"
_NOTE = "*This page is a [notebook]({name}), shown with the outputs that are stored in it. A test runs it.*\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds a page, and the pictures on it, for each notebook."""
    for notebook in [file for file in files if file.src_uri.endswith(_SUFFIX)]:
        page, pictures = converted(json.loads(notebook.content_string), PurePosixPath(notebook.src_uri).stem)
        folder = PurePosixPath(notebook.src_uri).parent
        files.append(File.generated(config, notebook.src_uri.removesuffix(_SUFFIX) + ".md", content=page))
        for name, content in pictures.items():
            files.append(File.generated(config, str(folder / name), content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leads links to notebooks to their pages, but for a notebook's own."""
    own = PurePosixPath(page.file.src_uri).stem
    return re.sub(rf"(\]\([^)\s]*?)(?<!\({re.escape(own)})\.ipynb\b", r"\1.md", markdown)


def converted(notebook: Mapping[str, Any], stem: str) -> tuple[str, dict[str, bytes]]:
    """Returns a notebook as Markdown, and the content of each picture by its file's name.

    Args:
        notebook: content of the file, as parsed JSON.
        stem: name of the file, without its suffix.
    """
    pictures: dict[str, bytes] = {}
    parts = [part for cell in notebook["cells"] for part in _cell_parts(cell, stem, pictures)]
    title, _, rest = parts[0].partition("\n")
    return "\n\n".join([title, _NOTE.format(name=f"{stem}{_SUFFIX}"), rest, *parts[1:]]), pictures


def _cell_parts(cell: Mapping[str, Any], stem: str, pictures: dict[str, bytes]) -> Iterator[str]:
    """Yields the parts of a cell as Markdown, and adds its pictures to `pictures`."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield _fenced(source, "python")
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "image/png" in data:
            name = f"{stem}_{cell['id']}_{len(pictures)}.png"
            pictures[name] = base64.b64decode("".join(data["image/png"]))
            yield f"![{cell['metadata'].get('alt', 'what the cell shows')}]({name})"
        elif "text/html" in data:
            yield "".join(data["text/html"])
        else:
            yield _fenced("".join(output.get("text") or data.get("text/plain", "")), "text")


def _fenced(text: str, language: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"
