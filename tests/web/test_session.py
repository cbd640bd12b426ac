"""Processing of a visitor's images."""

import numpy as np
import pytest
import torch
from PIL import Image

from p3m_lightning import Predictor
from p3m_lightning.images import write_image
from p3m_lightning.schema import InputError
from p3m_lightning.web.session import Limits, Request, Session, color_of
from page_visits import Bright, Needy, pixels_of, predictors, scene

torch.set_num_threads(2)


@pytest.fixture
def session(tmp_path):
    folder = tmp_path / "folder"
    write_image(folder / "photo.png", scene())
    write_image(folder / "green.png", np.uint8(np.full((10, 10, 3), (0, 255, 0))))
    return Session(predictors(), folder)


def test_a_request_gives_matte_cutout_composite_and_the_other_networks_matte(session):
    photo = str(session.folder / "photo.png")
    result = session.fulfill(Request(photo, "color", "rgba(255.0, 0, 0, 1)"))
    disk = scene()[..., 0]
    np.testing.assert_array_equal(pixels_of(result.matte), disk)
    np.testing.assert_array_equal(pixels_of(result.other), 255 - disk)
    np.testing.assert_array_equal(pixels_of(result.cutout)[..., 3], disk)
    assert not pixels_of(result.cutout)[disk == 0].any()
    assert (pixels_of(result.composite)[disk == 0] == (255, 0, 0)).all()
    behind = session.fulfill(Request(photo, "picture", picture=str(session.folder / "green.png"))).composite
    assert (pixels_of(behind)[disk == 0] == (0, 255, 0)).all()
    assert pixels_of(session.fulfill(Request(photo, "blur")).composite).shape == (60, 80, 3)


def test_one_network_has_nothing_to_compare_and_depth_is_kept(tmp_path):
    write_image(tmp_path / "deep.png", scene(np.uint16))
    session = Session({"bright": Predictor(Bright(), "cpu", "native")}, tmp_path)
    result = session.fulfill(Request(tmp_path / "deep.png"))
    assert result.other is None
    assert pixels_of(result.matte).max() == 65535


@pytest.mark.parametrize(
    "upload",
    [
        "/etc/hostname",
        "../outside.png",
        "https://example.com/a.png",
        "file:///etc/hostname",
        "a\0b",
        "",
        b"x",
        5,
        ["a"],
    ],
)
def test_no_path_and_no_address_of_a_visitor_is_opened(session, upload):
    write_image(session.folder.parent / "outside.png", scene())
    with pytest.raises(InputError, match="photograph: not an uploaded file"):
        session.open(upload, "photograph")


def test_a_link_out_of_the_folder_is_not_followed(session):
    write_image(session.folder.parent / "outside.png", scene())
    (session.folder / "link.png").symlink_to(session.folder.parent / "outside.png")
    with pytest.raises(InputError, match="not an uploaded file"):
        session.open(str(session.folder / "link.png"), "photograph")


def test_what_is_too_large_is_refused_before_it_is_decoded(session, monkeypatch):
    photo = str(session.folder / "photo.png")
    small = Session(predictors(), session.folder, Limits(megapixels=0.004))
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    with pytest.raises(InputError, match=r"photograph: has more than 0\.004 megapixels"):
        small.open(photo, "photograph")
    with pytest.raises(InputError, match=r"larger than 1e-05 MB"):
        Session(predictors(), session.folder, Limits(megabytes=1e-5)).open(photo, "photograph")


def test_an_upload_without_bytes_is_to_be_sent_again(session):
    (session.folder / "empty.png").touch()
    for asked in (Request("empty.png"), Request("photo.png", "picture", picture=session.folder / "empty.png")):
        asked = asked._replace(photograph=str(session.folder / asked.photograph))
        with pytest.raises(InputError, match=r"^(photograph|background): the file arrived empty; send it again$"):
            session.fulfill(asked)


def test_messages_name_no_path_of_this_machine(session):
    (session.folder / "text.jpg").write_text("hello")
    whole = (session.folder / "photo.png").read_bytes()
    (session.folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    for name, reason in (("text.jpg", "not an image file"), ("cut.png", "cannot be decoded")):
        with pytest.raises(InputError, match=reason) as caught:
            session.open(str(session.folder / name), "photograph")
        assert str(session.folder) not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (Request(None), "photograph: none is given"),
        (Request("photo.png", "/etc"), "background: choose from"),
        (Request("photo.png", "picture"), "background: none is given"),
        (Request("photo.png", "color", "/etc/hostname"), "not a color"),
        (Request("photo.png", light=2), "light: give 0 to 1"),
        (Request("photo.png", light=float("nan")), "light: give 0 to 1"),
    ],
)
def test_other_requests_are_refused(session, asked, reason):
    if asked.photograph:
        asked = asked._replace(photograph=str(session.folder / asked.photograph))
    with pytest.raises(InputError, match=reason):
        session.fulfill(asked)


def test_networks_that_need_a_trimap_have_no_page(tmp_path):
    with pytest.raises(InputError, match="needy: needs a trimap"):
        Session({"needy": Predictor(Needy(), "cpu", None)}, tmp_path)


@pytest.mark.parametrize(
    ("text", "color"),
    [("#00ff00", (0, 255, 0)), ("rgba(12.6, 300, -4, 0.5)", (13, 255, 0)), ("white", (255, 255, 255))],
)
def test_colors_as_browsers_write_them(text, color):
    assert color_of(text) == color


@pytest.mark.parametrize(
    "text", ["rgba(a, b, c, d)", "rgba(1)", "rgb(nan, 1, 2)", "rgb(inf, 1, 2)", None, 7, "x" * 999]
)
def test_other_texts_are_no_color(text):
    with pytest.raises(InputError, match="not a color"):
        color_of(text)
