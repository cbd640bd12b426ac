"""What a predictor is given: a photograph from a file, bytes, Pillow or numpy, with its bit depth and color profile."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from p3m_lightning.images import open_image, rgb_pixels, upright
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
        return _from_encoded(bytes(source), "image bytes")
    path = Path(source)
    try:
        return _from_encoded(path.read_bytes(), str(source))
    except FileNotFoundError:
        raise InputError(f"{source}: no such file") from None
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror})") from None


def _from_encoded(encoded: bytes, name: str) -> Photo:
    if not encoded:
        raise InputError(f"{name}: the file is empty")
    with open_image(io.BytesIO(encoded), name) as image:
        if not _has_deep_color(encoded, image):
            return _from_pillow(image)
        pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.dtype != np.uint16:
            return _from_pillow(image)
        if pixels.ndim == 3:
            pixels = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB)
        turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
        pixels = np.ascontiguousarray(turn(pixels)) if turn else pixels
        return Photo(_rgb_array(pixels), _rgb_profile(image), _alpha_of(pixels))


def _from_pillow(image: Image.Image) -> Photo:
    alpha = None
    if image.has_transparency_data:
        alpha = _unless_opaque(np.asarray(upright(image).convert("RGBA").getchannel("A")))
    return Photo(rgb_pixels(image), _rgb_profile(image), alpha)


def _alpha_of(pixels: np.ndarray) -> np.ndarray | None:
    return _unless_opaque(pixels[..., 3]) if pixels.ndim == 3 and pixels.shape[2] == 4 else None


def _unless_opaque(alpha: np.ndarray) -> np.ndarray | None:
    return None if (alpha == np.iinfo(alpha.dtype).max).all() else alpha


def _has_deep_color(encoded: bytes, image: Image.Image) -> bool:
    """Tell whether a file holds 16 bits a channel, which Pillow keeps for grey only."""
    if image.format == "PNG":
        return encoded[24] == 16  # bit depth, in the header chunk
    if image.format == "TIFF":
        return set(image.tag_v2.get(_BITS_PER_SAMPLE, ())) == {16}
    return False


def _rgb_profile(image: Image.Image) -> bytes | None:
    """Return the ICC profile if it describes RGB; that of a CMYK or grey file ends with the conversion."""
    profile = image.info.get("icc_profile")
    return profile if profile and profile[16:20] == b"RGB " else None


def _rgb_array(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise InputError(f"image array: {pixels.dtype} {pixels.shape}; give uint8 or uint16 RGB pixels (H, W, 3)")
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
    if pixels.shape[2] not in (3, 4):
        raise InputError(f"image array: {pixels.shape[2]} channels; give uint8 or uint16 RGB pixels (H, W, 3)")
    return pixels[..., :3]


_ORIENTATION, _BITS_PER_SAMPLE = 0x0112, 0x0102  # EXIF and TIFF tags

_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}
"""What makes each EXIF orientation upright."""
