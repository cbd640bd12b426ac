"""Temporal stability of the mattes of a clip: errors of their change from frame to frame.

Clips are read one frame at a time, so that their length costs no memory. Mattes are as in `functional`; every function
raises InputError if they are not, if prediction and truth differ in length, if frames differ in size, or if there are
fewer than two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise, zip_longest

import cv2
import numpy as np

from p3m_lightning.metrics.arrays import Array, matte_pair
from p3m_lightning.schema import InputError

DEFINITIONS = {
    "dtssd": "root of the mean over pixels of ((pred' - pred) - (gt' - gt))^2, ' the next frame; mean over pairs of"
    " frames, * 100",
    "messddt": "mean over pixels of |(pred - gt)^2 - (pred' - gt')^2|, ' where the motion leads in the next frame; mean"
    " over pairs of frames",
}
"""Erofeev et al., "Perceptually Motivated Benchmark for Video Matting", BMVC 2015, section 5: the two measures of
temporal coherence that agreed best with people. They sum over pixels; here the mean is used, so that sizes are
comparable, and dtSSD is given in hundredths, as in video matting papers."""


def dtssd(preds: Iterable[Array], targets: Iterable[Array]) -> float:
    """Return dtSSD of a clip: the error of its changes from frame to frame.

    Args:
        preds: predicted mattes (H, W) in [0, 1], in order.
        targets: true mattes, the same number.
    """
    return _mean_over_pairs(_change, preds, targets)


def messddt(preds: Iterable[Array], targets: Iterable[Array], motions: Iterable[np.ndarray]) -> float:
    """Return MESSDdt of a clip: how much the squared error changes along the motion.

    Args:
        preds: predicted mattes (H, W) in [0, 1], in order.
        targets: true mattes, the same number.
        motions: float32 (H, W, 2), the motion of each pixel to the next frame, x and y in pixels; that of the last
            frame is not used. Pixels that leave the frame do not count.

    Raises:
        InputError: also if there are fewer motions than pairs of frames, or one has another shape or is not finite.
    """
    ahead = enumerate(motions)
    return _mean_over_pairs(lambda pair, later: _moved_change(pair, later, _next_motion(ahead, pair)), preds, targets)


Pair = tuple[np.ndarray, np.ndarray]


def _mean_over_pairs(measure: Callable[[Pair, Pair], float], preds: Iterable[Array], targets: Iterable[Array]) -> float:
    values = [measure(pair, later) for pair, later in pairwise(_pairs(preds, targets))]
    if not values:
        raise InputError("clip: two frames or more are needed to see a change")
    return float(np.mean(values))


def _pairs(preds: Iterable[Array], targets: Iterable[Array]) -> Iterator[Pair]:
    shape = None
    for number, (pred, target) in enumerate(zip_longest(preds, targets)):
        if pred is None or target is None:
            raise InputError("clip: the numbers of predicted and true mattes differ")
        pair = matte_pair(pred, target)
        shape = shape or pair[0].shape
        if pair[0].shape != shape:
            raise InputError(f"clip: frame {number} has shape {pair[0].shape}, the first {shape}; give all in one size")
        yield pair


def _change(pair: Pair, later: Pair) -> float:
    (pred, target), (pred_later, target_later) = pair, later
    return 100 * float(np.sqrt(np.square((pred_later - pred) - (target_later - target)).mean()))


def _next_motion(ahead: Iterator[tuple[int, np.ndarray]], pair: Pair) -> np.ndarray:
    """Return the motion from one frame to the next, float32 (H, W, 2)."""
    number, motion = next(ahead, (None, None))
    if motion is None:
        raise InputError("motions: fewer than pairs of frames; give one for each frame but the last")
    motion, wanted = np.asarray(motion, np.float32), (*pair[0].shape, 2)
    if motion.shape != wanted:
        raise InputError(f"motions: shape {motion.shape} at frame {number}; {wanted} is needed: x and y of each pixel")
    if not np.isfinite(motion).all():
        raise InputError(f"motions: not finite at frame {number}; let pixels without a motion leave the frame")
    return motion


def _moved_change(pair: Pair, later: Pair, motion: np.ndarray) -> float:
    error, error_later = (np.square(pred - target) for pred, target in (pair, later))
    height, width = error.shape
    places = motion + np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
    inside = ((places >= 0) & (places <= (width - 1, height - 1))).all(2)
    arrived = cv2.remap(  # type: ignore[call-overload]  # one map holds x and y
        error_later, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return float(np.abs(error - arrived)[inside].mean()) if inside.any() else 0.0
