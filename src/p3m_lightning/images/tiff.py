"""TIFF features that common decoders get wrong or refuse: pages, planes, 16 bits, floats, integers of 32 bits."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from p3m_lightning.images.pixels import from_unit, strips
from p3m_lightning.schema import InputError

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
PAGES = 256  # most pages looked at
CHANNELS = 32  # most channels decoded; a file of a few bytes may declare millions, of which lists are made

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 254, 256, 257, 258, 259, 262, 266
_STRIPS, _STRIP_SIZES, _ORIENTATION, _SAMPLES, _ROWS, _PLANAR = 273, 279, 274, 277, 278, 284
_PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES, _SUB_PAGES, _FORMAT = 317, 322, 323, 324, 325, 330, 339
_COLORS, _EXTRA, _PROFILE = 320, 338, 34675
_REDUCED, _MASK = 1, 4  # bits of the subfile type
_UNSIGNED, _SIGNED, _FLOATS = 1, 2, 3
_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB = 0, 1, 2
_GREY = (_MIN_IS_WHITE, _MIN_IS_BLACK)
_JPEG = (6, 7)  # compressions
_MOSAICS = (32803, 34892)  # raw sensor data
_PREMULTIPLIED, _ALPHA = 1, 2  # kinds of extra channel; colors have been multiplied by the first
_BIG_MOTOROLA = b"MM\0+"  # 64-bit big-endian, which Pillow takes for 32-bit
_SHORTS = (_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PREDICTOR, _FORMAT, _FILL_ORDER, _EXTRA, _COLORS, _PLANAR)
_PLAIN = (_WIDTH, _HEIGHT, _COMPRESSION, _FILL_ORDER, _ROWS, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT)
_LOOK = (_BITS, _PHOTOMETRIC, _SAMPLES, _FORMAT, _EXTRA, _COLORS, _PLANAR, _ORIENTATION)
_PLACES = (_STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES)
_COMPRESSIONS = {34712: "JPEG 2000", 34887: "LERC", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL"}

Tags = Mapping[int, Any]


class Page(NamedTuple):
    """One page of a TIFF: the offset of its directory, and its tags."""

    offset: int
    tags: Tags

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return int(self.tags.get(_WIDTH, 0)), int(self.tags.get(_HEIGHT, 0))

    @property
    def orientation(self) -> int:
        """The EXIF orientation."""
        return int(self.tags.get(_ORIENTATION, 1))

    @property
    def profile(self) -> bytes | None:
        """The ICC profile."""
        return self.tags.get(_PROFILE)


def main_page(content: bytes) -> tuple[Page, int]:
    """Return the largest page that is not a reduced copy or a mask, the first of equals, and their number.

    Raises:
        OSError: there is no page.
    """
    pages = [page for page in _pages(content) if page.tags.get(_PHOTOMETRIC) not in _MOSAICS]
    whole = [page for page in pages if not int(page.tags.get(_SUBFILE, 0)) & (_REDUCED | _MASK)] or pages
    if not whole:
        raise OSError("there is no page in it")
    return max(whole, key=lambda page: page.size[0] * page.size[1]), len(whole)


def alone(content: bytes, page: Page) -> bytes:
    """Return a file whose first page is `page`: the same bytes after another header, or before another directory."""
    if content[:4] == _BIG_MOTOROLA:
        kept = [tag for tag in (*_PLAIN, *_LOOK, *_PLACES) if tag in page.tags]
        return _with_directory(content, {tag: [int(v) for v in _sequence(page.tags[tag])] for tag in kept})
    if _is_big(content):
        return content[:8] + struct.pack(_order(content) + "Q", page.offset) + content[16:]
    return content[:4] + struct.pack(_order(content) + "L", page.offset) + content[8:]


def outline(page: Page) -> bytes:
    """Return a file of the same size and number of channels, of 8 bits and without pixels."""
    channels = 3 if int(page.tags.get(_SAMPLES, 1)) > 2 else 1
    entries = {tag: [int(page.tags[tag])] for tag in (_WIDTH, _HEIGHT) if tag in page.tags}
    entries |= {_BITS: [8] * channels, _SAMPLES: [channels], _COMPRESSION: [1], _STRIPS: [8], _STRIP_SIZES: [0]}
    entries |= {_PHOTOMETRIC: [_RGB if channels > 1 else _MIN_IS_BLACK]}
    return _with_directory(b"II*\0" + bytes(4), entries)


def deep_pixels(content: bytes, page: Page, name: str) -> np.ndarray | None:
    """Return gray or RGB pixels of 16 bits or floats as uint16 (H, W[, C]), not rotated; None leaves it to Pillow.

    So it returns 8 bits, as uint8, where colors have been multiplied by alpha, grey has one, or an extra channel is
    none: of these Pillow knows some layouts alone, and of planes it may lose the alpha.

    Args:
        content: a file whose first page is `page`.
        page: the page to decode.
        name: of the file, in messages.

    Raises:
        InputError: values of unknown range.
        ValueError, OSError: an inconsistent file.
    """
    tags = page.tags
    _check_extent(content, tags)
    if int(tags.get(_SAMPLES, 1)) > CHANNELS:
        raise OSError(f"{tags[_SAMPLES]} channels are not known")
    bits, formats = set(_sequence(tags.get(_BITS, 1))), set(_sequence(tags.get(_FORMAT, _UNSIGNED)))
    if formats == {_FLOATS}:
        return _whole(_unit_codes(_samples(content, tags), name), tags)
    if _SIGNED in formats or (max(bits) > 8 and bits != {16}):
        kind = "signed integers" if _SIGNED in formats else f"integers of {max(bits)} bits"
        raise InputError(f"{name}: {kind}, whose range is unknown; save it with 8 or 16 bits")
    photometric, samples = tags.get(_PHOTOMETRIC), int(tags.get(_SAMPLES, 1))
    extra = int(_sequence(tags.get(_EXTRA, 0))[0])
    unnamed = _EXTRA in tags and extra not in (_PREMULTIPLIED, _ALPHA) and samples in (2, 4)
    shallow = bits == {8} and (extra == _PREMULTIPLIED or unnamed or (extra == _ALPHA and samples == 2))
    shallow = shallow and int(tags.get(_COMPRESSION, 1)) not in _JPEG and photometric in (*_GREY, _RGB)
    if not (bits == {16} or shallow) or not (samples <= 2 or photometric == _RGB):
        return None
    pixels = _samples(content, tags)
    if pixels.dtype != (np.uint8 if shallow else np.uint16):
        raise OSError(f"decoded as {pixels.dtype}")
    return _whole(pixels, tags)


def kind(tags: Tags) -> str:
    """Describe a page in words, for messages about unsupported ones."""
    compression = int(tags.get(_COMPRESSION, 1))
    named = _COMPRESSIONS.get(compression) or f"compression {compression}"
    channels = int(tags.get(_SAMPLES, 1))
    floats = set(_sequence(tags.get(_FORMAT, _UNSIGNED))) == {_FLOATS}
    bits = f"{max(_sequence(tags.get(_BITS, 1)))} bits{' of floats' if floats else ''}"
    return f"a TIFF of {channels} channel{'s' if channels > 1 else ''}, {bits}, {named}"


def _whole(pixels: np.ndarray, tags: Tags) -> np.ndarray:
    """Return stored codes as they are meant: black at 0, colors not multiplied by alpha."""
    if tags.get(_PHOTOMETRIC) == _MIN_IS_WHITE:
        pixels = np.invert(pixels) if pixels.ndim == 2 else np.dstack([np.invert(pixels[..., 0]), pixels[..., 1:]])
    return _with_alpha(pixels, tags) if pixels.ndim == 3 and pixels.shape[2] in (2, 4) else pixels


def _with_alpha(pixels: np.ndarray, tags: Tags) -> np.ndarray:
    """Return gray or color (H, W, 2 or 4) with alpha as RGBA whose colors are not multiplied by it.

    An extra channel that is said to be no alpha is dropped, as Pillow does with 8 bits.
    """
    if _EXTRA in tags and int(_sequence(tags[_EXTRA])[0]) not in (_PREMULTIPLIED, _ALPHA):
        return np.ascontiguousarray(pixels[..., :-1]) if pixels.shape[2] == 4 else np.ascontiguousarray(pixels[..., 0])
    if pixels.shape[2] == 2:
        pixels = pixels[..., [0, 0, 0, 1]]
    if int(_sequence(tags.get(_EXTRA, 0))[0]) == _PREMULTIPLIED:
        top = np.iinfo(pixels.dtype).max
        for rows in strips(len(pixels)):
            colors, alpha = pixels[rows, :, :3], np.maximum(pixels[rows, :, 3:], 1).astype(np.float32)
            pixels[rows, :, :3] = np.rint(np.minimum(colors * (top / alpha), top))
    return pixels


def _unit_codes(values: np.ndarray, name: str) -> np.ndarray:
    if not np.isfinite(values).all():
        raise InputError(f"{name}: an image of floats that holds NaN or infinity; save it with 8 or 16 bits")
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 1:
        span = f"{low:g} to {high:g}"
        raise InputError(f"{name}: an image of floats from {span}; they must lie in [0, 1], or save it with 16 bits")
    return from_unit(values.astype(np.float64), np.uint16)


def _samples(content: bytes, tags: Tags) -> np.ndarray:
    """Decode to (H, W), or to (H, W, C) in RGB order; not rotated."""
    samples = int(tags.get(_SAMPLES, 1))
    if samples == 2 and int(tags.get(_PLANAR, 1)) == 1:
        return _side_by_side(content, tags, samples)
    if samples > 1 and int(tags.get(_PLANAR, 1)) == 2:  # as gray images: decoders do not read planes of 16 bits
        return np.stack([_decoded(_file_of(content, tags, samples, plane), tags) for plane in range(samples)], axis=2)
    pixels = _decoded(_file_of(content, tags, samples), tags)
    if samples > 1 and pixels.shape[2:] != (samples,):
        raise OSError(f"{samples} channels of this kind are not supported")
    return pixels


def _side_by_side(content: bytes, tags: Tags, samples: int) -> np.ndarray:
    """Decode channel counts that decoders do not support, as columns of one wide gray image."""
    differences = int(tags.get(_PREDICTOR, 1))
    if differences > 1 and (differences > 2 or _TILE_WIDTH in tags):
        raise OSError(f"{kind(tags)}, with predictor {differences}")
    wide = {tag: tags[tag] for tag in (*_PLAIN, *_LOOK, *_PLACES) if tag in tags and tag != _PREDICTOR}
    wide |= {tag: int(tags[tag]) * samples for tag in (_WIDTH, _TILE_WIDTH) if tag in tags}
    flat = _decoded(_file_of(content, wide, 1), tags)
    pixels = flat.reshape(len(flat), -1, samples)
    return np.cumsum(pixels, axis=1, dtype=pixels.dtype) if differences == 2 else pixels


def _decoded(content: bytes, tags: Tags) -> np.ndarray:
    """Decode a file that `_file_of` made: 8 bits by Pillow, as OpenCV brings tiles of them to another layout."""
    if set(_sequence(tags.get(_BITS, 1))) == {8}:
        with Image.open(io.BytesIO(content), formats=["TIFF"]) as image:
            return np.array(image)
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise OSError(f"{kind(tags)}: broken, or not supported")
    if pixels.ndim == 2:
        return pixels
    return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def _file_of(content: bytes, tags: Tags, samples: int, plane: int | None = None) -> bytes:
    """Return a file of one plain page, or plane, that points at the strips of another file; without orientation."""
    entries = {tag: [int(tags[tag])] for tag in _PLAIN if tag in tags}
    channels = samples if plane is None else 1
    for tag in (_BITS, _FORMAT):
        entries[tag] = [int(_sequence(tags.get(tag, 1))[0])] * channels
    entries |= {_PHOTOMETRIC: [_RGB if channels > 1 else _MIN_IS_BLACK], _SAMPLES: [channels]}
    if channels > 3:
        entries[_EXTRA] = [_ALPHA] + [0] * (channels - 4)
    for tag in _PLACES:
        if tag in tags:
            values = [int(value) for value in _sequence(tags[tag])]
            count = len(values) if plane is None else len(values) // samples
            first = (plane or 0) * count
            entries[tag] = values[first : first + count]
    return _with_directory(content, entries)


def _with_directory(content: bytes, entries: Mapping[int, Sequence[int]]) -> bytes:
    """Return a file of 32-bit offsets with the same bytes and another directory after them."""
    order = _order(content)
    start = len(content) + len(content) % 2
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "L", start)
    return header + content[8:].ljust(start - 8, b"\0") + _directory(entries, order, start)


def _directory(entries: Mapping[int, Sequence[int]], order: str, start: int) -> bytes:
    """Encode a directory of integers for the offset `start`; values that may be long have 32 bits."""
    rows, more = b"", b""
    behind = start + 2 + 12 * len(entries) + 4
    for tag, values in sorted(entries.items()):
        short = tag in _SHORTS
        value = struct.pack(f"{order}{len(values)}{'H' if short else 'L'}", *values)
        if len(value) > 4:
            value, more = struct.pack(order + "L", behind + len(more)), more + value
        rows += struct.pack(order + "HHL", tag, 3 if short else 4, len(values)) + value.ljust(4, b"\0")
    return struct.pack(order + "H", len(entries)) + rows + b"\0\0\0\0" + more


def _pages(content: bytes) -> Iterator[Page]:
    """Yield the pages and their subpages."""
    order = _order(content)
    first = struct.unpack_from(order + ("Q" if _is_big(content) else "L"), content, 8 if _is_big(content) else 4)[0]
    waiting, seen = [first], set[int]()
    stream = io.BytesIO(content)
    while waiting and len(seen) < PAGES:
        offset = waiting.pop(0)
        if not 0 < offset < len(content) or offset in seen:
            continue
        seen.add(offset)
        directory = ImageFileDirectory_v2((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
        directory._bigtiff = _is_big(content)  # Pillow recognizes only one of the two byte orders
        stream.seek(offset)
        directory.load(stream)
        yield Page(offset, directory)
        waiting += [directory.next, *map(int, _sequence(directory.get(_SUB_PAGES, ())))]


def _check_extent(content: bytes, tags: Tags) -> None:
    """Refuse a file that lacks strips or ends before they do; decoders return black or uninitialized memory there."""
    width, height = (int(tags.get(tag, 0)) for tag in (_WIDTH, _HEIGHT))
    across = -(-width // max(1, int(tags.get(_TILE_WIDTH, 0)))) if _TILES in tags else 1
    rows = int(tags.get(_TILE_HEIGHT if _TILES in tags else _ROWS, height))
    planes = int(tags.get(_SAMPLES, 1)) if int(tags.get(_PLANAR, 1)) == 2 else 1
    for places, sizes in ((_STRIPS, _STRIP_SIZES), (_TILES, _TILE_SIZES)):
        pairs = list(zip(_sequence(tags.get(places, ())), _sequence(tags.get(sizes, ())), strict=False))
        if any(place + size > len(content) for place, size in pairs):
            raise OSError("the file is truncated")
        if pairs and len(pairs) < across * -(-height // max(1, rows)) * planes:
            raise OSError(f"only the first {len(pairs)} of its strips or tiles are there")


def _is_big(content: bytes) -> bool:
    return content[2:4] in (b"+\0", b"\0+")


def _order(content: bytes) -> str:
    return "<" if content[:2] == b"II" else ">"


def _sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, tuple | list) else (value,)
