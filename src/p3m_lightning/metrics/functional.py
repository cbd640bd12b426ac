"""The errors of a predicted matte as pure functions of two arrays, computed in float64.

Mattes are arrays or tensors (H, W) of floats in [0, 1]. Every function raises InputError if they are not (8-bit
codes included), if sizes differ, or if a trimap or mask has invalid values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from p3m_lightning.images import strips
from p3m_lightning.metrics import definitions
from p3m_lightning.metrics.arrays import Array, checked_face, checked_trimap, matte_and_mask, matte_pair
from p3m_lightning.metrics.connectivity import connectivity_difference
from p3m_lightning.metrics.gradient import ADOBE_FILTER, P3M_FILTER, gradient_difference
from p3m_lightning.schema import BACKGROUND, FOREGROUND, UNKNOWN


def sad(pred: Array, target: Array) -> float:
    """Return the sum of absolute differences of two mattes (H, W) in [0, 1], in thousands of pixels.

    Example:
        >>> import numpy as np
        >>> sad(np.full((50, 40), 0.75), np.ones((50, 40)))
        0.5
    """
    return _errors(*matte_pair(pred, target)).sad


def mse(pred: Array, target: Array) -> float:
    """Return the mean squared difference of two mattes (H, W) in [0, 1].

    Example:
        >>> import numpy as np
        >>> mse(np.full((50, 40), 0.75), np.ones((50, 40)))
        0.0625
    """
    return _errors(*matte_pair(pred, target)).mse


def mad(pred: Array, target: Array) -> float:
    """Return the mean absolute difference of two mattes (H, W) in [0, 1].

    Example:
        >>> import numpy as np
        >>> mad(np.full((50, 40), 0.75), np.ones((50, 40)))
        0.25
    """
    return _errors(*matte_pair(pred, target)).mad


def gradient_error(pred: Array, target: Array) -> float:
    """Return the gradient error of two mattes (H, W) in [0, 1]: the sum of Rhemann et al., CVPR 2009, over 10.

    Example:
        >>> import numpy as np
        >>> step = np.zeros((40, 40))
        >>> step[:, 20:] = 1
        >>> gradient_error(step, step)
        0.0
        >>> round(gradient_error(np.zeros((40, 40)), step), 3)
        0.824
    """
    return gradient_difference(*matte_pair(pred, target), P3M_FILTER) / 10


def connectivity_error(pred: Array, target: Array) -> float:
    """Return the connectivity error of two mattes (H, W) in [0, 1]: the sum of Rhemann et al., CVPR 2009, over 1000.

    0 where no pixel reaches 0.1 in both mattes, as in the published code.

    Example:
        >>> import numpy as np
        >>> target = np.zeros((40, 40))
        >>> target[:, 5:20] = 1
        >>> pred = target.copy()
        >>> pred[10:20, 30:35] = 1  # an isolated island of 50 pixels
        >>> connectivity_error(pred, target)
        0.05
    """
    return connectivity_difference(*matte_pair(pred, target), skip_empty=True) / 1000


def matting_metrics(pred: Array, target: Array, trimap: Array | None = None) -> dict[str, float]:
    """Return every metric of Li et al., "Privacy-Preserving Portrait Matting", ACM MM 2021, by its key.

    Args:
        pred: predicted matte, (H, W) in [0, 1].
        target: true matte, (H, W) in [0, 1].
        trimap: (H, W) of 0, 128, 255 or of 0, 1, 2; without it the five region metrics are left out.

    Returns:
        The keys of `definitions.P3M`, in its order. Without an unknown pixel `mse_unknown` and `mad_unknown` are 0,
        where the published code divides by zero.

    Example:
        >>> import numpy as np
        >>> target = np.zeros((40, 40))
        >>> target[:, 20:] = 1
        >>> values = matting_metrics(target * 0.5, target)
        >>> values["sad"], values["mse"], values["mad"]
        (0.4, 0.125, 0.25)
        >>> sorted(set(matting_metrics(target, target, target.astype(int) * 2)) - set(values))
        ['mad_unknown', 'mse_unknown', 'sad_background', 'sad_foreground', 'sad_unknown']
    """
    pred, target = matte_pair(pred, target)
    errors = _errors(pred, target)
    values = {"sad": errors.sad, "mse": errors.mse, "mad": errors.mad}
    if trimap is not None:
        values |= _region_metrics(pred, target, checked_trimap(trimap, target.shape))
    values["gradient"] = gradient_difference(pred, target, P3M_FILTER) / 10
    values["connectivity"] = connectivity_difference(pred, target, skip_empty=True) / 1000
    return values


def adobe_metrics(pred: Array, target: Array, trimap: Array | None = None) -> dict[str, float]:
    """Return the metrics as defined by the scripts of Xu et al., "Deep Image Matting", CVPR 2017.

    Args:
        pred: predicted matte, (H, W) in [0, 1].
        target: true matte, (H, W) in [0, 1].
        trimap: (H, W) of 0, 128, 255 or of 0, 1, 2.

    Returns:
        `sad mse gradient connectivity` over all pixels; with a trimap also `<key>_unknown`, over the unknown pixels
        after the known ones have been set in `pred`, all 0 where there is none. 127 is unknown too; the published code
        knows only 128 and returns 0 for it.

    Example:
        >>> import numpy as np
        >>> target = np.zeros((40, 40))
        >>> target[:, 20:] = 1
        >>> sorted(adobe_metrics(target, target))
        ['connectivity', 'gradient', 'mse', 'sad']
        >>> adobe_metrics(target * 0.5, target)["sad"]
        0.4
    """
    pred, target = matte_pair(pred, target)
    values = _adobe(pred, target, None)
    if trimap is not None:
        classes = checked_trimap(trimap, target.shape)
        inside = _adobe(_set_known(pred, classes), target, classes == UNKNOWN)
        values |= {f"{key}_unknown": value for key, value in inside.items()}
    return values


def face_metrics(pred: Array, target: Array, face: Array) -> dict[str, float]:
    """Return the errors inside a face, to measure the effect of obfuscation where it was applied.

    Args:
        pred: predicted matte, (H, W) in [0, 1].
        target: true matte, (H, W) in [0, 1].
        face: mask (H, W), inside from half of its full value up (1 for floats, 255 for integers above 1).

    Returns:
        `sad_face` in thousands of pixels, `mse_face`, `mad_face`; no keys if the mask is empty.

    Example:
        >>> import numpy as np
        >>> face = np.zeros((40, 40))
        >>> face[10:20, 10:20] = 1
        >>> face_metrics(np.zeros((40, 40)), np.ones((40, 40)), face)
        {'sad_face': 0.1, 'mse_face': 1.0, 'mad_face': 1.0}
    """
    pred, target = matte_pair(pred, target)
    inside = checked_face(face, target.shape)
    if not inside.any():
        return {}
    errors = _errors(pred, target, inside)
    return {"sad_face": errors.sad, "mse_face": errors.mse, "mad_face": errors.mad}


def mask_metrics(pred: Array, target: Array, trimap: Array | None = None) -> dict[str, float]:
    """Return the agreement of a matte with a mask, whose hard edge says nothing about hair.

    Args:
        pred: predicted matte, (H, W) in [0, 1].
        target: mask, (H, W) of 0 and 1, whole numbers too; a matte is cut at one half.
        trimap: (H, W) of 0, 128, 255 or of 0, 1, 2; its unknown region is the band around the mask's edge.

    Returns:
        `iou`, the intersection over union of the parts above one half (1 where both are empty), `sad`; with a trimap
        also `sad_known` and `mad_known`, over the pixels outside the band.

    Example:
        >>> import numpy as np
        >>> mask_metrics(np.array([[0.9, 0.6, 0.2]]), np.array([[1.0, 0.0, 0.0]]))["iou"]
        0.5
    """
    pred, target = matte_and_mask(pred, target)
    values = {"iou": _iou(pred, target), "sad": _errors(pred, target).sad}
    if trimap is not None:
        known = _errors(pred, target, checked_trimap(trimap, target.shape) != UNKNOWN)
        values |= {"sad_known": known.sad, "mad_known": known.mad}
    return values


class Convention(NamedTuple):
    """One published set of metrics: the function that measures a pair, and its keys with their definitions."""

    measure: Callable[[Array, Array, Array | None], dict[str, float]]
    definitions: dict[str, str]


CONVENTIONS = {
    "p3m": Convention(matting_metrics, definitions.P3M),
    "adobe": Convention(adobe_metrics, definitions.ADOBE),
    "mask": Convention(mask_metrics, definitions.MASK),
}


def intersection_over_union(pred: Array, target: Array) -> float:
    """Return the intersection over union of the parts of two mattes above one half; 1 where both are empty.

    Args:
        pred: predicted matte, (H, W) in [0, 1].
        target: true matte, likewise, or mask of 0 and 1, whole numbers too.

    Example:
        >>> import numpy as np
        >>> intersection_over_union(np.array([[0.9, 0.6, 0.2]]), np.array([[1.0, 0.0, 0.0]]))
        0.5
    """
    return _iou(*matte_and_mask(pred, target))


def _iou(pred: np.ndarray, target: np.ndarray) -> float:
    ours, truth = pred > 0.5, target > 0.5
    union = np.count_nonzero(ours | truth)
    return float(np.count_nonzero(ours & truth) / union) if union else 1.0


class _Errors(NamedTuple):
    """Sums of the absolute and the squared differences of two mattes, and the number of pixels."""

    absolute: float
    squared: float
    pixels: int

    @property
    def sad(self) -> float:
        return self.absolute / 1000

    @property
    def mse(self) -> float:
        return self.squared / max(1, self.pixels)

    @property
    def mad(self) -> float:
        return self.absolute / max(1, self.pixels)


def _errors(pred: np.ndarray, target: np.ndarray, region: np.ndarray | None = None) -> _Errors:
    """Return the sums over the boolean `region` or everywhere."""
    absolute = squared = 0.0
    pixels = 0
    for rows in strips(len(pred)):
        error = np.abs(pred[rows] - target[rows])
        error = error if region is None else error[region[rows]]
        absolute += float(error.sum())
        pixels += error.size
        squared += float(np.square(error, out=error).sum())
    return _Errors(absolute, squared, pixels)


def _set_known(pred: np.ndarray, classes: np.ndarray) -> np.ndarray:
    return np.where(classes == UNKNOWN, pred, classes == FOREGROUND)


def _region_metrics(pred: np.ndarray, target: np.ndarray, classes: np.ndarray) -> dict[str, float]:
    guided = _errors(_set_known(pred, classes), target)
    # without unknown pixels any count serves for 0 / 0
    unknown = int(np.count_nonzero(classes == UNKNOWN)) or float("inf")
    return {
        "sad_unknown": guided.sad,
        "mse_unknown": guided.squared / unknown,
        "mad_unknown": guided.absolute / unknown,
        "sad_foreground": _errors(pred, target, classes == FOREGROUND).sad,
        "sad_background": _errors(pred, target, classes == BACKGROUND).sad,
    }


def _adobe(pred: np.ndarray, target: np.ndarray, region: np.ndarray | None) -> dict[str, float]:
    """Measure by Adobe's convention, over the boolean `region` or everywhere."""
    errors = _errors(pred, target, region)
    return {
        "sad": errors.sad,
        "mse": errors.mse,
        "gradient": gradient_difference(pred, target, ADOBE_FILTER, region) / 1000,
        # the published code holds alpha in float32 here, where the 8-bit code 153 reaches the sixth threshold
        "connectivity": connectivity_difference(pred, target, False, region, held_in=np.float32) / 1000,
    }
