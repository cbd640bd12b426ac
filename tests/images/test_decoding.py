import io
import os
import struct
import subprocess
import sys
import zlib
from contextlib import suppress

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from p3m_lightning.files import atomic_path
from p3m_lightning.images import (
    from_unit,
    list_images,
    read_image,
    read_matte,
    read_trimap,
    rgb_pixels,
    to_uint8,
    to_unit,
    write_image,
)
from p3m_lightning.messages import tell
from p3m_lightning.schema import InputError

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
BROKEN_EXIF = b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"
GREY16 = RNG.integers(0, 65536, (6, 9), dtype=np.uint16)


def saved(path, image, **options):
    image.save(path, **options)
    return path


def test_color_is_read_as_it_is(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(COLOR))
    np.testing.assert_array_equal(read_image(path), COLOR)


@pytest.mark.parametrize("mode", ["L", "1", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "RGBX"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    color = np.full((4, 5, 3), (200, 100, 50), np.uint8)
    image = Image.fromarray(color)
    if mode == "LAB":
        image = ImageCms.profileToProfile(
            image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
    image = image.convert(mode)
    if mode in ("HSV", "PA", "YCbCr"):  # reach the reader through Pillow only
        pixels = rgb_pixels(image)
    else:
        pixels = read_image(saved(tmp_path / ("a.tif" if mode in ("CMYK", "LAB", "RGBX") else "a.png"), image))
    assert pixels.shape == (4, 5, 3)
    assert pixels.dtype == np.uint8
    if mode not in ("L", "LA", "1", "P", "PA"):
        assert np.abs(pixels.astype(int) - color).max() <= 3
    else:  # grey has three equal channels; the palette is Pillow's web palette
        assert mode in ("P", "PA") or (np.ptp(pixels, axis=2) == 0).all()


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(GREY16))
    np.testing.assert_allclose(read_image(path)[..., 1], GREY16 / 257, atol=0.51)


def test_sixteen_bit_color_is_scaled(tmp_path):
    deep = RNG.integers(0, 65536, (6, 9, 3), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), deep[..., ::-1])
    np.testing.assert_allclose(read_image(tmp_path / "a.png"), deep / 257, atol=1)


def test_transparency_is_dropped(tmp_path):
    rgba = np.dstack([COLOR, np.zeros((6, 9), np.uint8)])
    path = saved(tmp_path / "a.png", Image.fromarray(rgba))
    np.testing.assert_array_equal(read_image(path), COLOR)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path, orientation):
    upright = COLOR
    stored = {  # what a camera held that way writes
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a.png", Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    np.testing.assert_array_equal(read_image(path), upright)


def test_one_pixel(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(COLOR[:1, :1]))
    np.testing.assert_array_equal(read_image(path), COLOR[:1, :1])


def test_large_photographs_and_broken_exif_raise_no_warning(tmp_path):
    saved(tmp_path / "large.png", Image.new("1", (10_000, 9_500)))  # beyond Pillow's threshold for a warning
    saved(tmp_path / "exif.jpg", Image.fromarray(COLOR), exif=BROKEN_EXIF)
    script = "from p3m_lightning.images import *; print(read_matte('large.png').shape, read_image('exif.jpg').shape)"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "(9500, 10000) (6, 9, 3)\n"
    assert done.stderr == ""


def bomb() -> bytes:
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("reader", [read_image, read_matte])
@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("text.jpg", b"this is text", "not an image file"),
        ("empty.png", b"", "not an image file"),
        ("half.jpg", encoded("JPEG")[:-900], "truncated"),
        ("half.png", encoded("PNG")[:-900], "cannot be decoded"),
        ("head.png", encoded("PNG")[:30], "cannot be decoded|not an image file"),
        ("half.tif", encoded("TIFF")[:-9000], "cannot be decoded|not an image file"),
        ("bomb.png", bomb(), "more than 128 megapixels"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_broken_files_are_refused_by_name(tmp_path, reader, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=reason) as refused:
        reader(tmp_path / name)
    assert name in str(refused.value)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=r"gone\.png: no such file"):
        read_image(tmp_path / "gone.png")


def test_any_bytes_are_an_image_or_refused(tmp_path):
    """Flip bytes of good files: the readers return pixels or raise InputError, nothing else."""
    for kind, suffix in (("JPEG", ".jpg"), ("PNG", ".png"), ("TIFF", ".tif"), ("WEBP", ".webp"), ("BMP", ".bmp")):
        good = encoded(kind)
        for _ in range(60):
            broken = bytearray(good)
            for position in RNG.integers(0, min(len(good), 400), 3):
                broken[position] = RNG.integers(256)
            path = tmp_path / f"a{suffix}"
            path.write_bytes(broken)
            for reader in (read_image, read_matte):
                with suppress(InputError):
                    assert reader(path).ndim >= 2


@pytest.mark.parametrize("channels", ["L", "RGB", "LA", "RGBA", "P"])
def test_mattes_of_every_make_read_the_same(tmp_path, channels):
    matte = GREY16.astype(np.uint8)
    path = tmp_path / "a.png"
    images = {
        "L": Image.fromarray(matte),
        "RGB": Image.fromarray(np.dstack([matte] * 3)),
        "LA": Image.merge("LA", [Image.new("L", (9, 6), 255), Image.fromarray(matte)]),
        "RGBA": Image.fromarray(np.dstack([COLOR, matte])),
        "P": Image.fromarray(matte).convert("P", palette=Image.Palette.WEB, colors=256),
    }
    np.testing.assert_array_equal(read_matte(saved(path, images[channels])), matte)


def test_an_opaque_cutout_as_matte_is_its_first_channel(tmp_path):
    rgba = np.dstack([COLOR, np.full((6, 9), 255, np.uint8)])
    np.testing.assert_array_equal(read_matte(saved(tmp_path / "a.png", Image.fromarray(rgba))), COLOR[..., 0])


def test_sixteen_bit_mattes_stay_sixteen_bit(tmp_path):
    path = saved(tmp_path / "a.png", Image.fromarray(GREY16))
    assert read_matte(path).dtype == np.uint16
    np.testing.assert_array_equal(read_matte(path), GREY16)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_unit_range_and_back(dtype):
    codes = np.arange(np.iinfo(dtype).max + 1).astype(dtype)
    unit = to_unit(codes)
    assert unit.dtype == np.float32
    assert (unit.min(), unit.max()) == (0, 1)
    np.testing.assert_array_equal(from_unit(unit, dtype), codes)
    np.testing.assert_array_equal(to_uint8(codes), np.rint(unit * 255))


def test_unit_range_leaves_its_input_alone():
    pixels = COLOR.copy()
    to_unit(pixels)
    np.testing.assert_array_equal(pixels, COLOR)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(6, 9), (6, 9, 3), (6, 9, 4)])
