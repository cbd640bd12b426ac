"""Opening of image files in any format, safe against broken, hostile and oversized ones."""

from __future__ import annotations

import io
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from p3m_lightning.images import tiff
from p3m_lightning.images.pixels import EXIF_ORIENTATION, strips, to_uint8, turned
from p3m_lightning.messages import no_such, tell
from p3m_lightning.schema import InputError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "AVIF", "HEIF", "JPEG2000", "PPM", "TGA")
"""What is decoded, as Pillow calls it; other decoders, some of which run programs, are left alone."""

LIMIT_KEY = "P3M_MAX_MEGAPIXELS"
MEGAPIXELS = 128.0
BYTES_A_PIXEL = 16  # a file that is longer than this holds something else

_BLOCK = 64 << 20
"""Bytes of one of Pillow's blocks; glibc gives blocks above 32 MB back to the system at once, smaller ones may stay."""

_HEAD = 32  # bytes that tell the kind of a file
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


class DeepImage(NamedTuple):
    """Pixels of more than 8 bits, upright, and the color profile they are meant in."""

    pixels: np.ndarray  # uint16 (H, W), (H, W, 3) or (H, W, 4)
    profile: bytes | None


def pixel_limit() -> int:
    """Return the number of pixels beyond which a file is refused: 128 megapixels, or those of P3M_MAX_MEGAPIXELS.

    Raises:
        InputError: the variable holds no positive number.
    """
    text = os.environ.get(LIMIT_KEY, str(MEGAPIXELS))
    try:
        limit = float(text) * 1e6
    except ValueError:
        limit = 0
    if not 1 <= limit < float("inf"):
        raise InputError(f"{LIMIT_KEY}={text}: give a number of megapixels")
    return int(limit)


@contextmanager
def open_image(source: str | Path | BinaryIO, name: str | None = None) -> Iterator[Image.Image]:
    """Open and decode an image file; of color with more than 8 bits, rounded to 8.

    Of an animation it is the first frame, of a TIFF the largest page.

    Args:
        source: a path, or a binary file.
        name: what messages call it; the path by default.

    Raises:
        InputError: missing, not an image, broken, or larger than `pixel_limit`; the message names it.
    """
    with _stream(source, name) as (stream, name):
        deep = _decoded(_read_deep, stream, name)
        if deep is not None:
            yield _rounded(deep)
            return
        with _opened(stream, name) as image:
            _decoded(_load, image, name)
            yield image


@contextmanager
def image_header(source: str | Path | BinaryIO, name: str | None = None) -> Iterator[ImageFile.ImageFile]:
    """Open an image file for its size, mode and tags alone; of a TIFF, those of its largest page.

    Raises:
        InputError: as `open_image`, as far as the header tells.
    """
    with _stream(source, name) as (stream, name), _opened(stream, name) as image:
        yield image


def declared_pixels(path: str | Path) -> int:
    """Return how many pixels a file says it holds, without decoding it; 0 where it will not be decoded."""
    try:
        with image_header(path) as image:
            return image.width * image.height
    except InputError:
        return 0


def read_deep(source: str | Path | BinaryIO, name: str | None = None) -> DeepImage | None:
    """Read an image of more than 8 bits a channel; None where it has 8 at most.

    Floats of [0, 1], which are in TIFF alone, become 16 bits.

    Raises:
        InputError: as `open_image`, and floats or integers whose range is not known.
    """
    with _stream(source, name) as (stream, name):
        return _decoded(_read_deep, stream, name)


@contextmanager
def _stream(source: str | Path | BinaryIO, name: str | None) -> Iterator[tuple[BinaryIO, str]]:
    """Open a regular file; pipes and devices would block."""
    _set_up_pillow()
    if not isinstance(source, str | Path):
        yield source, name or "image"
        return
    name = name or str(source)
    try:
        if not stat.S_ISREG(os.stat(source).st_mode):
            raise InputError(f"{name}: cannot be read (not a file)")
        if os.stat(source).st_size == 0:
            raise InputError(f"{name}: not an image file, it is empty")
        file = open(source, "rb")  # noqa: SIM115  # closed below, apart from errors of the caller's
    except FileNotFoundError:
        raise InputError(no_such(name)) from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    with file:
        yield file, name


@contextmanager
def _opened(stream: BinaryIO, name: str) -> Iterator[ImageFile.ImageFile]:
    """Open with Pillow, without decoding, and check the size."""
    head = _head(stream)
    found = None
    if head[:4] in tiff.MAGIC:
        content = _content(stream, name)
        alone, kind = _decoded(_main_page_alone, content, name)
        found = f"{kind}, which is not known; save it with LZW or without compression"
        stream = io.BytesIO(alone)
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        _register_heif(name)
    try:
        image = Image.open(stream, formats=[kind for kind in FORMATS if kind in Image.OPEN])
    except UnidentifiedImageError:
        raise InputError(f"{name}: {found or 'not an image file' + _what_it_is(head)}") from None
    except Image.DecompressionBombError:  # Pillow's own limit, where it is lower
        raise InputError(f"{name}: {_too_large('its size')}") from None
    except Exception as error:
        raise InputError(f"{name}: cannot be decoded ({_reason(error)})") from None
    with image:
        _check_size(image.size, name)
        yield image


