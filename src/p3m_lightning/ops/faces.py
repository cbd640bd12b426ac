"""Face obfuscation of P3M-10k: landmarks -> private area -> minus the transition area -> blur, mosaic or zero.

Li, Ma, Zhang, Tao: Privacy-Preserving Portrait Matting (2021), figure 2; mosaic and zero come from the journal
article (Ma et al. 2023). Detector, kernel size and dilation were not published: here they are keys, and sizes
are relative to that of the face.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from p3m_lightning.ops.matting import trimap_from_alpha
from p3m_lightning.schema import UNKNOWN, InputError

JAW = range(0, 17)
BROWS = range(17, 27)
MODES = ("blur", "mosaic", "zero")
BLUR_SIGMA = 0.12
MOSAIC_CELL = 0.16
TRANSITION_MARGIN = 0.03
SMALLEST_PIECE = 0.05
BLUR_SIDE = 256
"""Faces larger than this are blurred at reduced size, since a strong blur leaves no finer detail."""


def private_area(landmarks: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Fill the polygon of the jaw, closed along the two rows of brow points, without forehead, ears and hair.

    Args:
        landmarks: float (68, 2), x and y in pixels, in the order of 300-W (jaw 0-16, brows 17-26).
        shape: (height, width, ...) of the image; parts of the face outside it are cut off.

    Returns:
        uint8 (H, W), 255 inside the face and on its outline, 0 outside.

    Raises:
        InputError: not 68 finite points.
    """
    points = _checked(landmarks)
    outline = np.concatenate([points[JAW], points[BROWS][::-1]])  # brows in reverse, or the polygon would cross itself
    area = np.zeros(tuple(shape[:2]), np.uint8)
    cv2.fillPoly(area, [np.rint(outline).astype(np.int32)], 255)
    # on turned faces the outline may still cross itself, and the even-odd rule would leave holes
    contours, _ = cv2.findContours(area, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(area, contours, -1, 255, cv2.FILLED)


def face_size(landmarks: np.ndarray) -> float:
    """Return the longer side in pixels of the box around landmarks (68, 2), at least 1: the unit of all sizes below."""
    return max(1.0, float(np.ptp(_checked(landmarks), axis=0).max()))


def transition_area(alpha: np.ndarray, margin: int) -> np.ndarray:
    """Return where a matte changes from foreground to background, including hard edges, widened by `margin` pixels.

    Args:
        alpha: uint8 or uint16 (H, W), full range.
        margin: 0 marks only the soft pixels.

    Returns:
        bool (H, W).
    """
    return trimap_from_alpha(alpha, 2 * margin + 1) == UNKNOWN


def obfuscate(
    image: np.ndarray,
    landmarks: Sequence[np.ndarray],
    alpha: np.ndarray | None = None,
    mode: str = "blur",
    *,
    blur_sigma: float = BLUR_SIGMA,
    mosaic_cell: float = MOSAIC_CELL,
    transition_margin: float = TRANSITION_MARGIN,
    smallest_piece: float = SMALLEST_PIECE,
) -> tuple[np.ndarray, np.ndarray]:
    """Make every face unrecognizable, with a hard border, and change no other pixel.

    Only pixels inside the face are blurred or averaged, so neither hair nor background bleeds into it.

    Args:
        image: uint8 (H, W, 3).
        landmarks: per face float (68, 2), x and y in pixels; none leaves the image unchanged.
        alpha: uint8 or uint16 (H, W); its transition area stays untouched.
        mode: "blur", "mosaic" or "zero".
        blur_sigma: standard deviation of the Gaussian, in face sizes.
        mosaic_cell: side of a mosaic cell, in face sizes.
        transition_margin: widening of the transition area of the matte, in face sizes.
        smallest_piece: pieces that the transition area cuts off in the clear background are not face, but landmarks
            beyond its edge, if they are smaller than this share of the private area; they are left unchanged.

    Returns:
        The obfuscated copy, uint8 (H, W, 3), and the face mask, uint8 (H, W): 255 where pixels were replaced.

    Raises:
        InputError: an unknown mode, a size that is not positive, a matte of another size, not 68 points.
    """
    check_settings(mode, blur_sigma, mosaic_cell, transition_margin, smallest_piece)
    check_arrays(image, alpha)
    result, face_mask = image.copy(), np.zeros(image.shape[:2], np.uint8)
    for points in landmarks:
        size = face_size(points)
        area = private_area(points, image.shape)
        if alpha is not None:
            area = _inside_edges(area, alpha, round(transition_margin * size), smallest_piece)
        if not area.any():
            continue
        x, y, width, height = cv2.boundingRect(area)
        window = np.s_[y : y + height, x : x + width]
        inside = area[window] > 0
        if mode == "blur":
            filled = _blurred(result[window], inside, blur_sigma * size)
        elif mode == "mosaic":
            filled = _mosaic(result[window], inside, max(2, round(mosaic_cell * size)))
        else:
            filled = np.zeros_like(result[window])
        result[window][inside] = filled[inside]
        face_mask |= area
    return result, face_mask


def check_settings(
    mode: str, blur_sigma: float, mosaic_cell: float, transition_margin: float, smallest_piece: float
) -> None:
    """Check the keys of `obfuscate`.

    Raises:
        InputError: an unknown mode, or a size that is not positive; margin and piece may be 0.
    """
    if mode not in MODES:
        raise InputError(f"mode: {mode!r} is not one of {', '.join(MODES)}")
    if not (blur_sigma > 0 and mosaic_cell > 0 and transition_margin >= 0 and 0 <= smallest_piece <= 1):
        raise InputError(
            "blur_sigma and mosaic_cell must be positive, transition_margin 0 or more, smallest_piece between 0 and 1"
        )


def check_arrays(image: np.ndarray, alpha: np.ndarray | None) -> None:
    """Check the arrays of `obfuscate`.

    Raises:
        InputError: an image that is not uint8 (H, W, 3), or a matte of another size.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InputError(f"image: uint8 (H, W, 3) is needed, got {image.dtype} {image.shape}")
    if alpha is not None and alpha.shape != image.shape[:2]:
        raise InputError(f"matte: {_size(alpha)} pixels, but the image has {_size(image)}; they must be the same")


def _inside_edges(area: np.ndarray, alpha: np.ndarray, margin: int, smallest_piece: float) -> np.ndarray:
    """Remove from a private area, uint8 (H, W), the transition area and small pieces in the clear background."""
    left = np.where(transition_area(alpha, margin), np.uint8(0), area)
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(left)
    limit = smallest_piece * np.count_nonzero(area)
    for piece in range(1, count):
        if statistics[piece, cv2.CC_STAT_AREA] < limit and not alpha[labels == piece].any():
            left[labels == piece] = 0
    return left


def _blurred(image: np.ndarray, inside: np.ndarray, sigma: float) -> np.ndarray:
    """Return the Gaussian mean over pixels `inside`: the blur of image x mask divided by the blur of the mask."""
    height, width = inside.shape
    scale = min(1.0, BLUR_SIDE / max(height, width))
    weights = inside.astype(np.float32)
    stack: np.ndarray = np.dstack([image * weights[..., None], weights])
    if scale < 1:
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        stack = cv2.resize(stack, small, interpolation=cv2.INTER_AREA)
    stack = cv2.GaussianBlur(stack, (0, 0), max(0.5, sigma * scale), borderType=cv2.BORDER_CONSTANT)
    stack = cv2.resize(stack, (width, height), interpolation=cv2.INTER_LINEAR)
    return _to_uint8(stack[..., :3] / np.maximum(stack[..., 3:], 1e-6))


def _mosaic(image: np.ndarray, inside: np.ndarray, cell: int) -> np.ndarray:
    """Return the mean over the pixels `inside` of each square cell."""
    height, width = inside.shape
    rows, columns = np.arange(height) // cell, np.arange(width) // cell
    cells = rows[:, None] * (columns[-1] + 1) + columns
    chosen = cells[inside]
    counts = np.bincount(chosen, minlength=cells.max() + 1)
    sums = [np.bincount(chosen, image[..., c][inside], minlength=len(counts)) for c in range(3)]
    means = np.stack(sums, axis=1) / np.maximum(counts, 1)[:, None]
    return _to_uint8(means[cells])


def _to_uint8(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def _checked(landmarks: np.ndarray) -> np.ndarray:
    points = np.asarray(landmarks, np.float64)
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise InputError(f"landmarks: 68 finite points (x, y) are needed for a face, got an array of {points.shape}")
    return np.clip(points, -1e6, 1e6)


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"
