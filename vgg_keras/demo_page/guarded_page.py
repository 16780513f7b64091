"""Checks what clients send before the page's functions see it; a client need not be the page that was sent to it.

Gradio copies the file that a request names to its own folder, and shows it, without asking whether it was uploaded: it
asks only where its own `launch` started the server.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vgg_keras.utils.errors import UserError, reason


def page_class(gr: Any, folder: Path) -> type:
    """Returns a class of pages, a `gradio.Blocks`, whose functions get no file of the server but those of a folder.

    A request that does not fit the page is answered with one line, and leaves nothing on the terminal.

    Args:
        gr: Gradio.
        folder: where uploaded files and the examples lie.
    """

    class GuardedPage(gr.Blocks):
        """A page all of whose inputs are checked."""

        async def preprocess_data(self, block_fn: Any, inputs: list[Any], *args: Any, **kwargs: Any) -> Any:
            """Returns the arguments of a function; Gradio calls it for each request, whatever address it comes by."""
            try:
                require_inside(inputs, folder)
                return await super().preprocess_data(block_fn, inputs, *args, **kwargs)
            except Exception as error:  # of Gradio's, for values that the page never sends
                raise refusal(gr, error) from None

    return GuardedPage


def refusal(gr: Any, error: Exception) -> Exception:
    """Returns the error by which Gradio answers a request with one line, and prints no traceback."""
    message = getattr(error, "message", None)  # that of Gradio's own errors, whose text is its representation
    return gr.Error(str(message or reason(error)), print_exception=False)


def require_inside(value: object, folder: Path) -> None:
    """Checks that all files that a value of a request names lie in a folder, with links followed.

    Args:
        value: what JSON can hold; a file is an object with a "path".
        folder: the folder.

    Raises:
        UserError: a file lies elsewhere, or is none.
    """
    for path in _paths(value):
        if not _is_inside(path, folder):
            raise UserError("the request names a file that was not uploaded to this page; upload the photo")


def _paths(value: object) -> Iterator[object]:
    """Yields the "path" of each object in a value, at any depth."""
    if isinstance(value, dict):
        if "path" in value:
            yield value["path"]
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _paths(part)


def _is_inside(path: object, folder: Path) -> bool:
    try:
        found = Path(str(path)).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):  # no path at all, none of a file, or a circle of links
        return False
    return found.is_file() and found.is_relative_to(folder.resolve())
