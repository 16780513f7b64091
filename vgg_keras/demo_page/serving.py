"""Serves the demo's page until the process is stopped."""

import contextlib
import errno
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vgg_keras.api import loading
from vgg_keras.demo_page import fragments, offline_gradio, page, subject, views
from vgg_keras.demo_page.content_policy import ContentPolicy
from vgg_keras.demo_page.main_thread import MainThread
from vgg_keras.tasks import example_photos
from vgg_keras.tasks.demo_options import DemoOptions
from vgg_keras.utils import console, stopping
from vgg_keras.utils.errors import UserError

_EXAMPLES = 8
# Seconds that connections are given to end when the server is stopped.
_GRACE = 5.0


def serve(options: DemoOptions) -> None:
    """Serves the page until the process is stopped.

    Raises:
        UserError: a model cannot be used, the page cannot be served at the address, or Gradio is not installed.
    """
    main_thread = MainThread()
    with (
        listening(options.host, options.port) as listener,
        stopping.advising("the photos that it was shown are deleted"),
        serving(options, listener, main_thread) as url,
    ):
        console.say(f"the demo is at {url} until it is stopped, by Ctrl-C")
        main_thread.work()


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Listens at an address inside the context.

    Args:
        host: name or IP address.
        port: number of the port; 0: any free one.

    Yields:
        The listening socket.

    Raises:
        UserError: there is no such host, it is another machine, or another process has the port.
    """
    bare = host.strip("[]")
    try:
        family, _, _, _, address = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise UserError(f"--host={host}: there is no such host ({error.strerror})") from None
    try:
        listener = socket.create_server(address[:2], family=family)
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise UserError(
                f"--host={host} is no address of this machine; 127.0.0.1 serves the page to this machine alone, and "
                "0.0.0.0 at all its addresses"
            ) from None
        raise UserError(
            f"--port={port}: no server can be started there on {host} ({error.strerror}); choose another, or 0 for any "
            "free one"
        ) from None
    with listener:
        yield listener


@contextlib.contextmanager
def serving(options: DemoOptions, listener: socket.socket, main_thread: MainThread) -> Iterator[str]:
    """Loads the models, and serves the page inside the context; says what is shown.

    Args:
        options: flags of the verb.
        listener: the socket that the page is served at.
        main_thread: the thread that uses the models, which has to work meanwhile.

    Yields:
        The page's address.

    Raises:
        UserError: a model cannot be used, or Gradio is not installed.
    """
    gr = offline_gradio.load()
    models = subject.load(options.model, options.classifier)
    console.say(models.describe())
    with _photo_folder() as folder:
        examples = _write_examples(models.path, folder)
        found, notes = views.usable(models, loading.read_photo(next(iter(examples.values()))))
        for note in notes:
            console.say(note)
        layout = page.build(gr, models, found, notes, examples, folder, main_thread, options.max_megabytes)
        with _running(_application(gr, layout, options.max_megabytes), listener):
            yield _url(options.host, listener)


@contextlib.contextmanager
def _photo_folder() -> Iterator[Path]:
    """Yields the folder for the photos that users show, which is deleted at the end of the context."""
    before = os.environ.get(offline_gradio.FOLDER)
    with tempfile.TemporaryDirectory(prefix="vgg_keras-demo-", ignore_cleanup_errors=True) as folder:
        os.environ[offline_gradio.FOLDER] = folder
        try:
            yield Path(folder)
        finally:
            if before is None:
                os.environ.pop(offline_gradio.FOLDER, None)
            else:
                os.environ[offline_gradio.FOLDER] = before


def _write_examples(model_path: Path, folder: Path) -> dict[str, Path]:
    """Writes photos to choose from; returns their files by their names."""
    (folder / "examples").mkdir()
    examples = {}
    for name, encoded in example_photos.of_model(model_path, _EXAMPLES).items():
        examples[name] = folder / "examples" / name
        examples[name].write_bytes(encoded)
    return examples


def _application(gr: Any, layout: Any, max_megabytes: int) -> Any:
    """Returns the page as an ASGI application."""
    import fastapi  # which Gradio needs

    layout.has_launched = True  # Gradio checks the paths of files only where it finds this
    application = gr.mount_gradio_app(
        fastapi.FastAPI(openapi_url=None),
        layout.queue(default_concurrency_limit=None),
        path="/",
        footer_links=[],
        max_file_size=f"{max_megabytes}mb",
        show_error=True,
        theme=page.theme(gr),
        css=fragments.STYLE.read_text(encoding="utf-8"),
    )
    return ContentPolicy(application)


@contextlib.contextmanager
def _running(application: Any, listener: socket.socket) -> Iterator[None]:
    """Runs a web server in a thread inside the context."""
    import uvicorn  # which Gradio needs

    # Its log would tell of each connection that ends early.
    server = uvicorn.Server(uvicorn.Config(application, log_level="critical", ws="none", log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise RuntimeError("the web server did not start")
            time.sleep(0.01)
        yield
    finally:
        # A page that is open keeps a connection for ever.
        server.should_exit = server.force_exit = True
        thread.join(_GRACE)


def _url(host: str, listener: socket.socket) -> str:
    """Returns the address of the page; of a server that all hosts reach, by the name of this one."""
    address, port = listener.getsockname()[:2]
    shown = socket.gethostname() if address in ("0.0.0.0", "::") else host.strip("[]")
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
