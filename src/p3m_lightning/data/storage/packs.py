"""All pixels of one sample in one file, from which any window can be read without the rest.

A photograph must be decoded from its start, and so must a PNG. Here the pixels, decoded once, are cut into tiles, and
each tile is losslessly compressed by LZ4, which decompresses several gigabytes a second. A tile of a foreground or
background is stored as its difference from the image where that is shorter: nothing where the two are equal. The
container is safetensors, which detects truncated files.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lz4 import block
from safetensors import safe_open
from safetensors.numpy import save

from p3m_lightning.files import with_sorted_notes
from p3m_lightning.schema import InputError

SUFFIX = ".safetensors"
LAYOUT = "1"
"""Increased whenever the meaning of the tiles changes: older files are then refused."""

TILE = (128, 256)  # rows and columns: smaller tiles cost calls, larger ones decode pixels that no window needs
WHOLE = ("alpha",)  # in one tile: the crop is drawn from the whole matte
LEVEL = 4  # of LZ4: higher ones take much longer and save 1 to 2 %
LAYERS = ("foreground", "background")

DTYPES = ("uint8", "uint16")
MOST = 1 << 34  # values of a role, three for each pixel of color

Place = tuple[int, int, int, int]
"""Top, left, height, width in pixels, like `windows.Window`, whose module imports torch; decoding works without."""


class _Tile(NamedTuple):
    """Place of a tile: its number in row-major order, and its rows and columns in the image."""

    number: int
    rows: slice
    columns: slice


def encode_pack(maps: Mapping[str, np.ndarray], sources: Mapping[str, Sequence[int]]) -> bytes:
    """Return the file that holds all pixels of one sample.

    Args:
        maps: role -> uint8 or uint16 (H, W) or (H, W, 3), all of one height and width, `image` among them.
        sources: role -> `signature` of its file, taken before reading, so that any later change is noticed.
    """
    tensors, layout = {}, {}
    for role, pixels in maps.items():
        size = pixels.shape[:2] if role in WHOLE else TILE
        tiles = _tiles(pixels.shape, size, (0, 0, *pixels.shape[:2]))
        blobs, relative = zip(*(_encode_tile(role, maps, tile) for tile in tiles), strict=True)
        tensors[f"{role}.tiles"] = np.frombuffer(b"".join(blobs), np.uint8)
        tensors[f"{role}.starts"] = np.cumsum([0, *map(len, blobs)], dtype=np.int64)
        tensors[f"{role}.relative"] = np.array(relative)
        layout[role] = {"shape": pixels.shape, "dtype": pixels.dtype.name, "tile": size, "source": sources.get(role)}
    return b"".join(with_sorted_notes(save(tensors, metadata={"layout": LAYOUT, "roles": json.dumps(layout)})))


def signature(path: Path) -> list[int]:
    """Return the size and the modification time of a file, which change when the file does.

    Raises:
        InputError: no such file.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    return [status.st_size, status.st_mtime_ns]


