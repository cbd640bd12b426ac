"""Pixels as numbers: codes of 8 and 16 bits, the unit range, EXIF orientation, and antialiased resizing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from p3m_lightning.schema import InputError

EXIF_ORIENTATION = 0x0112

STRIP = 256
"""Rows processed at once."""

BLOCK = 32
"""Samples per matrix product: more would multiply more zeros, fewer would make many small products."""


def to_unit(pixels: np.ndarray, dtype: Any = np.float32) -> np.ndarray:
    """Scale uint8 or uint16 pixels to [0, 1]; floats pass through.

    Raises:
        InputError: signed integers or booleans, whose range says nothing.
    """
    if np.issubdtype(pixels.dtype, np.floating):
        return pixels.astype(dtype, copy=False)
    if not np.issubdtype(pixels.dtype, np.unsignedinteger):
        raise InputError(f"pixels of {pixels.dtype}: give uint8, uint16 or floats in [0, 1]")
    values = pixels.astype(dtype)
    values /= dtype(np.iinfo(pixels.dtype).max)  # in place, to avoid a second copy of a large photograph
    return values


def from_unit(values: np.ndarray, dtype: Any = np.uint8) -> np.ndarray:
    """Round values of [0, 1] to the full range of `dtype` (uint8 or uint16).

    Raises:
        InputError: another `dtype`.
    """
    if not np.issubdtype(dtype, np.unsignedinteger):
        raise InputError(f"dtype={np.dtype(dtype)}: give uint8 or uint16")
    top = np.iinfo(dtype).max
    codes = np.empty(values.shape, dtype)
    for rows in strips(len(values)):
        strip = np.clip(values[rows], 0, 1) * top
        codes[rows] = np.rint(strip, out=strip)
    return codes


def strips(height: int, begin: int = 0) -> Iterator[slice]:
    """Yield the rows from `begin` to `height`, a few at a time, so that no full copy of a large image is made."""
    return (slice(top, min(top + STRIP, height)) for top in range(begin, height, STRIP))


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Round uint16 pixels to uint8 (65535 becomes 255); uint8 passes through."""
    if pixels.dtype == np.uint8:
        return pixels
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn (H, W, ...) upright by its EXIF orientation."""
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
"""The operation that makes each EXIF orientation upright."""


class Block(NamedTuple):
    """Some neighboring samples of the new axis, as weighted sums of samples of the old one."""

    source: slice  # of the old axis
    weights: np.ndarray  # float64 (samples, length of source)


@lru_cache(maxsize=64)
def smooth_blocks(old: int, new: int) -> tuple[Block, ...]:
    """Return the blocks, in order, that resample an axis of `old` samples to `new`; see `ops.resize_smooth`.

    A Gaussian of standard deviation (f - 1) / 2 before a reduction by f, then linear sampling at half-pixel centers,
    borders mirrored without repeating the edge sample.
    """
    positions, weights = _taps(old, new)
    return tuple(
        _block(positions[begin : begin + BLOCK], weights[begin : begin + BLOCK]) for begin in range(0, new, BLOCK)
    )


def resize_smooth_array(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize float32 (N, C, H, W) to `size` (height, width) as `ops.resize_smooth` does, without torch."""
    old = maps.shape[-2:]
    if old == size:
        return maps
    maps = np.concatenate(
        [b.weights.astype(np.float32) @ maps[..., b.source, :] for b in smooth_blocks(old[0], size[0])], -2
    )
    return np.concatenate(
        [maps[..., b.source] @ b.weights.astype(np.float32).T for b in smooth_blocks(old[1], size[1])], -1
    )


def _block(positions: np.ndarray, weights: np.ndarray) -> Block:
    first, last = int(positions.min()), int(positions.max())
    matrix = np.zeros((len(positions), last + 1 - first))
    np.add.at(matrix, (np.arange(len(positions))[:, None], positions - first), weights)
    return Block(slice(first, last + 1), matrix)


def _taps(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """Return source positions and weights, (new, taps) each, of smoothing followed by linear sampling."""
    factor = old / new
    sigma = max(0.0, (factor - 1) / 2)
    radius = int(4 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    bell = np.exp(-0.5 * (offsets / sigma) ** 2) if sigma else np.ones(1)
    bell /= bell.sum()
    center = (np.arange(new) + 0.5) * factor - 0.5
    left = np.floor(center)
    fraction = (center - left)[:, None]
    # sampling mixes two smoothed neighbors, so the kernel is the sum of Gaussians at `left` and `left + 1`
    weights = (1 - fraction) * np.append(bell, 0) + fraction * np.append(0, bell)
    return _mirror(left.astype(int)[:, None] + np.arange(-radius, radius + 2), old), weights


def _mirror(positions: np.ndarray, length: int) -> np.ndarray:
    """Mirror positions outside [0, length) back, without repeating the edge sample: c b | a b c | b a."""
    if length == 1:
        return np.zeros_like(positions)
    period = 2 * (length - 1)
    positions = positions % period
    return np.minimum(positions, period - positions)
