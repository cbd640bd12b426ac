"""Files and pixels: reading images and mattes of any make, writing whole files or none."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from p3m_lightning.schema import BACKGROUND, FOREGROUND, UNKNOWN, InputError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})


def list_images(folder: str | Path) -> list[Path]:
    """Return the image files directly in `folder`, sorted by name, hidden ones left out.

    Raises:
        InputError: no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))
    if not files:
        raise InputError(f"{folder}: no images in it (looked for {', '.join(sorted(IMAGE_SUFFIXES))})")
    return files


def read_image(path: str | Path) -> np.ndarray:
    """Read a photograph as uint8 RGB (H, W, 3): EXIF rotation applied, grey widened, CMYK converted, transparency dropped.

    Raises:
        InputError: not a whole image file; the message names it.
    """
    with _opened(path) as image:
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16-bit grey: Pillow would clip it instead of scaling
            return np.repeat(_to_uint8(np.asarray(image))[..., None], 3, axis=2)
        return np.asarray(image.convert("RGB"))


def read_matte(path: str | Path) -> np.ndarray:
    """Read an alpha matte as uint8 or uint16 (H, W), full range; of a color file the first channel, of RGBA the alpha.

    Raises:
        InputError: not a whole image file; the message names it.
    """
    with _opened(path) as image:
        if image.mode.startswith("I"):
            return np.asarray(image).astype(np.uint16)
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
    return pixels.astype(dtype) / dtype(np.iinfo(pixels.dtype).max)


def from_unit(values: np.ndarray, dtype: type = np.uint8) -> np.ndarray:
    """Round values of [0, 1] to the full range of `dtype` (uint8 or uint16)."""
    top = np.iinfo(dtype).max
    return np.rint(np.clip(values, 0, 1) * top).astype(dtype)


def write_image(path: str | Path, pixels: np.ndarray, **options: object) -> None:
    """Write uint8 (H, W), (H, W, 3), (H, W, 4) or uint16 (H, W) pixels; the whole file appears or none.

    Args:
        path: its suffix chooses the format; the folder is made.
        pixels: RGB order.
        options: for Pillow's `save`, as `quality`.
    """
    with atomic_path(path) as aside:
        Image.fromarray(pixels).save(aside, **options)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a path beside `path` to write to, renamed to `path` at the end, removed after an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".part-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        os.chmod(aside, 0o666 & ~_umask())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _to_uint8(pixels: np.ndarray) -> np.ndarray:
    return (np.clip(pixels, 0, 65535) // 257).astype(np.uint8)


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            image.load()
            yield image
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnidentifiedImageError:
        raise InputError(f"{path}: not an image file") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: cannot be decoded ({error})") from None
