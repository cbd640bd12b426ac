import asyncio
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from p3m_lightning import Predictor
from p3m_lightning.cli import main
from p3m_lightning.images import write_image
from p3m_lightning.schema import InputError, MattingOutput
from p3m_lightning.web.guard import FILE, MESSAGES, MOST_JSON, Guard
from p3m_lightning.web.session import Limits, Studio, Wish, color_of

torch.set_num_threads(2)
JOIN = MESSAGES[0]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Bright(nn.Module):
    """What is bright is foreground."""

    needs_trimap = False

    def forward(self, images):
        return MattingOutput(images.mean(1, keepdim=True))


class Dark(Bright):
    """The other half."""

    def forward(self, images):
        return MattingOutput(1 - images.mean(1, keepdim=True))


class Needy(Bright):
    """A network that takes a trimap."""

    needs_trimap = True


def predictors():
    return {"bright": Predictor(Bright(), "cpu", "native"), "dark": Predictor(Dark(), "cpu", "native")}


def scene(dtype=np.uint8):
    """A white disk on black, (60, 80, 3)."""
    rows, columns = np.mgrid[:60, :80]
    disk = (rows - 30) ** 2 + (columns - 40) ** 2 < 400
    return np.repeat(disk[..., None], 3, axis=2).astype(dtype) * np.iinfo(dtype).max


@pytest.fixture
def studio(tmp_path):
    folder = tmp_path / "folder"
    write_image(folder / "photo.png", scene())
    write_image(folder / "green.png", np.uint8(np.full((10, 10, 3), (0, 255, 0))))
    return Studio(predictors(), folder)


def pixels_of(path):
    return np.asarray(Image.open(path))


def test_a_wish_gives_matte_cutout_composite_and_the_other_networks_matte(studio):
    photo = str(studio.folder / "photo.png")
    result = studio.fulfill(Wish(photo, "color", "rgba(255.0, 0, 0, 1)"))
    disk = scene()[..., 0]
    np.testing.assert_array_equal(pixels_of(result.matte), disk)
    np.testing.assert_array_equal(pixels_of(result.other), 255 - disk)
    np.testing.assert_array_equal(pixels_of(result.cutout)[..., 3], disk)
    assert not pixels_of(result.cutout)[disk == 0].any()
    assert (pixels_of(result.composite)[disk == 0] == (255, 0, 0)).all()
    behind = studio.fulfill(Wish(photo, "picture", picture=str(studio.folder / "green.png"))).composite
    assert (pixels_of(behind)[disk == 0] == (0, 255, 0)).all()
    assert pixels_of(studio.fulfill(Wish(photo, "blur")).composite).shape == (60, 80, 3)


def test_one_network_has_nothing_to_compare_and_depth_is_kept(tmp_path):
    write_image(tmp_path / "deep.png", scene(np.uint16))
    studio = Studio({"bright": Predictor(Bright(), "cpu", "native")}, tmp_path)
    result = studio.fulfill(Wish(tmp_path / "deep.png"))
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
def test_no_path_and_no_address_of_a_visitor_is_opened(studio, upload):
    write_image(studio.folder.parent / "outside.png", scene())
    with pytest.raises(InputError, match="photograph: not an uploaded file"):
        studio.open(upload, "photograph")


def test_a_link_out_of_the_folder_is_not_followed(studio):
    write_image(studio.folder.parent / "outside.png", scene())
    (studio.folder / "link.png").symlink_to(studio.folder.parent / "outside.png")
    with pytest.raises(InputError, match="not an uploaded file"):
        studio.open(str(studio.folder / "link.png"), "photograph")


def test_what_is_too_large_is_refused_before_it_is_decoded(studio, monkeypatch):
    photo = str(studio.folder / "photo.png")
    small = Studio(predictors(), studio.folder, Limits(megapixels=0.004))
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    with pytest.raises(InputError, match=r"photograph: has more than 0\.004 megapixels"):
        small.open(photo, "photograph")
    with pytest.raises(InputError, match=r"larger than 1e-05 MB"):
        Studio(predictors(), studio.folder, Limits(megabytes=1e-5)).open(photo, "photograph")


def test_messages_name_no_path_of_this_machine(studio):
    (studio.folder / "text.jpg").write_text("hello")
    whole = (studio.folder / "photo.png").read_bytes()
    (studio.folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    for name, reason in (("text.jpg", "not an image file"), ("cut.png", "cannot be decoded")):
        with pytest.raises(InputError, match=reason) as caught:
            studio.open(str(studio.folder / name), "photograph")
        assert str(studio.folder) not in str(caught.value)


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        (Wish(None), "photograph: none is given"),
        (Wish("photo.png", "/etc"), "background: choose from"),
        (Wish("photo.png", "picture"), "background: none is given"),
        (Wish("photo.png", "color", "/etc/hostname"), "not a color"),
        (Wish("photo.png", light=2), "light: give 0 to 1"),
        (Wish("photo.png", light=float("nan")), "light: give 0 to 1"),
    ],
)
def test_other_wishes_are_refused(studio, wish, reason):
    if wish.photograph:
        wish = wish._replace(photograph=str(studio.folder / wish.photograph))
    with pytest.raises(InputError, match=reason):
        studio.fulfill(wish)


def test_networks_that_need_a_trimap_have_no_page(tmp_path):
    with pytest.raises(InputError, match="needy: needs a trimap"):
        Studio({"needy": Predictor(Needy(), "cpu", None)}, tmp_path)


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


