"""Decoded images as people see them: turned by EXIF, in RGB."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms, ImageOps

from p3m_lightning.images.scaling import to_uint8

EXIF_ORIENTATION = 0x0112


def rgb_pixels(image: Image.Image) -> np.ndarray:
    """Return uint8 RGB (H, W, 3) of a Pillow image: upright, grey widened, CMYK and LAB converted, no transparency."""
    image = upright(image)
    if image.mode.startswith("I"):  # 16-bit grey: Pillow would clip it instead of scaling
        grey = to_uint8(grey_codes(image))
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("CMYK", "LAB"):
        image = _through_profile(image)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def grey_codes(image: Image.Image) -> np.ndarray:
    """Return 16-bit grey, which Pillow keeps in several modes, as uint16 (H, W)."""
    return np.clip(np.asarray(image), 0, 65535).astype(np.uint16)


def is_upright(image: Image.Image) -> bool:
    """Tell whether EXIF leaves the image as it lies; so does a broken block."""
    try:
        return image.getexif().get(EXIF_ORIENTATION, 1) == 1
    except Exception:  # whatever a broken block makes Pillow raise
        return True


def upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF rotation; an image whose EXIF block is broken stays as it lies."""
    try:
        return image if is_upright(image) else ImageOps.exif_transpose(image)
    except Exception:  # a tag that is no number of those that there are
        return image


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn (H, W, ...) as an EXIF orientation says."""
    turn = _UPRIGHT.get(orientation)
    return np.ascontiguousarray(turn(pixels)) if turn else pixels


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


def _through_profile(image: Image.Image) -> Image.Image:
    """Convert CMYK or LAB to sRGB by the embedded profile (LAB needs none); without one Pillow's plain formula."""
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
