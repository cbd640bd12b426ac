"""The page as a visitor uses it, in a browser."""

import numpy as np
import pytest
import torch

from browser import shown, started_browser, uploaded, visited
from p3m_lightning.web.session import Limits
from page_visits import encoded, pixels_of, predictors, scene

torch.set_num_threads(2)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    pytest.importorskip("gradio")
    from p3m_lightning.web import serve

    with serve(predictors(), limits=Limits(megabytes=1, megapixels=4)) as address:
        yield address.rstrip("/")


@pytest.fixture(scope="module")
def browser():
    with started_browser() as browser:
        yield browser


@pytest.fixture
def page(browser, served):
    with visited(browser, served) as page:
        yield page


def test_a_visitor_uploads_cuts_out_compares_and_downloads(page, tmp_path):
    page.locator("#photograph input[type=file]").set_input_files(
        {"name": "disk.png", "mimeType": "image/png", "buffer": encoded(scene())}
    )
    uploaded(page)
    page.get_by_label("blur").check()
    page.locator("#start").click()
    disk = scene()[..., 0]
    np.testing.assert_array_equal(shown(page, "matte"), disk)
    np.testing.assert_array_equal(shown(page, "cutout")[..., 3], disk)
    assert shown(page, "composite").shape == (60, 80, 3)
    assert page.locator("#compare img").count() == 2
    before = page.locator("#compare").screenshot()
    box = page.locator("#compare img").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    assert page.locator("#compare").screenshot() != before
    with page.expect_download() as waiting:
        page.locator("#download").click()
    waiting.value.save_as(tmp_path / "cutout.png")
    np.testing.assert_array_equal(pixels_of(tmp_path / "cutout.png")[..., 3], disk)


def test_a_visitor_takes_an_example_on_a_background_of_her_own(page):
    page.locator("button.gallery-item").first.click()
    uploaded(page)
    page.get_by_label("picture").check()
    page.locator("#picture input[type=file]").set_input_files(
        {"name": "green.png", "mimeType": "image/png", "buffer": encoded(np.uint8(np.full((9, 9, 3), (0, 255, 0))))}
    )
    uploaded(page, "picture")
    page.locator("#start").click()
    assert shown(page, "composite").shape == (512, 512, 3)


def test_a_visitor_photographs_herself(page):
    page.get_by_label("Capture from camera").first.click()
    page.get_by_text("Click to Access Webcam").click()
    page.wait_for_function("document.querySelector('#photograph video')?.videoWidth > 0")
    page.get_by_label("capture photo").click()
    uploaded(page)
    page.locator("#start").click()
    assert shown(page, "matte").ndim == 2


def test_a_visitor_is_told_what_is_wrong(page):
    page.locator("#start").click()
    page.get_by_text("photograph: none is given").wait_for()
    page.locator("#photograph input[type=file]").set_input_files(
        {"name": "text.png", "mimeType": "image/png", "buffer": b"hello"}
    )
    uploaded(page)
    page.locator("#start").click()
    page.get_by_text("photograph: not an image file").wait_for()