def ask(folder, method, path, body=b"", host=b"127.0.0.1:7860"):
    """Send one request through a guard; return the status and the body that arrived behind it."""
    arrived, sent = [], []

    async def app(scope, receive, send):
        arrived.append((await receive()).get("body"))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [(b"host", host)]}
    asyncio.run(Guard(app, folder)(scope, receive, send))
    return sent[0]["status"], arrived


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/assets/index.js", 200),
        ("POST", "/gradio_api/upload", 200),
        ("GET", f"{FILE}https://example.com/a.png", 404),
        ("GET", f"{FILE}/etc/hostname", 404),
        ("GET", f"{FILE}a%00b", 404),
        ("GET", "/gradio_api/proxy=https://example.com", 404),
        ("GET", "/gradio_api/info", 404),
        ("POST", "/gradio_api/run/make", 404),
        ("POST", "/gradio_api/call/make", 404),
        ("DELETE", "/", 404),
    ],
)
def test_only_what_the_page_asks_for_exists(tmp_path, method, path, status):
    assert ask(tmp_path, method, path)[0] == status


def test_files_are_served_from_the_folder_only(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("folder/a b.png", "outside.png"):
        (tmp_path / name).touch()
    folder = tmp_path / "folder"
    assert ask(folder, "GET", f"{FILE}{folder}/a b.png")[0] == 200
    assert ask(folder, "GET", f"{FILE}{folder}/a%20b.png")[0] == 200
    for path in (f"{folder}/../outside.png", f"{folder}/%2e%2e/outside.png", f"{folder}", f"{folder}/none.png"):
        assert ask(folder, "GET", FILE + path)[0] == 404


def test_another_name_for_this_machine_is_refused(tmp_path):
    assert ask(tmp_path, "GET", "/", host=b"evil.example:7860")[0] == 403
    assert ask(tmp_path, "GET", "/", host=b"localhost:7860")[0] == 200


@pytest.mark.parametrize("address", [*MESSAGES, f"{JOIN}/"])
def test_a_message_names_uploaded_files_only(tmp_path, address):
    (tmp_path / "a.png").touch()
    good = {"data": [{"path": f"{tmp_path}/a.png", "url": f"http://127.0.0.1:7860{FILE}{tmp_path}/a.png"}, "color", 0]}
    body = json.dumps(good).encode()
    assert ask(tmp_path, "POST", address, body) == (200, [body])
    bad = [
        {"path": "/etc/hostname"},
        {"path": "https://example.com/a.png"},
        {"path": f"{tmp_path}/a.png", "url": "https://example.com/a.png"},
        {"path": f"{tmp_path}/a.png", "url": "http://127.0.0.1:7860@example.com/gradio_api/file=a.png"},
        {"url": "data:image/png;base64,AAAA"},
        {"path": ["a"]},
        {"nested": [{"deep": {"path": "/etc/hostname"}}]},
    ]
    for part in bad:
        assert ask(tmp_path, "POST", address, json.dumps({"data": [part]}).encode()) == (400, [])
    assert ask(tmp_path, "POST", address, b"no json") == (400, [])
    assert ask(tmp_path, "POST", address, b"[" * 100_000)[0] == 400
    assert ask(tmp_path, "POST", address, b" " * (MOST_JSON + 1)) == (413, [])


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    pytest.importorskip("gradio")
    from p3m_lightning.web import serve

    with serve(predictors(), limits=Limits(megabytes=1, megapixels=4)) as address:
        yield address.rstrip("/")


@pytest.fixture(scope="module")
def client(served):
    httpx = pytest.importorskip("httpx")
    with httpx.Client(base_url=served, trust_env=False) as client:
        yield client


def encoded(pixels):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def test_the_server_takes_uploads_and_opens_nothing_else(client):
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    uploaded = client.post("/gradio_api/upload", files={"files": ("a.png", encoded(scene()))}).json()
    assert client.get(f"{FILE}{uploaded[0]}").content == encoded(scene())
    assert client.post("/gradio_api/upload", files={"files": ("b.png", bytes(1_100_000))}).status_code == 413
    for path in ("/etc/hostname", "https://example.com/a.png"):
        wish = {"data": [{"path": path}, "color", "#ffffff", None, 0], "fn_index": 0, "session_hash": "x"}
        assert client.post(JOIN, json=wish).status_code == 400
        assert client.get(FILE + path).status_code == 404


def test_uploads_are_gone_when_the_page_ends():
    pytest.importorskip("gradio")
    from p3m_lightning.web import serve
    from p3m_lightning.web.server import render_examples

    folders = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("p3m_lightning.web.server.render_examples", lambda f: folders.add(f.parent) or _one_example(f))
        with serve(predictors()):
            assert next(iter(folders)).is_dir()
    assert not next(iter(folders)).exists()
    assert callable(render_examples)


def _one_example(folder):
    write_image(folder / "a.png", scene())
    return [folder / "a.png"]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*quiet, *camera])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, served):
    page = browser.new_page(viewport={"width": 1280, "height": 1400})
    page.set_default_timeout(120_000)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(served)
    page.locator("#start").wait_for()
    yield page
    page.close()
    assert [url for url in asked if not url.startswith((f"{served}/", "data:", "blob:"))] == []


def uploaded(page, name="photograph"):
    """Wait until the server has the picture, not only the browser."""
    page.locator(f"#{name} img[src*='/gradio_api/file=']").wait_for(state="attached")


def shown(page, name):
    """Wait for a picture and fetch it as the browser does."""
    address = page.locator(f"#{name} img").first.get_attribute("src")
    return np.asarray(Image.open(io.BytesIO(page.request.get(address).body())))


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either --ckpt"),
        (["--ckpt", "gone.ckpt"], "gone.ckpt: no such file"),
        (["--ckpt", "gone.ckpt", "--port", "99999"], "--port 99999"),
        (["--ckpt", "gone.ckpt", "--megapixels", "0"], "--megapixels 0"),
    ],
)
def test_wrong_calls_are_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert list(Path().iterdir()) == []
