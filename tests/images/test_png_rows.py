"""A PNG whose image data end early is refused, though decoders show black where rows are missing."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from p3m_lightning.images import png_rows, read_image
from p3m_lightning.schema import InputError

KINDS = [(0, 1), (0, 8), (0, 16), (2, 8), (2, 16), (3, 4), (4, 8), (4, 16), (6, 8), (6, 16)]
"""Type of color, bits."""

PATTERN = ["16462646", "77777777", "56565656", "77777777", "36463646", "77777777", "56565656", "77777777"]
"""The pass of Adam7 that brings each pixel, from the figure in the specification of PNG."""


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def write_png(color: int, depth: int, size: tuple[int, int], rows: list[bytes], interlaced=0, pieces=1) -> bytes:
    width, height = size
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    step = -(-len(packed) // pieces)
    data = b"".join(chunk(b"IDAT", packed[start : start + step]) for start in range(0, len(packed), step))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced))
    palette = chunk(b"PLTE", bytes(48)) if color == 3 else b""
    return png_rows.SIGNATURE + header + palette + chunk(b"tEXt", b"a\0b") + data + chunk(b"IEND", b"")


def rows_of(color: int, depth: int, size: tuple[int, int], passes: str = "") -> list[bytes]:
    """Return rows of ones, all of them or those of each pass."""
    bits, (width, height) = depth * png_rows.CHANNELS[color], size
    if not passes:
        return [bytes([1] * -(-width * bits // 8))] * height
    rows = []
    for number in passes:
        counts = [sum(PATTERN[y % 8][x % 8] == number for x in range(width)) for y in range(height)]
        rows += [bytes([1] * -(-count * bits // 8)) for count in counts if count]
    return rows


@pytest.mark.parametrize("size", [(9, 7), (1, 1), (4, 5), (17, 3)], ids=str)
@pytest.mark.parametrize("passes", ["", "1234567"], ids=["rows", "passes"])
@pytest.mark.parametrize(("color", "depth"), KINDS)
def test_a_file_with_all_its_rows_is_complete_and_one_without_the_last_is_not(color, depth, passes, size):
    rows = rows_of(color, depth, size, passes)
    whole, short = (write_png(color, depth, size, given, bool(passes), 3) for given in (rows, rows[:-1]))
    assert np.asarray(Image.open(io.BytesIO(whole))).shape[1::-1] == size  # a file that others read too
    assert png_rows.is_complete(io.BytesIO(whole))
    assert not png_rows.is_complete(io.BytesIO(short))


@pytest.mark.parametrize("kept", [0, 1, 4])
@pytest.mark.parametrize(("color", "depth"), KINDS)
def test_an_image_whose_data_end_early_is_refused(color, depth, kept, tmp_path):
    rows = rows_of(color, depth, (6, 5))
    (tmp_path / "a.png").write_bytes(write_png(color, depth, (6, 5), rows[:kept]))
    with pytest.raises(InputError, match=r"a.png: cannot be decoded \("):
        read_image(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(write_png(color, depth, (6, 5), rows))
    assert read_image(tmp_path / "a.png").shape == (5, 6, 3)


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 3), (5, 6, 4)])
def test_a_black_image_is_read(shape, tmp_path):
    Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.zeros((5, 6, 3)))


def test_no_more_is_unpacked_than_the_rows_take():
    packed = zlib.compress(bytes(10**7))
    header = struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0)
    assert png_rows.is_complete(io.BytesIO(png_rows.SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", packed)))