def test_written_pixels_come_back_with_their_profile(tmp_path, dtype, shape):
    pixels = RNG.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    write_image(tmp_path / "new" / "a.png", pixels, icc_profile=profile)
    back = cv2.imread(str(tmp_path / "new" / "a.png"), cv2.IMREAD_UNCHANGED)
    if len(shape) == 3:
        back = back[..., [2, 1, 0, 3][: shape[2]]]
    np.testing.assert_array_equal(back, pixels)
    with Image.open(tmp_path / "new" / "a.png") as image:
        image.load()  # checks the sums of all chunks
        assert image.info["icc_profile"] == profile


def test_an_unknown_suffix_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match=r"a\.xyz: cannot be written"):
        write_image(tmp_path / "a.xyz", COLOR)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def interrupted():
        with atomic_path(path) as aside:
            aside.write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_written_files_have_the_usual_permissions(tmp_path):
    (tmp_path / "plain").write_text("")
    write_image(tmp_path / "a.png", COLOR)
    assert os.stat(tmp_path / "a.png").st_mode == os.stat(tmp_path / "plain").st_mode


def test_folders_are_listed_by_name_without_what_is_no_image(tmp_path):
    for name in ("b.PNG", "a.jpg", ".hidden.png", "note.txt", "c.jpeg"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [p.name for p in list_images(tmp_path)] == ["a.jpg", "b.PNG", "c.jpeg"]


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(InputError, match="no images"):
        list_images(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        list_images(tmp_path / "gone")


def hollow_png(side: int) -> bytes:
    """Return a PNG of `side` x `side` grey pixels of which there are none."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("reader", [read_image, read_matte, read_trimap])
def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, monkeypatch, reader):
    (tmp_path / "large.png").write_bytes(hollow_png(12_000))
    with pytest.raises(
        InputError, match=r"12000 x 12000 pixels is more than 128 megapixels; --max-megapixels N allows"
    ):
        reader(tmp_path / "large.png")
    monkeypatch.setenv("P3M_MAX_MEGAPIXELS", "0.01")
    with pytest.raises(InputError, match=r"more than 0\.01 megapixels"):
        reader(saved(tmp_path / "a.png", Image.new("L", (101, 100))))


@pytest.mark.parametrize("text", ["none", "0", "-3", "inf"])
def test_a_limit_that_is_none_is_refused(tmp_path, monkeypatch, text):
    monkeypatch.setenv("P3M_MAX_MEGAPIXELS", text)
    with pytest.raises(InputError, match=f"P3M_MAX_MEGAPIXELS={text}: give a number"):
        read_image(saved(tmp_path / "a.png", Image.new("L", (4, 4))))


def test_pipes_and_devices_are_refused(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png: cannot be read \(not a file\)"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_read_with_a_word(tmp_path, caplog, kind):
    tell.cache_clear()
    frames = [Image.new("RGB", (8, 8), color) for color in ((200, 0, 0), (0, 200, 0))]
    frames[0].save(tmp_path / "a", kind, save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "a")[0, 0, 0] > 150
    assert "a: an animation of 2 frames; the first one is read" in caplog.text


def test_heic_without_its_decoder_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99))
    with pytest.raises(InputError, match=r"a\.heic: a HEIC photograph.*\[heic\].*or save it as JPEG"):
        read_image(tmp_path / "a.heic")


@pytest.mark.parametrize(("content", "what"), [(b"%PDF-1.7 ", "a PDF"), (b"<html>", "HTML"), (b"version https", "LFS")])
def test_what_people_take_for_images_is_named(tmp_path, content, what):
    (tmp_path / "a.jpg").write_bytes(content + bytes(99))
    with pytest.raises(InputError, match=f"not an image file but .*{what}"):
        read_image(tmp_path / "a.jpg")