class Pack:
    """One sample's pixels, read by window.

    Args:
        path: a file with the bytes of `encode_pack`.

    Raises:
        InputError: the file is not a complete pack.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = safe_open(path, framework="numpy")
            notes = self._file.metadata() or {}
            if notes.get("layout") != LAYOUT:
                raise InputError(f"{path}: packed by another version; run `p3m data pack` again")
            self._roles = _layout(notes["roles"])
        except InputError:
            raise
        except Exception as error:  # the file is untrusted: whatever a decoder raises is the fault of the file
            raise self._broken(error) from None
        self._image: tuple[Place, np.ndarray] | None = None  # the window of the image read last

    def __contains__(self, role: str) -> bool:
        return role in self._roles

    def changed(self, sources: Mapping[str, Path]) -> Path | None:
        """Return the first of the files, role -> path, that has changed since packing; None if none has."""
        for role in self._roles.keys() & sources.keys():
            if signature(sources[role]) != self._roles[role]["source"]:
                return sources[role]
        return None

    def shape(self, role: str) -> tuple[int, ...]:
        """Return the shape of all pixels of a role."""
        return tuple(self._roles[role]["shape"])

    def roles(self) -> set[str]:
        """Return the roles in the file."""
        return set(self._roles)

    def read(self, role: str, window: Place | None = None) -> np.ndarray:
        """Return the pixels (h, w[, 3]) of a window; all of them by default.

        Raises:
            InputError: the file was damaged.
        """
        shape = self.shape(role)
        place = window or (0, 0, shape[0], shape[1])
        try:
            pixels = np.empty((*place[2:], *shape[2:]), self._roles[role]["dtype"])
            self._fill(pixels, role, place)
        except InputError:
            raise
        except Exception as error:
            raise self._broken(error) from None
        if role == "image":
            self._image = place, pixels
        return pixels

    def _fill(self, pixels: np.ndarray, role: str, place: Place) -> None:
        starts = self._file.get_tensor(f"{role}.starts").tolist()
        relative = self._file.get_tensor(f"{role}.relative").tolist()
        (high, wide, *_), (rows_of_tile, columns_of_tile) = self.shape(role), self._roles[role]["tile"]
        if not len(starts) - 1 == len(relative) == -(-high // rows_of_tile) * -(-wide // columns_of_tile):
            raise ValueError(f"the number of tiles of {role} does not match its size")  # before they are listed
        if role not in LAYERS and any(relative):
            raise ValueError(f"{role} is stored as a difference from the image")
        tiles = list(_tiles(self.shape(role), self._roles[role]["tile"], place))
        first = starts[tiles[0].number]
        content = memoryview(self._file.get_slice(f"{role}.tiles")[first : starts[tiles[-1].number + 1]])
        pixel = math.prod(pixels.shape[2:]) * pixels.itemsize
        for number, rows, columns in tiles:
            height, width = rows.stop - rows.start, columns.stop - columns.start
            blob = content[starts[number] - first : starts[number + 1] - first]
            raw = block.decompress(blob, uncompressed_size=height * width * pixel)
            tile = np.frombuffer(raw, pixels.dtype).reshape(height, width, *pixels.shape[2:])
            vertical, horizontal = _overlap(rows, place[0], place[2]), _overlap(columns, place[1], place[3])
            source, target = tile[vertical[0], horizontal[0]], (vertical[1], horizontal[1])
            if relative[number]:
                np.add(source, self._image_at(place)[target], out=pixels[target])
            else:
                pixels[target] = source

    def _image_at(self, place: Place) -> np.ndarray:
        if self._image is None or self._image[0] != place:
            return self.read("image", place)
        return self._image[1]

    def _broken(self, error: Exception) -> InputError:
        return InputError(f"{self.path}: damaged pack ({error}); delete it or run `p3m data pack` again")


def _layout(text: str) -> dict[str, Any]:
    """Parse the description of the roles in a file.

    Raises:
        ValueError: it is not one that `encode_pack` writes.
    """
    roles = json.loads(text)
    for role, told in roles.items():
        numbers = [*told["shape"], *told["tile"]]
        counted = all(type(number) is int and 0 < number < 1 << 31 for number in numbers)
        fits = counted and len(told["shape"]) in (2, 3) and len(told["tile"]) == 2 and told["dtype"] in DTYPES
        if not fits or math.prod(told["shape"]) > MOST:
            raise ValueError(f"{role} is described as {str(told)[:80]}")
    return roles


def _encode_tile(role: str, maps: Mapping[str, np.ndarray], tile: _Tile) -> tuple[bytes, bool]:
    """Return the shorter of a tile and its difference from the image, and whether it is the latter."""
    pixels = maps[role][tile.rows, tile.columns]
    plain = _compress(pixels)
    if role in LAYERS:
        difference = _compress(pixels - maps["image"][tile.rows, tile.columns])  # of bytes, modulo 256
        if len(difference) < len(plain):
            return difference, True
    return plain, False


def _compress(pixels: np.ndarray) -> bytes:
    pixels = np.ascontiguousarray(pixels)
    return block.compress(pixels, mode="high_compression", compression=LEVEL, store_size=False)


def _tiles(shape: Sequence[int], size: Sequence[int], place: Place) -> Iterator[_Tile]:
    """Yield the tiles of an image that a place touches."""
    (top, left, height, width), (tall, wide) = place, size
    across = -(-shape[1] // wide)
    for row in range(top // tall, -(-(top + height) // tall)):
        rows = slice(row * tall, min((row + 1) * tall, shape[0]))
        for column in range(left // wide, -(-(left + width) // wide)):
            columns = slice(column * wide, min((column + 1) * wide, shape[1]))
            yield _Tile(row * across + column, rows, columns)


def _overlap(tile: slice, start: int, length: int) -> tuple[slice, slice]:
    """Return the part of a tile's side within a window, counted from the tile's start and from the window's."""
    first, last = max(tile.start, start), min(tile.stop, start + length)
    return slice(first - tile.start, last - tile.start), slice(first - start, last - start)
