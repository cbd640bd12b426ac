"""Binary dilation with large structuring elements, 64 pixels at a time."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

WORD = 64  # bits


def dilate(mask: np.ndarray, size: int) -> np.ndarray:
    """Return whether the elliptic element at every pixel covers a pixel of the mask.

    OpenCV's dilation by an element that is not a rectangle visits each of its pixels. Here rows are packed into words
    of 64 pixels and shifted as a whole; each wider row of the element extends the result of a narrower one. Three to
    four times faster for the sizes of P3M's trimaps, with identical results.

    Args:
        mask: bool (H, W); pixels outside do not count.
        size: side of `elliptic_kernel`.

    Returns:
        bool (H, W).

    Example:
        >>> import numpy as np
        >>> dilate(np.array([[False, False, True, False, False]]), 3).astype(int)
        array([[0, 1, 1, 1, 0]])
    """
    height, width = mask.shape
    packed = np.packbits(mask, axis=1, bitorder="little")
    # columns of words are contiguous: numpy is slow if its innermost loop has only the few words of a row
    spread = np.ascontiguousarray(np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view("<u8").T)
    reached = np.zeros_like(spread)
    left = right = 0
    for (first, last), rows in _runs(size):
        # a reach of 0 to n grows to 2 n + 1 by a shift of n + 1; a larger shift would lose pixels at the border
        while right < last:
            step = min(last - right, right + 1)
            _add_moved(spread, step)
            right += step
        while left > first:
            step = min(left - first, 1 - left)
            _add_moved(spread, -step)
            left -= step
        for row in (row for row in rows if abs(row) < height):
            reached[:, max(-row, 0) : height - max(row, 0)] |= spread[:, max(row, 0) : height - max(-row, 0)]
    octets = np.ascontiguousarray(reached.T).view(np.uint8)
    return np.unpackbits(octets, axis=1, count=width, bitorder="little").view(bool)


def _add_moved(spread: np.ndarray, offset: int) -> None:
    """Add the pixels `offset` columns to the right of each pixel (to the left if negative)."""
    words, count = spread.copy(), len(spread)
    whole, left = divmod(abs(offset), WORD)
    bits, rest = np.uint64(left), np.uint64(WORD - left)
    kept, reaching = max(count - whole, 0), max(count - whole - 1, 0) if left else 0
    if offset > 0:
        spread[:kept] |= words[count - kept :] >> bits
        spread[:reaching] |= words[count - reaching :] << rest
    else:
        spread[count - kept :] |= words[:kept] << bits
        spread[count - reaching :] |= words[:reaching] >> rest


@cache
def _runs(size: int) -> list[tuple[tuple[int, int], list[int]]]:
    """Return the rows of the element by first and last column, narrow ones first; all relative to its anchor."""
    runs: dict[tuple[int, int], list[int]] = {}
    for row, ones in enumerate(elliptic_kernel(size)):
        columns = np.flatnonzero(ones) - size // 2
        runs.setdefault((int(columns[0]), int(columns[-1])), []).append(row - size // 2)
    return sorted(runs.items(), key=lambda item: item[0][1] - item[0][0])


@cache
def elliptic_kernel(size: int) -> np.ndarray:
    """Return the structuring element of the P3M trimaps, uint8 (size, size) of 0 and 1; not symmetric for even sizes.

    Example:
        >>> elliptic_kernel(5)
        array([[0, 0, 1, 0, 0],
               [1, 1, 1, 1, 1],
               [1, 1, 1, 1, 1],
               [1, 1, 1, 1, 1],
               [0, 0, 1, 0, 0]], dtype=uint8)
    """
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
