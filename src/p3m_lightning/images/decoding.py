"""Opening image files of any format, safely even if they are broken, hostile or oversized."""

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

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from p3m_lightning.images import heif, jpeg2000, png, tiff
from p3m_lightning.images.pixels import EXIF_ORIENTATION, to_uint8, turned
from p3m_lightning.images.png_rows import check_rows
from p3m_lightning.messages import no_such, tell
from p3m_lightning.schema import InputError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "AVIF", "HEIF", "JPEG2000", "PPM", "TGA")
"""The formats that are decoded, by Pillow's names; other decoders, some of which run programs, are not used."""

LIMIT_KEY = "P3M_MAX_MEGAPIXELS"
MEGAPIXELS = 128.0
BYTES_A_PIXEL = 16  # a longer file contains something else

_BLOCK = 64 << 20
"""Bytes of one of Pillow's blocks; glibc returns blocks above 32 MB at once, but may keep smaller ones."""

_HEAD = 32  # bytes that identify the kind of a file


class DeepImage(NamedTuple):
    """Upright pixels of more than 8 bits, and their color profile."""

    pixels: np.ndarray  # uint16 (H, W), (H, W, 3) or (H, W, 4)
    profile: bytes | None


def pixel_limit() -> int:
    """Return the number of pixels above which a file is refused: 128 megapixels, or P3M_MAX_MEGAPIXELS.

    Raises:
        InputError: the variable is not a positive number.
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
    """Open and decode an image file; color of more than 8 bits is rounded to 8.

    An animation gives its first frame, a TIFF its largest page.

    Args:
        source: a path, or a binary file.
        name: its name in messages; the path by default.

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
            if image.format == "PNG":
                _decoded(lambda opened, _: check_rows(image, opened), stream, name)
            yield image


@contextmanager
def image_header(source: str | Path | BinaryIO, name: str | None = None) -> Iterator[ImageFile.ImageFile]:
    """Open an image file for its size, mode and tags only; for a TIFF, those of its largest page.

    A TIFF of deep pixels that Pillow does not know, as of three floats, has the mode that its color has in 8 bits.

    Raises:
        InputError: as `open_image`, for errors visible in the header.
    """
    with _stream(source, name) as (stream, name), _opened(stream, name, outline=True) as image:
        yield image


def declared_pixels(path: str | Path) -> int:
    """Return the number of pixels that a file declares, without decoding it; 0 if it cannot be decoded."""
    try:
        with image_header(path) as image:
            return image.width * image.height
    except InputError:
        return 0


def read_deep(source: str | Path | BinaryIO, name: str | None = None) -> DeepImage | None:
    """Read an image of more than 8 bits per channel; return None if it has at most 8.

    Floats in [0, 1], which only TIFF has, become 16 bits.

    Raises:
        InputError: as `open_image`, or floats or integers of unknown range.
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
            raise InputError(f"{name}: not an image file; it is empty")
        file = open(source, "rb")  # noqa: SIM115  # closed below, unless the caller raises
    except FileNotFoundError:
        raise InputError(no_such(name)) from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    with file:
        yield file, name


@contextmanager
def _opened(stream: BinaryIO, name: str, outline: bool = False) -> Iterator[ImageFile.ImageFile]:
    """Open with Pillow, without decoding, and check the size; or a TIFF's outline, where Pillow knows no more of it."""
    head = _head(stream)
    found, outlined = None, None
    if head[:4] in tiff.MAGIC:
        content = _content(stream, name)
        alone, drawn, kind = _decoded(_main_page, content, name)
        found = f"{kind}, which is not supported; save it with 8 or 16 bits, LZW or without compression"
        stream, outlined = io.BytesIO(alone), io.BytesIO(drawn) if outline else None
    if head[4:8] == b"ftyp" and heif.is_heif(head):
        heif.register(name)
    formats = [kind for kind in FORMATS if kind in Image.OPEN]
    try:
        try:
            image = Image.open(stream, formats=formats)
        except UnidentifiedImageError:
            if outlined is None:
                raise
            image = Image.open(outlined, formats=formats)
    except UnidentifiedImageError:
        raise InputError(f"{name}: {found or 'not an image file' + _what_it_is(head)}") from None
    except Image.DecompressionBombError:  # Pillow's own limit, if that is lower
        raise InputError(f"{name}: {_too_large('its size')}") from None
    except Exception as error:
        raise InputError(f"{name}: cannot be decoded ({_reason(error)})") from None
    with image:
        _check_size(image.size, name)
        yield image


