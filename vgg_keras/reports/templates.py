"""Reads templates for HTML, in which texts of users can do no harm."""

from pathlib import Path

import jinja2
import markupsafe

from vgg_keras.utils.escaping import visible


def environment(*folders: Path) -> jinja2.Environment:
    """Returns the environment of the templates in some folders; they escape what is not marked as HTML.

    Args:
        folders: where the templates lie.
    """
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders, encoding="utf-8"),
        autoescape=True,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def _shown(value: object) -> object:
    """Returns what stands in a page for a value: texts of users as one line, in which nothing is invisible."""
    return visible(value) if isinstance(value, str) and not isinstance(value, markupsafe.Markup) else value