def _load(image: Image.Image, name: str) -> None:
    image.load()
    if image.mode == "F":  # PFM; TIFF is read elsewhere
        raise InputError(f"{name}: an image of floats whose range is not known; save it with 8 or 16 bits")
    if getattr(image, "is_animated", False) and image.format not in ("TIFF", "MPO"):
        tell(f"{name}: an animation of {getattr(image, 'n_frames', 'several')} frames; the first one is read")


def _read_deep(stream: BinaryIO, name: str) -> DeepImage | None:
    head = _head(stream)
    if head[:4] in tiff.MAGIC:
        return _deep_tiff(_content(stream, name), name)
    if head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) > 25 and head[24] == 16 and head[25] in (2, 6):
        content = _content(stream, name)
        with _opened(io.BytesIO(content), name) as image:
            _load(image, name)  # complains where OpenCV would return half a picture
            orientation, profile = image.getexif().get(EXIF_ORIENTATION, 1), image.info.get("icc_profile")
        # behind it, so that only one of the two decoded pictures is held
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
            return None
        for rows in strips(len(pixels)):  # BGR to RGB in place
            pixels[rows, :, :3] = pixels[rows, :, 2::-1].copy()
        return DeepImage(turned(pixels, orientation), profile)
    return None


def _deep_tiff(content: bytes, name: str) -> DeepImage | None:
    page, count = tiff.main_page(content)
    if count > 1:
        tell(f"{name}: {count} pages; the largest is read")
    _check_size(page.size, name)
    pixels = tiff.deep_pixels(tiff.alone(content, page), page, name)
    return None if pixels is None else DeepImage(turned(pixels, page.orientation), page.profile)


def _main_page_alone(content: bytes, _: str) -> tuple[bytes, str]:
    page = tiff.main_page(content)[0]
    return tiff.alone(content, page), tiff.kind(page.tags)


def _rounded(deep: DeepImage) -> Image.Image:
    image = Image.fromarray(deep.pixels if deep.pixels.ndim == 2 else to_uint8(deep.pixels))
    if deep.profile:
        image.info["icc_profile"] = deep.profile
    return image


def _decoded(decode: Callable[..., Any], source: Any, name: str) -> Any:
    """Decode bytes that anybody may have written: whatever a decoder raises is the file's fault."""
    try:
        return decode(source, name)
    except InputError:
        raise
    except MemoryError:
        raise InputError(f"{name}: not enough memory to decode it") from None
    except Exception as error:
        raise InputError(f"{name}: cannot be decoded ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _check_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    if width * height > pixel_limit():
        raise InputError(f"{name}: {_too_large(f'{width} x {height} pixels')}")
    if width < 1 or height < 1:
        raise InputError(f"{name}: cannot be decoded (no pixels)")


def _too_large(what: str) -> str:
    return f"{what} is more than {pixel_limit() / 1e6:g} megapixels; --max-megapixels N reads larger ones"


def _head(stream: BinaryIO) -> bytes:
    stream.seek(0)
    head = stream.read(_HEAD)
    stream.seek(0)
    return head


def _content(stream: BinaryIO, name: str) -> bytes:
    most = BYTES_A_PIXEL * pixel_limit()
    stream.seek(0)
    content = stream.read(most + 1)
    if len(content) > most:
        raise InputError(f"{name}: longer than {most / 1e9:g} GB; --max-megapixels N reads larger ones")
    return content


def _what_it_is(head: bytes) -> str:
    """Name what people take for an image."""
    kinds = {b"%PDF": "a PDF", b"%!PS": "PostScript", b"8BPS": "a Photoshop file", b"version ": "a Git LFS pointer"}
    found = next((kind for magic, kind in kinds.items() if head.startswith(magic)), None)
    if head.lstrip()[:1] == b"<":
        found = "text, as HTML, XML or SVG"
    return f" but {found}" if found else ""


def _register_heif(name: str) -> None:
    try:
        import pi_heif
    except ImportError:
        cure = "pip install 'p3m_lightning[heic]' reads it, or save it as JPEG or PNG"
        raise InputError(f"{name}: a HEIC photograph, which needs a decoder of its own; {cure}") from None
    pi_heif.register_heif_opener()


@cache
def _set_up_pillow() -> None:
    """Bring Pillow's complaints in line with ours, once files are read; the host's own filters stay where none are."""
    Image.init()
    Image.core.set_block_size(_BLOCK)
    # Pillow warns from 89 megapixels and refuses from 179; `pixel_limit` does that here
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    # a broken EXIF block costs the rotation at most, and palettes with transparency are converted
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.(TiffImagePlugin|Image)$")
    if Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, pixel_limit())
