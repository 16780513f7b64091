"""Serves demos inside the test's process, and works their pages in a browser."""

import base64
import concurrent.futures
import contextlib
import dataclasses
import io
import re
import sys
import threading
from collections.abc import Iterator

import numpy as np
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from vgg_keras.demo_page import serving
from vgg_keras.demo_page.main_thread import MainThread
from vgg_keras.tasks.demo_options import DemoOptions

_PATIENCE = 60.0


@contextlib.contextmanager
def working() -> Iterator[MainThread]:
    """Yields what stands for the main thread of a demo: a thread that works inside the context."""
    main_thread = MainThread()

    def work() -> None:
        with contextlib.suppress(SystemExit):
            main_thread.work()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield main_thread
    finally:
        with contextlib.suppress(concurrent.futures.CancelledError):
            main_thread.call(sys.exit)
        worker.join()


@contextlib.contextmanager
def served(**options) -> Iterator[str]:
    """Serves a demo at a free port inside the context; yields its address."""
    chosen = DemoOptions(port=0, **options)
    with (
        serving.listening(chosen.host, chosen.port) as listener,
        working() as main_thread,
        serving.serving(chosen, listener, main_thread) as url,
    ):
        yield url


@dataclasses.dataclass(frozen=True)
class Page:
    """A demo's page in a browser.

    Attributes:
        driver: the browser.
        url: the page's address.
    """

    driver: webdriver.Chrome
    url: str

    def open(self) -> "Page":
        """Opens the page, and waits until it takes photos."""
        self.driver.get(self.url)
        self.until(lambda: self.all("#file input[type=file]") and self.tabs())
        # The last to be drawn; a file that is given earlier may get lost.
        self.until(lambda: [one for one in self.all("#examples img") if one.get_property("complete")])
        return self

    def all(self, selector: str) -> list:
        """Returns the elements that a CSS selector finds."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """Returns the text of the only element that a CSS selector finds."""
        (element,) = self.all(selector)
        return element.text

    def until(self, condition):
        """Waits until a function returns something true, and returns that."""
        return WebDriverWait(self.driver, _PATIENCE, 0.1, [Exception]).until(lambda _: condition())

    def upload(self, path, shows: str = "") -> None:
        """Gives the page a photo in the place of another one, and waits for its name, or for a text in its place."""
        self.clear()
        self.until(lambda: self.all("#file input[type=file]"))[0].send_keys(str(path))
        self.shows("#photo", shows or path.name)

    def clear(self) -> None:
        """Takes the photo away."""
        for taken in self.all("#file button[aria-label=Clear]"):
            taken.click()
        self.shows("#photo", "Drop a photo")

    def shows(self, selector: str, text: str) -> None:
        """Waits until the only element that a CSS selector finds holds a text."""
        self.until(lambda: text in self.text(selector))

    def bars(self, selector: str) -> list[tuple[str, list[float]]]:
        """Returns the classes of a table of bars with their numbers."""
        found: list[tuple[str, list[float]]] = []
        for row in self.until(lambda: self.all(f"{selector} .bars tr")):
            names = row.find_elements(By.TAG_NAME, "th")
            found += [(names[0].text, [])] if names else []
            found[-1][1].append(float(row.find_element(By.CLASS_NAME, "number").text))
        return found

    def tab(self, title: str) -> None:
        """Opens a tab."""
        next(tab for tab in self.all("button[role=tab]") if tab.text == title).click()

    def tabs(self) -> list[str]:
        """Waits for the tabs, and returns their titles."""
        return self.until(lambda: [tab.text for tab in self.all("button[role=tab]") if tab.text])

    def choose_class(self, name: str) -> None:
        """Chooses a class from the list."""
        self.all("#class input")[0].click()
        self.until(lambda: [one for one in self.all("#class [role=option]") if one.text.strip("✓ \n") == name])[
            0
        ].click()

    def check(self, selector: str, name: str) -> None:
        """Checks or unchecks a box, or chooses a radio button, by its label."""
        next(label for label in self.all(f"{selector} label") if label.text == name).click()

    def source(self, selector: str) -> str:
        """Waits for the picture of a view, and returns its address, which holds it."""
        return self.until(lambda: self.all(f"{selector} img"))[0].get_attribute("src")


def pixels(source: str) -> np.ndarray:
    """Returns the picture of a "data:" address: (H, W, 3) uint8."""
    encoded = re.fullmatch(r"data:image/\w+;base64,(.*)", source)
    assert encoded
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded[1]))).convert("RGB"))
