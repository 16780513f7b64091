"""Lays out the demo's page with Gradio, and answers what its users do."""

import collections
import concurrent.futures
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vgg_keras.api import loading
from vgg_keras.demo_page import fragments, guarded_page, views
from vgg_keras.demo_page.main_thread import MainThread
from vgg_keras.demo_page.subject import Subject
from vgg_keras.demo_page.views import LABEL, METHOD, TEST_SCALES, Choices, View
from vgg_keras.inference.protocol import EXPLANATIONS, GRAD_CAM
from vgg_keras.utils.errors import UserError
from vgg_keras.utils.escaping import visible

# Number of drawn views that are kept, so that one that was seen before is there at once.
_KEPT_VIEWS = 32
_WELCOME = "Drop a photo at the left, or take one of the examples."
_STOPPED = "The demo was stopped."
_SYSTEM_FONTS = ["system-ui", "DejaVu Sans", "sans-serif"]


class Answers:
    """Answers what users do, with the models that the main thread uses.

    Args:
        subject: the models.
        shown_views: the views of the page.
        main_thread: the thread that uses the models.
    """

    def __init__(self, subject: Subject, shown_views: Sequence[View], main_thread: MainThread):
        self._subject, self._views, self._main_thread = subject, shown_views, main_thread
        self._draw = functools.lru_cache(_KEPT_VIEWS)(self._draw_anew)

    def open_photo(self, file: str | None) -> tuple[str | None, str, str, int | None]:
        """Classifies a photo.

        Args:
            file: the file that was uploaded; None: it was taken away.

        Returns:
            The file, or None if it cannot be used; the photo, or what is wrong with it, as HTML; the labels as HTML;
            the index of the best class.
        """
        if not file:
            return None, fragments.hint(_WELCOME), "", None
        try:
            picture, labels, best = self._main_thread.call(self._classify, file)
        except UserError as error:
            return None, _explained(error, file), "", None
        except concurrent.futures.CancelledError:
            return None, fragments.message(_STOPPED), "", None
        return file, picture, labels, best

    def _classify(self, file: str) -> tuple[str, str, int]:
        photo = loading.read_photo(file)
        return views.shown(photo, Path(file).name), *views.labels(self._subject, photo)

    def draw(self, view: View, file: str | None, choices: Choices) -> str:
        """Returns a view of a photo as HTML; file: a result of `open_photo`."""
        if not file:
            return ""
        used = {name: value for name, value in dataclasses.asdict(choices).items() if name in view.controls}
        try:
            return self._main_thread.call(self._draw, self._views.index(view), file, Choices(**{**_UNUSED, **used}))
        except UserError as error:
            return _explained(error, file)
        except concurrent.futures.CancelledError:
            return fragments.message(_STOPPED)

    def _draw_anew(self, view: int, file: str, choices: Choices) -> str:
        return self._views[view].draw(self._subject, loading.read_photo(file), choices)


_METHODS = [(views.METHOD_TITLES[method], method) for method in EXPLANATIONS]
# In the place of choices that a view does not depend on.
_UNUSED = {LABEL: 0, TEST_SCALES: (), METHOD: GRAD_CAM}


def _explained(error: Exception, file: str) -> str:
    """Returns an error about a photo as HTML, with the name that the user gave the file, not that of Gradio's copy."""
    name = Path(file).name
    # The models are given pixels, and call them an image.
    return fragments.message(str(error).replace(visible(file), name).replace("an image: ", f"{name}: ", 1))


def numbered(names: Sequence[str]) -> list[tuple[str, int]]:
    """Returns the names of classes with their indices; a name that several classes have is followed by the index.

    >>> numbered(["rose", "crane", "crane"])
    [('rose', 0), ('crane (1)', 1), ('crane (2)', 2)]
    """
    counts = collections.Counter(names)
    return [(visible(name) + (f" ({index})" if counts[name] > 1 else ""), index) for index, name in enumerate(names)]


def theme(gr: Any) -> Any:
    """Returns a theme of Gradio whose fonts are those of the system; Gradio's own come from another host."""
    return gr.themes.Default(primary_hue="indigo", font=_SYSTEM_FONTS, font_mono=["ui-monospace", "monospace"])


