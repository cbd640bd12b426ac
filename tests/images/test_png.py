"""16-bit color of PNG in strips: the same as OpenCV's picture decoded at once, for every filter and layout."""

import struct
import zlib
from itertools import pairwise

import cv2
import numpy as np
import pytest

from p3m_lightning.images import read_deep
from p3m_lightning.images.png import deep_pixels
from p3m_lightning.schema import InputError


def picture(channels: int, size: tuple[int, int] = (37, 23)) -> np.ndarray:
    """Random and smooth rows in turn, so that an encoder has reason to use every filter."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 65536, (*size, channels), np.uint16)
    pixels[::2] = (np.arange(size[1]) * 997 % 65536).astype(np.uint16)[None, :, None]
    return pixels


def filtered(pixels: np.ndarray) -> bytes:
    """The rows, with the five filters of the format in turn (PNG specification, section 9)."""
    raw = pixels.astype(">u2").view(np.uint8).reshape(len(pixels), -1).astype(int)
    step, lines = 2 * pixels.shape[2], b""
    for i, row in enumerate(raw):
        up = raw[i - 1] if i else np.zeros_like(row)
        left, corner = (np.concatenate([np.zeros(step, int), line[:-step]]) for line in (row, up))
        estimate = left + up - corner
        distances = [abs(estimate - near) for near in (left, up, corner)]
        paeth = np.where(
            (distances[0] <= distances[1]) & (distances[0] <= distances[2]),
            left,
            np.where(distances[1] <= distances[2], up, corner),
        )
        predicted = [np.zeros_like(row), left, up, (left + up) // 2, paeth][i % 5]
        lines += bytes([i % 5]) + ((row - predicted) % 256).astype(np.uint8).tobytes()
    return lines


def encoded(pixels: np.ndarray, *more: tuple[bytes, bytes], pieces: int = 3) -> bytes:
    height, width, channels = pixels.shape
    data = zlib.compress(filtered(pixels))
    cuts = np.linspace(0, len(data), pieces + 1).astype(int)
    header = struct.pack(">LLBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0)
    parts = [(b"IDAT", data[a:b]) for a, b in pairwise(cuts)]
    content = b"\x89PNG\r\n\x1a\n"
    for kind, body in [(b"IHDR", header), *more, *parts, (b"IEND", b"")]:
        content += struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))
    return content


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("rows", [1, 2, 5, 36, 37, 100])
def test_strips_of_any_height_give_the_picture(monkeypatch, channels, rows):
    pixels = picture(channels)
    monkeypatch.setattr("p3m_lightning.images.png.STRIP_PIXELS", rows * 23)
    assert np.array_equal(deep_pixels(encoded(pixels)), pixels)


def test_a_transparent_color_is_read_as_at_once(monkeypatch):
    pixels = picture(3)
    content = encoded(pixels, (b"tRNS", pixels[20, 5].astype(">u2").tobytes()))
    whole = deep_pixels(content)
    monkeypatch.setattr("p3m_lightning.images.png.STRIP_PIXELS", 4 * 23)
    assert np.array_equal(deep_pixels(content), whole)


def test_files_of_opencv_and_broken_ones(monkeypatch, tmp_path):
    pixels = picture(4, (300, 200))
    cv2.imwrite(str(tmp_path / "a.png"), cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA))
    monkeypatch.setattr("p3m_lightning.images.png.STRIP_PIXELS", 7 * 200)
    assert np.array_equal(read_deep(tmp_path / "a.png").pixels, pixels)
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.png"):
        read_deep(tmp_path / "cut.png")
