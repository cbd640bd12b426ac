"""Rows that a PNG declares and lacks: decoders leave them black, and say nothing."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from PIL import Image

from p3m_lightning.images.png import SIGNATURE

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Channels by the type of color."""

PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Adam7, the interlacing of PNG: first column and row of each pass, and the steps between two."""

_BLOCK = 1 << 20  # bytes that are unpacked at a time


def check_rows(image: Image.Image, stream: BinaryIO) -> None:
    """Refuse a decoded image if its file has fewer rows; they are counted only where the last one is black.

    Raises:
        OSError: rows are missing.
    """
    last = image.crop((0, image.height - 1, image.width, image.height))
    if (image.info.get("interlace") or last.getbbox(alpha_only=False) is None) and not is_complete(stream):
        raise OSError("its data end before its last row")


def is_complete(stream: BinaryIO) -> bool:
    """Tell whether the image data of a PNG fill all its rows.

    Args:
        stream: a PNG that can be decoded, at any position; it is left at another one.
    """
    stream.seek(len(SIGNATURE))
    chunks = _chunks(stream)
    _, header = next(chunks)
    expected, unpacker, found = _expected_bytes(header), zlib.decompressobj(), 0
    for _, content in chunks:
        while content and not unpacker.eof and found < expected:
            found += len(unpacker.decompress(content, _BLOCK))
            content = unpacker.unconsumed_tail
    return found >= expected


def _chunks(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Yield the names and contents of the chunks that hold the size and the pixels."""
    while len(head := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in (b"IHDR", b"IDAT"):
            yield kind, stream.read(length)
            stream.seek(4, 1)
        else:
            stream.seek(length + 4, 1)


def _expected_bytes(header: bytes) -> int:
    """Return the number of bytes that all rows of all passes fill, each with the byte that names its filter."""
    width, height, depth, color, _, _, interlaced = struct.unpack(">IIBBBBB", header[:13])
    bits = depth * CHANNELS[color]
    total = 0
    for left, top, across, down in PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0:
            total += max(0, rows) * (1 + -(-columns * bits // 8))
    return total
