"""Arguments of the metrics: mattes, trimaps and face masks of any library, checked and converted to numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from p3m_lightning.images import trimap_classes
from p3m_lightning.messages import shortened
from p3m_lightning.schema import FOREGROUND, InputError

if TYPE_CHECKING:  # scoring files needs no torch
    from torch import Tensor

Array: TypeAlias = "np.ndarray | Tensor"

OVERSHOOT = 1e-6  # tolerance for resampling in float32
SHOWN = 5
"""Number of wrong values that a message lists."""


def matte_pair(pred: Array, target: Array) -> tuple[np.ndarray, np.ndarray]:
    """Return a predicted and a true matte, (H, W) each, as float64 arrays of one size.

    Raises:
        InputError: one is not a matte (see `unit_matte`), or the sizes differ.
    """
    pred, target = unit_matte(pred, "pred"), unit_matte(target, "target")
    require_size(pred, target.shape, "pred")
    return pred, target


def matte_and_mask(pred: Array, mask: Array) -> tuple[np.ndarray, np.ndarray]:
    """Return what `matte_pair` does, where the second may also be a mask of whole numbers, 0 and 1.

    Raises:
        InputError: see `matte_pair`.
    """
    plane = _plane(mask, "target")
    if np.issubdtype(plane.dtype, np.integer) and plane.min() >= 0 and plane.max() <= 1:
        plane = plane.astype(bool)
    return matte_pair(pred, plane)


def unit_matte(matte: Array, name: str) -> np.ndarray:
    """Return `matte`, floats or booleans (H, W) in [0, 1], as a float64 array, without a copy if it is one.

    A float32 value that is an 8-bit code over 255 becomes that quotient in float64: code 153 is 0.6, just below the
    sixth threshold of the connectivity error, 0.6000000000000001, but in float32 it would lie above.

    Raises:
        InputError: integers (codes 0 to 255 look like a matte but are not), values outside [0, 1], NaN, no pixels,
            not two axes; the message calls the matte `name`.
    """
    array = _plane(matte, name)
    if not (np.issubdtype(array.dtype, np.floating) or array.dtype == bool):
        span = f", {array.min()} to {array.max()}"
        raise InputError(f"{name}: {array.dtype} values{span}; mattes are floats in [0, 1]: divide 8-bit codes by 255")
    low, high = float(array.min()), float(array.max())
    if not (low >= -OVERSHOOT and high <= 1 + OVERSHOOT):  # written so that NaN fails too
        raise InputError(f"{name}: values from {low:g} to {high:g}; mattes lie in [0, 1]: divide 8-bit codes by 255")
    unit = np.ascontiguousarray(array, dtype=np.float64)  # OpenCV requires contiguous rows
    if array.dtype == np.float32:
        codes = np.rint(unit * 255) / 255
        np.copyto(unit, codes, where=np.abs(codes - unit) <= np.finfo(np.float32).eps)
    return unit


def checked_trimap(trimap: Array, shape: tuple[int, int]) -> np.ndarray:
    """Return a trimap as uint8 (H, W) of BACKGROUND, UNKNOWN, FOREGROUND.

    Args:
        trimap: whole numbers (H, W), either classes 0, 1, 2 or codes 0, 128 (or 127), 255. Without a value above 2 they
            are classes.
        shape: the size it must have.

    Raises:
        InputError: other values, also those between the codes that resizing leaves, or another size.
    """
    array = _plane(trimap, "trimap")
    require_size(array, shape, "trimap")
    low, high = array.min(), array.max()
    cure = "they must be 0, 1, 2 or 0, 128, 255 (background, unknown, foreground)"
    if array.dtype == bool:
        raise InputError(f"trimap: booleans, which tell two classes of three; {cure}")
    if not (low >= 0 and high <= 255) or (np.issubdtype(array.dtype, np.floating) and (array % 1).any()):
        raise InputError(f"trimap: values from {low:g} to {high:g}; {cure}")
    codes = array.astype(np.uint8)
    if high <= FOREGROUND:
        return codes
    try:
        return trimap_classes(codes)
    except InputError:  # its message is about files
        raise InputError(
            f"trimap: the values {', '.join(shortened(map(str, np.unique(codes)), SHOWN))}; {cure}"
        ) from None


def checked_face(face: Array, shape: tuple[int, int]) -> np.ndarray:
    """Return a mask (H, W) as booleans, true from half of its full value up: of 1 for floats, of 255 for integers.

    Args:
        face: floats in [0, 1], booleans, or integers 0 .. 255 of which a maximum of 1 means 0 and 1.
        shape: the size it must have.

    Raises:
        InputError: another size, or values outside the range.
    """
    array = _plane(face, "face")
    require_size(array, shape, "face")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 255):
        raise InputError(f"face: values from {low:g} to {high:g}; they must lie in [0, 1] or 0 .. 255")
    return array >= (0.5 if high <= 1 else 127.5)


def require_size(array: np.ndarray, shape: tuple[int, int], name: str) -> None:
    """Raise InputError if the (height, width) of `array` is not `shape`."""
    if array.shape != shape:
        (height, width), (wanted_height, wanted_width) = array.shape, shape
        raise InputError(f"{name}: {width} x {height} pixels, but the true matte has {wanted_width} x {wanted_height}")


def _plane(values: Array, name: str) -> np.ndarray:
    """Convert a tensor to numpy and drop leading axes of length 1."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = (values.float() if values.dtype.is_floating_point and values.element_size() < 4 else values).numpy()
    array = np.asarray(values)
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"{name}: shape {tuple(np.shape(values))}; one plane (height, width) of pixels is needed")
    return array
