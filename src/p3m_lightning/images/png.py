"""PNG color of 16 bits, which Pillow rounds to 8: decoded in strips, as OpenCV holds a whole picture twice."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np

from p3m_lightning.images.pixels import strips

SIGNATURE = b"\x89PNG\r\n\x1a\n"
STRIP_PIXELS = 4_000_000  # a strip of these takes 32 MB

_PIECE = 16 << 10  # compressed bytes at once, which unpack to 16 MB at most
_RGB, _RGBA = 2, 6  # color types


def is_deep(head: bytes) -> bool:
    """Return whether a file that begins with `head` (32 bytes) is a PNG of 16-bit color."""
    return head[:8] == SIGNATURE and len(head) > 25 and head[24] == 16 and head[25] in (_RGB, _RGBA)


def deep_pixels(content: bytes) -> np.ndarray | None:
    """Decode a complete file of 16-bit color as uint16 (H, W, 3 or 4), RGB order; None if OpenCV cannot.

    Args:
        content: the file; what it lacks must have been found out before, as OpenCV returns half an image.
    """
    width, height, *_, interlaced = struct.unpack(">LLBBBBB", content[16:29])
    rows = max(1, STRIP_PIXELS // max(width, 1))
    if interlaced or rows >= height:  # the rows of an interlaced file come in seven passes
        return _decoded(content)
    pixels, end = None, 0
    for top, strip in _strips(content, rows):
        if strip is None:
            return None
        if pixels is None:
            pixels = np.empty((height, *strip.shape[1:]), np.uint16)
        end = top + len(strip)
        pixels[top:end] = strip
    return pixels if end == height else None  # never uninitialized rows


def _strips(content: bytes, rows: int) -> Iterator[tuple[int, np.ndarray | None]]:
    """Yield strips with the number of their first row, each decoded as a picture of its own.

    A row is stored as its difference from the one above; so every picture begins with the last row of the one before.
    """
    header, extra = content[16:29], b"".join(_chunk(b"tRNS", data) for data in _chunks(content, b"tRNS"))
    width, height = struct.unpack(">LL", header[:8])
    channels = 4 if header[9] == _RGBA else 3
    length = 1 + 2 * channels * width
    top, above = 0, b""
    for lines in _lines(content, rows * length):
        count = min(len(lines) // length, height - top)
        if count < 1:
            return
        data = zlib.compress(above + lines[: count * length], 0)
        size = struct.pack(">LL", width, count + bool(above))
        alone = _chunk(b"IHDR", size + header[8:]) + extra + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
        strip = _decoded(SIGNATURE + alone)
        if strip is None:
            yield top, None
            return
        yield top, strip[1:] if above else strip
        above = b"\0" + strip[-1, :, :channels].astype(">u2").tobytes()
        top += count


def _lines(content: bytes, size: int) -> Iterator[bytes]:
    """Unpack the rows, `size` bytes at a time; the last may be fewer."""
    unpack, waiting = zlib.decompressobj(), bytearray()
    for data in _chunks(content, b"IDAT"):
        for begin in range(0, len(data), _PIECE):
            waiting += unpack.decompress(data[begin : begin + _PIECE])
            while len(waiting) >= size:
                yield bytes(waiting[:size])
                del waiting[:size]
    yield bytes(waiting)


def _chunks(content: bytes, wanted: bytes) -> Iterator[memoryview]:
    at, whole = len(SIGNATURE), memoryview(content)
    while at + 12 <= len(content):
        length, kind = struct.unpack_from(">L4s", content, at)
        if kind == wanted:
            yield whole[at + 8 : at + 8 + length]
        at += 12 + length


def _chunk(kind: bytes, data: bytes | memoryview) -> bytes:
    body = kind + data
    return struct.pack(">L", len(data)) + body + struct.pack(">L", zlib.crc32(body))


def _decoded(content: bytes) -> np.ndarray | None:
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        return None
    for rows in strips(len(pixels)):  # BGR to RGB in place
        pixels[rows, :, :3] = pixels[rows, :, 2::-1].copy()
    return pixels
