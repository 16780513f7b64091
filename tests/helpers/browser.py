"""Opens pages in headless Chromium, as people see them."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By

# Names of the programs, which Debian's packages chromium and chromium-driver install.
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
WHY_NONE = "" if CHROMIUM and DRIVER else "Chromium and its driver (chromium, chromedriver) are not on this machine"
_HEIGHT = 900


@contextlib.contextmanager
def browser(width: int, *, dark: bool = False) -> Iterator[webdriver.Chrome]:
    """Yields a browser whose window has a width in pixels, and that asks pages for light or dark colours."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": _HEIGHT, "deviceScaleFactor": 1, "mobile": False},
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        yield driver
    finally:
        driver.quit()


def open_page(driver: webdriver.Chrome, path: Path) -> None:
    """Opens a file, and waits until its pictures are decoded, also those that are not in view."""
    driver.get(path.resolve().as_uri())
    for image in driver.find_elements(By.TAG_NAME, "img"):
        driver.execute_script("arguments[0].loading = 'eager'", image)
    driver.execute_async_script(
        "const done = arguments[0]; Promise.all([...document.images].map(i => i.decode())).then(() => done(), done)"
    )


def complaints(driver: webdriver.Chrome) -> list[str]:
    """Returns what the browser logged since it was asked last: errors, and addresses that were refused."""
    return [entry["message"] for entry in driver.get_log("browser")]


def errors(driver: webdriver.Chrome) -> list[str]:
    """Returns the errors that the browser logged since it was asked last, without warnings."""
    return [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]


def requests(driver: webdriver.Chrome) -> list[str]:
    """Returns the addresses that pages asked for since this function was called last, also those that were refused."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
