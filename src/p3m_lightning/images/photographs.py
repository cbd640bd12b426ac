"""Photographs in files and arrays: read from any source, upright and in RGB, and written atomically."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageOps

from p3m_lightning.files import atomic_path
from p3m_lightning.images.decoding import open_image, read_deep
from p3m_lightning.images.pixels import EXIF_ORIENTATION, to_uint8
from p3m_lightning.schema import InputError

Source = str | Path | bytes | Image.Image | np.ndarray
"""Anything that `read_photo` accepts."""


class Photo(NamedTuple):
    """Upright RGB pixels, their color profile, and the photograph's own alpha."""

    pixels: np.ndarray  # uint8 or uint16 (H, W, 3)
    profile: bytes | None = None  # ICC, None for sRGB
    alpha: np.ndarray | None = None  # (H, W), dtype of the pixels; None if the photograph is opaque everywhere


def read_photo(source: Source) -> Photo:
    """Read a photograph as `images.read_image` does, but keep 16 bits per channel.

    Args:
        source: path, the bytes of an image file, Pillow image, or uint8 / uint16 array (H, W), (H, W, 3) or (H, W, 4).

    Raises:
        InputError: not a complete image; the message names the file.
    """
    if isinstance(source, np.ndarray):
        kept = source.copy()  # the caller may fill its array anew, with the next frame
        return Photo(_rgb_array(kept), alpha=_alpha_of(kept))
    if isinstance(source, Image.Image):
        return _from_pillow(source)
    if isinstance(source, bytes | bytearray):
        if not source:
            raise InputError("image bytes: the file is empty")
        return _from_file(io.BytesIO(source), "image bytes")
    if not isinstance(source, str | os.PathLike) or not str(source):
        told = "an empty name" if isinstance(source, str) else f"a {type(source).__name__}"
        raise InputError(f"image: {told}; give a path, bytes of a file, a Pillow image or a uint8 / uint16 array")
    return _from_file(Path(source), str(source))


def read_image(path: str | Path) -> np.ndarray:
    """Read a photograph as uint8 RGB (H, W, 3).

    EXIF rotation is applied, gray expanded to RGB, CMYK and LAB converted, 16 bits rounded to 8, transparency dropped.
    Floats, which TIFF may hold, must lie in [0, 1].

    Raises:
        InputError: not a complete image file; the message names it.
    """
    with open_image(path) as image:
        return rgb_pixels(image)


def write_image(path: str | Path, pixels: np.ndarray, **options: Any) -> None:
    """Write pixels to an image file, atomically.

    Args:
        path: its suffix chooses the format; the folder is created if missing. Color of 16 bits needs PNG.
        pixels: uint8 or uint16 (H, W), (H, W, 3) or (H, W, 4), RGB order.
        options: for Pillow's `save`, such as `quality` and `icc_profile`.

    Raises:
        InputError: other pixels, the folder cannot be written, or the suffix names no format that holds them.
    """
    deep = pixels.dtype == np.uint16 and pixels.ndim == 3
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path}: pixels of {pixels.dtype}; give uint8 or uint16, as images.from_unit makes of floats")
    if deep and Path(path).suffix.lower() != ".png":
        raise InputError(f"{path}: color of 16 bits is written as PNG only; choose another suffix, or uint8")
    try:
        with atomic_path(path) as aside:
            if deep:
                aside.write_bytes(_deep_png(pixels, options.get("icc_profile")))
            else:
                aside.write_bytes(_encoded(Image.fromarray(pixels), aside.suffix, options))
    except InputError:
        raise
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: cannot be written ({error})") from None


def rgb_pixels(image: Image.Image) -> np.ndarray:
    """Return uint8 RGB (H, W, 3) of a Pillow image: upright, gray expanded, CMYK and LAB converted, no transparency."""
    image = upright(image)
    if image.mode == "F":
        raise InputError("image: floats of unknown range; give 8 or 16 bits")
    if image.mode.startswith("I"):  # 16-bit gray: Pillow would clip it instead of scaling
        grey = to_uint8(grey_codes(image))
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("CMYK", "LAB"):
        image = _through_profile(image)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def grey_codes(image: Image.Image) -> np.ndarray:
    """Return 16-bit gray, which Pillow keeps in several modes, as uint16 (H, W).

    Raises:
        InputError: values beyond 16 bits.
    """
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise InputError(f"image: gray from {values.min()} to {values.max()}; give 8 or 16 bits")
    if image.mode == "I" and 1 < values.max() <= 255:
        raise InputError(f"image: gray of 32 bits that ends at {values.max()}; convert('L') makes it 8 bits")
    return values.astype(np.uint16)