def build(
    gr: Any,
    subject: Subject,
    shown_views: Sequence[View],
    notes: Sequence[str],
    examples: Mapping[str, Path],
    folder: Path,
    main_thread: MainThread,
    max_megabytes: int,
) -> Any:
    """Lays out the page.

    Args:
        gr: Gradio.
        subject: the models.
        shown_views: the views, each a tab.
        notes: lines on what is not shown, and why.
        examples: files of photos to choose from, by their names.
        folder: where uploaded files and the examples lie; no other file is shown.
        main_thread: the thread that uses the models.
        max_megabytes: size of the largest file of a photo, in MB of 1,048,576 bytes.

    Returns:
        The page, a `gradio.Blocks`.
    """
    answers = Answers(subject, shown_views, main_thread)
    title = f"{subject.name}: what the net sees"
    with guarded_page.page_class(gr, folder)(title=title, analytics_enabled=False) as page:
        gr.HTML(fragments.heading(title, subject.describe(), notes))
        with gr.Row():
            with gr.Column(min_width=300):
                file = _photo_input(gr, examples, max_megabytes)
            with gr.Column(min_width=300):
                picture = gr.HTML(fragments.hint(_WELCOME), elem_id="photo")
            with gr.Column(min_width=300):
                labels = gr.HTML(elem_id="labels")
        controls = {name: gr.State(value) for name, value in _UNUSED.items()}
        if any(LABEL in view.controls for view in shown_views):
            choices = numbered(subject.labels)
            controls[LABEL] = gr.Dropdown(choices, value=0, label="Class", filterable=True, elem_id="class")
        photo = gr.State(None)
        opened = file.change(answers.open_photo, file, [photo, picture, labels, controls[LABEL]], **_PRIVATE)
        if shown_views:
            _tabs(gr, subject, shown_views, answers, photo, opened, controls)
    return page


# No address of an API for what only the page itself needs.
_PRIVATE: Mapping[str, Any] = {"api_visibility": "private"}


def _photo_input(gr: Any, examples: Mapping[str, Path], max_megabytes: int) -> Any:
    """Adds the field for photos and the examples; returns the field."""
    label = f"Photo, at most {max_megabytes} MB"
    file = gr.File(label=label, file_types=["image"], height=140, elem_id="file")
    pictures = [(str(path), name) for name, path in examples.items()]
    gallery = gr.Gallery(
        [path for path, _ in pictures],
        label="Examples",
        columns=4,
        height="auto",
        object_fit="cover",
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_id="examples",
    )

    def choose(event: gr.SelectData) -> str:
        try:
            return pictures[event.index][0]
        except (IndexError, TypeError) as error:
            raise guarded_page.refusal(gr, UserError(f"there is no example {event.index}")) from error

    gallery.select(choose, None, file, **_PRIVATE)
    return file


def _tabs(
    gr: Any,
    subject: Subject,
    shown_views: Sequence[View],
    answers: Answers,
    photo: Any,
    opened: Any,
    controls: dict[str, Any],
) -> None:
    """Adds a tab for each view, which is drawn when its tab is open, or is opened."""
    tabs, outputs = [], []
    current = gr.State(shown_views[0].name)
    with gr.Tabs():
        for view in shown_views:
            with gr.Tab(view.title, elem_id=f"tab-{view.name}") as tab:
                gr.HTML(fragments.hint(view.about))
                if TEST_SCALES in view.controls:
                    scales = subject.scales()
                    controls[TEST_SCALES] = gr.CheckboxGroup(
                        sorted(scales), value=[max(scales)], label="Test scales Q, pixels", elem_id="scales"
                    )
                if METHOD in view.controls:
                    controls[METHOD] = gr.Radio(_METHODS, value=GRAD_CAM, label="Method", elem_id="method")
                outputs.append(gr.HTML(elem_id=view.name))
                tabs.append(tab)
    inputs = [photo, *(controls[name] for name in _UNUSED)]
    for view, tab, output in zip(shown_views, tabs, outputs, strict=True):
        draw = _drawer(answers, view)
        tab.select(
            lambda *given, draw=draw, name=view.name: (draw(*given), name), inputs, [output, current], **_PRIVATE
        )
        redraw = _if_open(draw, view.name)
        opened.then(redraw, [current, *inputs], output, **_PRIVATE)
        # One event of all controls: what is chosen while a view is drawn is drawn after it, and is not passed over.
        choices = [controls[name].input for name in view.controls]
        gr.on(choices, redraw, [current, *inputs], output, trigger_mode="always_last", **_PRIVATE)


def _drawer(answers: Answers, view: View) -> Callable[..., str]:
    """Returns the function that draws a view of a photo with the values of the controls."""

    def draw(file: str | None, label: int | None, test_scales: Sequence[int], method: str) -> str:
        try:
            choices = Choices(0 if label is None else label, tuple(sorted(test_scales)), method)
        except UserError as error:
            return fragments.message(str(error))
        return answers.draw(view, file, choices)

    return draw


def _if_open(draw: Callable[..., str], name: str) -> Callable[..., str]:
    """Returns the function that draws a view if its tab is open, and else removes what it showed before."""

    def draw_if_open(current: str, *given: Any) -> str:
        return draw(*given) if current == name else ""

    return draw_if_open