def _load(image: Image.Image, name: str) -> None:
    image.load()
    if image.mode in ("P", "PA") and image.palette is None:
        raise OSError("its palette is missing")
    if image.mode == "F":  # PFM; TIFF is read elsewhere
        raise InputError(f"{name}: an image of floats of unknown range; save it with 8 or 16 bits")
    if getattr(image, "is_animated", False) and image.format not in ("TIFF", "MPO"):
        tell(f"{name}: an animation of {getattr(image, 'n_frames', 'several')} frames; the first one is read")


def _read_deep(stream: BinaryIO, name: str) -> DeepImage | None:
    head = _head(stream)
    if head[:4] in tiff.MAGIC:
        return _deep_tiff(_content(stream, name), name)
    if head.startswith(png.SIGNATURE) and png.is_deep(head):
        return _deep(png.deep_pixels, _content(stream, name), name)
    if head.startswith(jpeg2000.MAGIC):
        content = _content(stream, name)
        return _deep(jpeg2000.deep_pixels, content, name) if jpeg2000.depth(content) > 8 else None
    return None


def _deep(decode: Callable[[bytes], np.ndarray | None], content: bytes, name: str) -> DeepImage | None:
    """Decode by OpenCV, after Pillow, which raises where OpenCV would return half an image."""
    with _opened(io.BytesIO(content), name) as image:
        _load(image, name)
        if image.format == "PNG":
            check_rows(image, io.BytesIO(content))
        orientation, profile = image.getexif().get(EXIF_ORIENTATION, 1), image.info.get("icc_profile")
    pixels = decode(content)  # afterwards, so that only one of the two decoded images is held
    return None if pixels is None else DeepImage(turned(pixels, orientation), profile)


def _deep_tiff(content: bytes, name: str) -> DeepImage | None:
    page, count = tiff.main_page(content)
    if count > 1:
        tell(f"{name}: {count} pages; the largest is read")
    _check_size(page.size, name)
    pixels = tiff.deep_pixels(tiff.alone(content, page), page, name)
    return None if pixels is None else DeepImage(turned(pixels, page.orientation), page.profile)


def _main_page(content: bytes, _: str) -> tuple[bytes, bytes, str]:
    page = tiff.main_page(content)[0]
    return tiff.alone(content, page), tiff.outline(page), tiff.kind(page.tags)


def _rounded(deep: DeepImage) -> Image.Image:
    image = Image.fromarray(deep.pixels if deep.pixels.ndim == 2 else to_uint8(deep.pixels))
    if deep.profile:
        image.info["icc_profile"] = deep.profile
    return image


def _decoded(decode: Callable[..., Any], source: Any, name: str) -> Any:
    """Decode untrusted bytes: whatever a decoder raises is the fault of the file."""
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
    return f"{what} is more than {pixel_limit() / 1e6:g} megapixels; --max-megapixels N allows larger ones"


def _head(stream: BinaryIO) -> bytes:
    stream.seek(0)
    head = stream.read(_HEAD)
    stream.seek(0)
    return head


def _content(stream: BinaryIO, name: str) -> bytes:
    most = BYTES_A_PIXEL * pixel_limit()
    size = stream.seek(0, os.SEEK_END)  # as much is asked for as there is: room for all of it is made beforehand
    stream.seek(0)
    content = stream.read(min(size, most) + 1)
    if len(content) > most:
        raise InputError(f"{name}: longer than {most / 1e9:g} GB; --max-megapixels N allows larger ones")
    return content


def _what_it_is(head: bytes) -> str:
    """Name other kinds of files that are mistaken for images."""
    kinds = {b"%PDF": "a PDF", b"%!PS": "PostScript", b"8BPS": "a Photoshop file", b"version ": "a Git LFS pointer"}
    found = next((kind for magic, kind in kinds.items() if head.startswith(magic)), None)
    if head.lstrip()[:1] == b"<":
        found = "text, such as HTML, XML or SVG"
    return f" but {found}" if found else ""


@cache
def _set_up_pillow() -> None:
    """Adjust Pillow's limits and warnings to ours, when the first file is read, so that importing changes nothing."""
    Image.init()
    Image.core.set_block_size(_BLOCK)
    # Pillow warns from 89 megapixels and refuses from 179; `pixel_limit` does that here
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    # a broken EXIF block costs at most the rotation, and palettes with transparency are converted anyway
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.(TiffImagePlugin|Image)$")
    if Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, pixel_limit())
