"""Image files that appear whole or not at all."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from p3m_lightning.files import atomic_path
from p3m_lightning.schema import InputError


def write_image(path: str | Path, pixels: np.ndarray, **options: Any) -> None:
    """Write pixels to an image file; the whole file appears or none.

    Args:
        path: its suffix chooses the format; the folder is made. Color of 16 bits is for PNG only.
        pixels: uint8 or uint16 (H, W), (H, W, 3) or (H, W, 4), RGB order.
        options: for Pillow's `save`, as `quality` and `icc_profile`.

    Raises:
        InputError: the folder cannot be written, or the suffix names no format.
    """
    try:
        with atomic_path(path) as aside:
            if pixels.dtype == np.uint16 and pixels.ndim == 3:
                aside.write_bytes(_deep_png(pixels, options.get("icc_profile")))
            else:
                aside.write_bytes(_encoded(Image.fromarray(pixels), aside.suffix, options))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: cannot be written ({error})") from None


def _encoded(image: Image.Image, suffix: str, options: dict[str, Any]) -> bytes:
    """Encode in memory: on a full disk Pillow, writing itself, may leave a cut JPEG without an error."""
    Image.init()
    if suffix.lower() not in Image.registered_extensions():
        raise ValueError(f"unknown file extension: {suffix}")
    content = io.BytesIO()
    image.save(content, Image.registered_extensions()[suffix.lower()], **options)
    return content.getvalue()


def _deep_png(pixels: np.ndarray, profile: bytes | None) -> bytes:
    """Encode uint16 (H, W, 3 or 4) RGB as PNG, which Pillow cannot; the color profile goes behind the header chunk."""
    reverse = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    encoded = cv2.imencode(".png", cv2.cvtColor(pixels, reverse))[1].tobytes()
    if not profile:
        return encoded
    body = b"iCCP" + b"profile\0\0" + zlib.compress(profile)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    header = 8 + 25  # signature, IHDR
    return encoded[:header] + chunk + encoded[header:]