def is_upright(image: Image.Image) -> bool:
    """Return whether EXIF asks for no rotation; a broken block counts as none."""
    try:
        return image.getexif().get(EXIF_ORIENTATION, 1) == 1
    except Exception:  # a broken block can make Pillow raise anything
        return True


def upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF rotation; an image with a broken EXIF block is not rotated."""
    try:
        return image if is_upright(image) else ImageOps.exif_transpose(image)
    except Exception:  # an invalid value of the tag
        return image


def _through_profile(image: Image.Image) -> Image.Image:
    """Convert CMYK or LAB to sRGB by the embedded profile (LAB needs none); without one, by Pillow's simple formula."""
    if image.mode == "CMYK" and "icc_profile" not in image.info:
        return image
    try:
        profile = (
            ImageCms.createProfile("LAB")
            if image.mode == "LAB"
            else ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        )
        converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):  # a broken profile is no reason to refuse the photograph
        return image
    return converted or image


def _from_file(source: Path | BinaryIO, name: str) -> Photo:
    deep = read_deep(source, name)
    if deep is not None:
        return Photo(_rgb_array(deep.pixels), _rgb_profile(deep.profile), _alpha_of(deep.pixels))
    with open_image(source, name) as image:
        return _from_pillow(image)


def _from_pillow(image: Image.Image) -> Photo:
    alpha = None
    if image.mode in ("I;16", "I;16B", "I;16L"):
        codes = np.asarray(upright(image)).astype(np.uint16)
        key = image.info.get("transparency")  # the transparent gray; Pillow would look for it in 8 bits
        alpha = None if key is None else _unless_opaque(np.where(codes == key, 0, 65535).astype(np.uint16))
        return Photo(_rgb_array(codes), None, alpha)
    if image.has_transparency_data:
        alpha = _unless_opaque(np.asarray(upright(image).convert("RGBA").getchannel("A")))
    return Photo(rgb_pixels(image), _rgb_profile(image.info.get("icc_profile")), alpha)


def _alpha_of(pixels: np.ndarray) -> np.ndarray | None:
    return _unless_opaque(pixels[..., 3]) if pixels.ndim == 3 and pixels.shape[2] == 4 else None


def _unless_opaque(alpha: np.ndarray) -> np.ndarray | None:
    return None if (alpha == np.iinfo(alpha.dtype).max).all() else alpha


def _rgb_profile(profile: bytes | None) -> bytes | None:
    """Return the ICC profile if it describes RGB; that of a CMYK or gray file does not apply after the conversion."""
    return profile if profile and profile[16:20] == b"RGB " else None


def _rgb_array(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise InputError(f"image array: {pixels.dtype} {pixels.shape}; give uint8 or uint16 RGB pixels (H, W, 3)")
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return np.repeat(pixels.reshape(*pixels.shape[:2], 1), 3, axis=2)
    if pixels.shape[2] not in (3, 4):
        raise InputError(f"image array: {pixels.shape[2]} channels; give uint8 or uint16 RGB pixels (H, W, 3)")
    return pixels[..., :3]


def _encoded(image: Image.Image, suffix: str, options: dict[str, Any]) -> bytes:
    """Encode in memory: writing to a full disk itself, Pillow may leave a truncated JPEG without an error."""
    Image.init()
    if suffix.lower() not in Image.registered_extensions():
        raise ValueError(f"unknown file extension: {suffix}")
    content = io.BytesIO()
    image.save(content, Image.registered_extensions()[suffix.lower()], **options)
    return content.getvalue()


def _deep_png(pixels: np.ndarray, profile: bytes | None) -> bytes:
    """Encode uint16 (H, W, 3 or 4) RGB as PNG, which Pillow cannot; the color profile follows the header chunk."""
    reverse = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    encoded = cv2.imencode(".png", cv2.cvtColor(pixels, reverse))[1].tobytes()
    if not profile:
        return encoded
    body = b"iCCP" + b"profile\0\0" + zlib.compress(profile)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    header = 8 + 25  # signature, IHDR
    return encoded[:header] + chunk + encoded[header:]
