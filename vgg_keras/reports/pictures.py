"""Makes pictures that stand inside a page: charts as SVG, photos as JPEG, pixels as PNG."""

import base64
import io
import re
from collections.abc import Callable
from typing import Any

import markupsafe
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

# A colour that no chart uses itself: text and axes are drawn in it, and the page puts its own in its place.
_INK = "#010203"
_STYLE: dict[Any, Any] = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK),
    "axes.titlecolor": _INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "legend.facecolor": "none",
    "legend.edgecolor": "none",
    "savefig.facecolor": "none",
    # Text stays text, in the page's font.
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
}
_IDENTIFIER = re.compile(r'(\bid="|href="#|url\(#)')
_QUALITY = 85


def inline_svg(draw: Callable[[], Figure], name: str) -> markupsafe.Markup:
    """Draws a chart as an `<svg>` element whose text and lines have the colour of the text around it.

    Args:
        draw: function that draws the chart; colours that it names itself stay as they are.
        name: name of the chart, unique in its page: letters and digits.
    """
    written = io.StringIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        draw().savefig(written, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    # The charts of a page must not have the same identifiers.
    svg = _IDENTIFIER.sub(rf"\g<1>{name}-", svg)
    return markupsafe.Markup(svg)  # matplotlib escapes the texts in its figures


def jpeg(image: np.ndarray) -> str:
    """Returns a photo, (H, W, 3) uint8, as the address of a JPEG that holds it."""
    return _address(image, "jpeg", quality=_QUALITY, optimize=True)


def png(image: np.ndarray) -> str:
    """Returns a picture, (H, W, 3) uint8, as the address of a PNG that holds it."""
    return _address(image, "png", optimize=True)


def _address(image: np.ndarray, kind: str, **arguments: object) -> str:
    written = io.BytesIO()
    Image.fromarray(image).save(written, kind, **arguments)
    return f"data:image/{kind};base64,{base64.b64encode(written.getvalue()).decode()}"
