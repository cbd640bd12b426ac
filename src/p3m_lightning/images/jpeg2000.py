"""JPEG 2000 of more than 8 bits, of which Pillow makes black of white: it rounds to 8 bits beyond their range."""

from __future__ import annotations

import struct

import cv2
import numpy as np

from p3m_lightning.images.pixels import strips

MAGIC = (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")  # a file in boxes, a bare codestream

_CODESTREAM = b"\xff\x4f\xff\x51"  # start, and the marker of the sizes
_COUNT = 40  # offset of the number of channels from there (ISO 15444-1, A.5.1)
_SUPPORTED = (1, 3, 4)


def depth(content: bytes) -> int:
    """Return the bits of each channel of a file; 0 if they differ, have signs, or OpenCV does not take so many."""
    begin = content.find(_CODESTREAM)
    if begin < 0 or len(content) < begin + _COUNT + 2:
        return 0
    (count,) = struct.unpack_from(">H", content, begin + _COUNT)
    kinds = set(content[begin + _COUNT + 2 : begin + _COUNT + 2 + 3 * count : 3])
    bits = 1 + kinds.pop() if len(kinds) == 1 else 0
    return bits if count in _SUPPORTED and bits <= 16 else 0


def deep_pixels(content: bytes) -> np.ndarray | None:
    """Decode a complete file of 9 to 16 bits as uint16 (H, W) or (H, W, 3 or 4), RGB order; None if OpenCV cannot."""
    bits = depth(content)
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or bits <= 8:
        return None
    top = (1 << bits) - 1
    full = np.rint(np.minimum(np.arange(65536), top) * (65535 / top)).astype(np.uint16)
    for rows in strips(len(pixels)):
        pixels[rows] = full[pixels[rows]]
        if pixels.ndim == 3:
            pixels[rows, :, :3] = pixels[rows, :, 2::-1].copy()
    return pixels
