"""A browser that visits the page, and asks nobody else."""

import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def started_browser() -> Iterator:
    """Give a Chromium with a camera that shows a test picture; skip the test where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*quiet, *camera])
        yield browser
        browser.close()


@contextmanager
def visited(browser, address: str) -> Iterator:
    """Give the page at an address, ready for clicks; at the end, nothing was asked of another."""
    page = browser.new_page(viewport={"width": 1280, "height": 1400})
    page.set_default_timeout(120_000)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.locator("#start").wait_for()
    yield page
    page.close()
    assert [url for url in asked if not url.startswith((f"{address}/", "data:", "blob:"))] == []


def uploaded(page, name="photograph"):
    """Wait until the server has the picture, not only the browser."""
    page.locator(f"#{name} img[src*='/gradio_api/file=']").wait_for(state="attached")


def shown(page, name):
    """Wait for a picture and fetch it as the browser does."""
    address = page.locator(f"#{name} img").first.get_attribute("src")
    return np.asarray(Image.open(io.BytesIO(page.request.get(address).body())))
