"""Mattes and trimaps as arrays: the one way to read each."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from p3m_lightning.images.decoding import open_image, read_deep
from p3m_lightning.images.photographs import grey_codes, rgb_pixels, upright
from p3m_lightning.images.pixels import strips
from p3m_lightning.messages import tell
from p3m_lightning.schema import BACKGROUND, FOREGROUND, UNKNOWN, InputError

SHOWN = 5  # foreign codes in a message
COLORED = 0.125  # difference of channels, of the full range, from which a file is in colors; compression makes less
TRIMAP_CURE = "write it as PNG of 0, 128 and 255 (background, unknown, foreground)"


def read_matte(path: str | Path) -> np.ndarray:
    """Read an alpha matte as uint8 or uint16 (H, W), full range; gray stored as color counts, of RGBA the alpha.

    EXIF rotation is applied, as it is to the photograph. Floats, which TIFF may hold, must lie in [0, 1].

    Raises:
        InputError: not a complete image file, colors, as painted masks have, or a matte of 0 and 1, or 0 to 255, in a
            file of a larger range; the message names it.
    """
    codes = read_codes(path, COLORED)
    fault = check_matte(codes)
    if fault:
        raise InputError(f"{path}: {fault}")
    return codes


def read_codes(path: str | Path, colors: float = 1) -> np.ndarray:
    """Read the channel that `read_matte` reads, without checking its values.

    Args:
        path: of the file.
        colors: difference of the channels, as a share of the range, up to which the first one is used; a file of more
            is refused. An opaque RGBA file, which is reported, is refused with 0 alone.

    Raises:
        InputError: not a complete image file, or colors; the message names it.
    """
    deep = read_deep(path)
    if deep is not None:
        return deep.pixels if deep.pixels.ndim == 2 else _matte_channel(deep.pixels, path, colors)
    with open_image(path) as image:
        image = upright(image)
        if image.mode.startswith("I"):
            return grey_codes(image)
        if image.mode in ("P", "PA", "La", "RGBa") or "transparency" in image.info:
            image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        if image.mode == "1":
            image = image.convert("L")
        if image.mode in ("LA", "RGBA"):
            return _matte_channel(np.asarray(image), path, colors)
        if image.mode == "L":
            return np.asarray(image)
        return _matte_channel(rgb_pixels(image), path, colors)


def check_matte(codes: np.ndarray) -> str | None:
    """Return what is wrong with the range of a matte's codes, uint8 or uint16; None if nothing is."""
    top = int(codes.max())
    if top == 1:
        return f"its values are 0 and 1, not 0 to {np.iinfo(codes.dtype).max}; multiply them by that"
    if codes.dtype == np.uint16 and top == 255:
        return "its values end at 255 in a file of 16 bits; save it with 8 bits, or multiply them by 257"
    return None


def read_trimap(path: str | Path) -> np.ndarray:
    """Read a trimap file as uint8 (H, W) of BACKGROUND, UNKNOWN, FOREGROUND; see `trimap_classes` for its codes.

    Raises:
        InputError: not a complete image file, colors, or other codes; the message names it.
    """
    codes = read_codes(path, 0)
    try:
        trimap = trimap_classes(codes)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if (trimap == UNKNOWN).all():
        tell(f"{path}: all of the trimap is unknown")
    return trimap


def trimap_classes(codes: np.ndarray) -> np.ndarray:
    """Map trimap codes to classes, uint8 (H, W) of BACKGROUND, UNKNOWN, FOREGROUND.

    Args:
        codes: uint8 or uint16 (H, W), in one of two codings: 0, the middle of the range (128 or 127; for 16 bits
            32639 to 32896) and the dtype's maximum; or the classes 0, 1, 2. A class may be absent, but 0 and 1 alone
            could be a mask.

    Raises:
        InputError: other codes; the message lists them and says what to do.
    """
    top = int(np.iinfo(codes.dtype).max)
    values = np.flatnonzero(
        sum(np.bincount(codes[rows].ravel(), minlength=top + 1) for rows in strips(len(codes)))
    ).tolist()
    if 2 in values and values[-1] == 2:
        return codes.astype(np.uint8)
    middle = [value for value in values if 0 < value < top]
    if len(middle) > 1 or any(abs(2 * value - top) > top // 254 for value in middle):
        deep = " in a file of 16 bits" if top > 255 else ""
        cure = f"{TRIMAP_CURE}{' of 8 bits' if deep else ''}"
        raise InputError(f"a trimap of {_described(values)}{deep}; {cure}")
    trimap = np.full(codes.shape, UNKNOWN, np.uint8)
    trimap[codes == 0] = BACKGROUND
    trimap[codes == top] = FOREGROUND
    return trimap


def _described(values: list[int]) -> str:
    shown = ", ".join(map(str, values[:SHOWN]))
    if len(values) > SHOWN:
        return f"{len(values)} values ({shown}, ...), as JPEG or resizing produce"
    return f"the values {shown}"


def _matte_channel(pixels: np.ndarray, path: str | Path, colors: float) -> np.ndarray:
    """Return the alpha of pixels (H, W, C) if it is not opaque everywhere, else the first channel.

    Raises:
        InputError: the channels differ by more than `colors`, see `read_codes`.
    """
    if pixels.shape[2] in (2, 4):
        alpha = pixels[..., -1]
        if alpha.min() < np.iinfo(alpha.dtype).max:
            return np.ascontiguousarray(alpha)  # a view would keep the colors in memory
        tell(f"{path}: its alpha channel is opaque everywhere; its first channel is taken as the matte")
    if colors < 1 and (pixels.shape[2] == 3 or (pixels.shape[2] == 4 and not colors)):
        difference = _difference(pixels[..., :3])
        if difference > colors * np.iinfo(pixels.dtype).max:
            what, cure = ("matte or mask", "write it in gray") if colors else ("trimap", TRIMAP_CURE)
            raise InputError(f"{path}: a {what} in color; only gray levels have a meaning; {cure}")
    return np.ascontiguousarray(pixels[..., 0])


def _difference(pixels: np.ndarray) -> int:
    """Return the largest difference between channels of one pixel."""
    return max(int((np.max(pixels[rows], 2) - np.min(pixels[rows], 2)).max()) for rows in strips(len(pixels)))
