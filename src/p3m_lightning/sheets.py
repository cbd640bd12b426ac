"""Image sheets: a row for every portrait, a labeled column for every map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from torch import Tensor

LABEL_HEIGHT = 28
GAP = 4


class Panel(NamedTuple):
    """An image of a sheet, and the title of its column."""

    caption: str
    picture: np.ndarray  # uint8 (H, W, 3)


class MattingPanels(NamedTuple):
    """The row of one portrait; the error is red where the matte is too high, blue where too low."""

    image: Panel
    trimap: Panel
    matte: Panel
    truth: Panel
    error: Panel


def matting_panels(image: Tensor, trimap: Tensor, alpha: Tensor, truth: Tensor) -> MattingPanels:
    """Turn one portrait's maps into images.

    Args:
        image: (3, H, W) RGB in [0, 1].
        trimap: integer (1, H, W), classes 0, 1, 2, predicted or given.
        alpha: (1, H, W) in [0, 1], the predicted matte.
        truth: (1, H, W) in [0, 1].
    """
    error = error_picture((alpha - truth)[0].float().cpu().numpy())
    return MattingPanels(
        image=Panel("image", to_picture(image)),
        trimap=Panel("trimap prediction", to_picture(trimap / 2)),
        matte=Panel("matte", to_picture(alpha)),
        truth=Panel("ground truth", to_picture(truth)),
        error=Panel("error (red: too high, blue: too low)", error),
    )


def error_picture(difference: np.ndarray) -> np.ndarray:
    """Draw prediction minus truth, float (H, W) in [-1, 1]: white is correct, red too high, blue too low; uint8."""
    red, blue = np.clip(difference, 0, 1), np.clip(-difference, 0, 1)
    return np.rint(np.stack([1 - blue, 1 - red - blue, 1 - red], axis=-1) * 255).astype(np.uint8)


def sheet(rows: Sequence[Sequence[Panel]], notes: Sequence[str], side: int = 320) -> np.ndarray:
    """Lay out rows of pictures with the captions of the first row above and a note under each row.

    Args:
        rows: for each portrait the same columns.
        notes: a line of text for each row.
        side: the longer side of an image in the sheet, in pixels.
    """
    columns = len(rows[0])
    lines = [_label_bar([panel.caption for panel in rows[0]], side)]
    for row, note in zip(rows, notes, strict=True):
        cells = [_fit(panel.picture, side) for panel in row]
        lines.append(np.concatenate([_frame(cell, side) for cell in cells], axis=1))
        lines.append(_label_bar([note, *[""] * (columns - 1)], side))
    return np.concatenate(lines, axis=0)


def to_picture(maps: Tensor) -> np.ndarray:
    """Convert (1 or 3, H, W) in [0, 1] to uint8 (H, W, 3)."""
    picture = np.rint(maps.detach().float().clamp(0, 1).cpu().numpy() * 255).astype(np.uint8).transpose(1, 2, 0)
    return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture


def outlined(image: Tensor, mask: Tensor) -> np.ndarray:
    """Draw the outline of a mask (1, H, W) of [0, 1] into an image (3, H, W) of [0, 1]: uint8 (H, W, 3)."""
    picture = np.ascontiguousarray(to_picture(image))
    inside = (mask[0] > 0.5).cpu().numpy().astype(np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(picture, contours, -1, (0, 255, 0), max(1, max(inside.shape) // 200))


def reduced(picture: np.ndarray, side: int) -> np.ndarray:
    """Return uint8 (H, W[, 3]) with its longer side reduced to `side` pixels; smaller ones are unchanged."""
    return _fit(picture, side) if max(picture.shape[:2]) > side else picture


def _fit(picture: np.ndarray, side: int) -> np.ndarray:
    scale = side / max(picture.shape[:2])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def _frame(picture: np.ndarray, side: int) -> np.ndarray:
    frame = np.full((picture.shape[0] + GAP, side + GAP, 3), 255, np.uint8)
    frame[: picture.shape[0], : picture.shape[1]] = picture
    return frame


def _label_bar(labels: Sequence[str], side: int) -> np.ndarray:
    bar = np.full((LABEL_HEIGHT, len(labels) * (side + GAP), 3), 255, np.uint8)
    for k, text in enumerate(labels):
        origin = (k * (side + GAP) + 2, LABEL_HEIGHT - 9)
        cv2.putText(bar, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return bar
