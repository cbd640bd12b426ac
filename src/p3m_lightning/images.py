"""Pixels: reading images, mattes and trimaps of any make, and writing them."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from p3m_lightning.files import atomic_path
from p3m_lightning.schema import BACKGROUND, FOREGROUND, UNKNOWN, InputError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})

# Pillow warns from 89 megapixels and refuses from 179; large photographs are welcome here, so only the refusal stays
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# a broken EXIF block costs the rotation at most: nothing to tell the user of a thousand files
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")


def list_images(folder: str | Path) -> list[Path]:
    """Return the image files directly in `folder`, sorted by name, hidden ones left out.

    Raises:
        InputError: no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    files = sorted(p for p in folder.iterdir() if is_image_name(p.name) and not p.is_dir())
    if not files:
        raise InputError(f"{folder}: no images in it (looked for {', '.join(sorted(IMAGE_SUFFIXES))})")
    return files


def is_image_name(name: str) -> bool:
    """Tell whether a file of this name is taken for an image: a known suffix and not hidden."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def read_image(path: str | Path) -> np.ndarray:
    """Read a photograph as uint8 RGB (H, W, 3).

    EXIF rotation is applied, grey widened, CMYK and LAB converted, 16 bits rounded to 8, transparency dropped.

    Raises:
        InputError: not a whole image file; the message names it.
    """
    with open_image(path) as image:
        return rgb_pixels(image)


def read_matte(path: str | Path) -> np.ndarray:
    """Read an alpha matte as uint8 or uint16 (H, W), full range; of a color file the first channel, of RGBA the alpha.

    Raises:
        InputError: not a whole image file, or one of floats; the message names it.
    """
    with open_image(path) as image:
        if image.mode.startswith("I"):
            return np.clip(np.asarray(image), 0, 65535).astype(np.uint16)
        if image.mode == "F":
            raise InputError(f"{path}: a matte of floats has no known range; save it with 8 or 16 bits")
        if image.mode == "P":
            image = image.convert("RGBA" if "transparency" in image.info else "RGB")
        if image.mode == "1":
            image = image.convert("L")
        if image.mode in ("LA", "RGBA"):
            bands = image.split()
            opaque = bands[-1].getextrema() == (255, 255)
            return np.asarray(bands[0] if opaque else bands[-1])
        return np.asarray(image.getchannel(0))


def read_trimap(path: str | Path) -> np.ndarray:
    """Read a trimap file of 0 / 128 / 255 as uint8 (H, W) of BACKGROUND, UNKNOWN, FOREGROUND.

    Raises:
        InputError: not a whole image file; the message names it.
    """
    return trimap_classes(read_matte(path))


def trimap_classes(codes: np.ndarray) -> np.ndarray:
    """Map trimap codes to classes: 0 is background, the dtype's maximum foreground, all between unknown."""
    trimap = np.full(codes.shape, UNKNOWN, np.uint8)
    trimap[codes == 0] = BACKGROUND
    trimap[codes == np.iinfo(codes.dtype).max] = FOREGROUND
    return trimap


def to_unit(pixels: np.ndarray, dtype: type = np.float32) -> np.ndarray:
    """Scale uint8 or uint16 pixels to [0, 1]; floats pass."""
    if np.issubdtype(pixels.dtype, np.floating):
        return pixels.astype(dtype, copy=False)
    values = pixels.astype(dtype)
    values /= dtype(np.iinfo(pixels.dtype).max)  # in place: large photographs are large enough once
    return values


def from_unit(values: np.ndarray, dtype: type = np.uint8) -> np.ndarray:
    """Round values of [0, 1] to the full range of `dtype` (uint8 or uint16)."""
    top = np.iinfo(dtype).max
    return np.rint(np.clip(values, 0, 1) * top).astype(dtype)


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Round uint16 pixels to uint8 (65535 becomes 255); uint8 passes."""
    if pixels.dtype == np.uint8:
        return pixels
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def write_image(path: str | Path, pixels: np.ndarray, **options: object) -> None:
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


@contextmanager
def open_image(source: str | Path | BinaryIO, name: str | None = None) -> Iterator[Image.Image]:
    """Open and decode an image file.

    Args:
        source: a path, or a binary file.
        name: what messages call it; the path by default.

    Raises:
        InputError: missing, not an image, or broken; the message names it.
    """
    name = name or str(source)
    try:
        image = Image.open(source)
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except UnidentifiedImageError:
        raise InputError(f"{name}: not an image file") from None
    except _DECODING_ERRORS as error:
        raise InputError(f"{name}: cannot be decoded ({error})") from None
    with image:
        try:
            image.load()
        except _DECODING_ERRORS as error:
            raise InputError(f"{name}: cannot be decoded ({error})") from None
        yield image


def rgb_pixels(image: Image.Image) -> np.ndarray:
    """Return uint8 RGB (H, W, 3) of a Pillow image, converted as `read_image` says."""
    image = upright(image)
    if image.mode.startswith("I"):  # 16-bit grey: Pillow would clip it instead of scaling
        grey = to_uint8(np.clip(np.asarray(image), 0, 65535).astype(np.uint16))
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("CMYK", "LAB"):
        image = _through_profile(image)
    return np.asarray(image.convert("RGB"))


def upright(image: Image.Image) -> Image.Image:
    """Apply the EXIF rotation; an image whose EXIF block is broken stays as it lies."""
    try:
        return ImageOps.exif_transpose(image)
    except _DECODING_ERRORS:
        return image


_DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow's decoders raise on broken files."""


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
        return ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):  # a broken profile is no reason to refuse the photograph
        return image


def _encoded(image: Image.Image, suffix: str, options: dict[str, object]) -> bytes:
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
