"""What a predictor is given: a photograph from a file, bytes, Pillow or numpy, with bit depth, profile and alpha."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from p3m_lightning.images import open_image, read_deep, rgb_pixels, upright
from p3m_lightning.schema import InputError

Source = str | Path | bytes | Image.Image | np.ndarray
"""Anything `read_photo` takes."""


class Photo(NamedTuple):
    """Upright RGB pixels, the color profile they are meant in, and the photograph's own alpha."""

    pixels: np.ndarray  # uint8 or uint16 (H, W, 3)
    profile: bytes | None = None  # ICC, None for sRGB
    alpha: np.ndarray | None = None  # (H, W) of the pixels' dtype; None where the photograph is opaque everywhere


def read_photo(source: Source) -> Photo:
    """Read a photograph; 16 bits a channel stay 16 bits, otherwise as `images.read_image`.

    Args:
        source: path, the bytes of an image file, Pillow image, or uint8 / uint16 array (H, W), (H, W, 3) or (H, W, 4).

    Raises:
        InputError: not a whole image; the message names the file.
    """
    if isinstance(source, np.ndarray):
        return Photo(_rgb_array(source), alpha=_alpha_of(source))
    if isinstance(source, Image.Image):
        return _from_pillow(source)
    if isinstance(source, bytes | bytearray):
        if not source:
            raise InputError("image bytes: the file is empty")
        return _from_file(io.BytesIO(source), "image bytes")
    return _from_file(Path(source), str(source))


def _from_file(source: Path | BinaryIO, name: str) -> Photo:
    deep = read_deep(source, name)
    if deep is not None:
        return Photo(_rgb_array(deep.pixels), _rgb_profile(deep.profile), _alpha_of(deep.pixels))
    with open_image(source, name) as image:
        return _from_pillow(image)


def _from_pillow(image: Image.Image) -> Photo:
    alpha = None
    if image.has_transparency_data:
        alpha = _unless_opaque(np.asarray(upright(image).convert("RGBA").getchannel("A")))
    if image.mode in ("I;16", "I;16B", "I;16L"):
        return Photo(_rgb_array(np.asarray(upright(image)).astype(np.uint16)), None)
    return Photo(rgb_pixels(image), _rgb_profile(image.info.get("icc_profile")), alpha)


def _alpha_of(pixels: np.ndarray) -> np.ndarray | None:
    return _unless_opaque(pixels[..., 3]) if pixels.ndim == 3 and pixels.shape[2] == 4 else None


def _unless_opaque(alpha: np.ndarray) -> np.ndarray | None:
    return None if (alpha == np.iinfo(alpha.dtype).max).all() else alpha


def _rgb_profile(profile: bytes | None) -> bytes | None:
    """Return the ICC profile if it describes RGB; that of a CMYK or grey file ends with the conversion."""
    return profile if profile and profile[16:20] == b"RGB " else None


def _rgb_array(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise InputError(f"image array: {pixels.dtype} {pixels.shape}; give uint8 or uint16 RGB pixels (H, W, 3)")
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
    if pixels.shape[2] not in (3, 4):
        raise InputError(f"image array: {pixels.shape[2]} channels; give uint8 or uint16 RGB pixels (H, W, 3)")
    return pixels[..., :3]
