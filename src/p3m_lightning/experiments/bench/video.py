"""Benchmark of smoothing methods: flicker removed, and its cost, on synthetic clips whose mattes are known."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

from p3m_lightning.images import to_unit
from p3m_lightning.inference import Predictor
from p3m_lightning.inference.video.smoothing import SMOOTHINGS, smooth
from p3m_lightning.metrics.functional import sad
from p3m_lightning.metrics.video import dtssd, messddt
from p3m_lightning.progress import track
from p3m_lightning.synthetic.clip import ClipFrame, render_clip

MattingFunction = Callable[[Sequence[ClipFrame]], list[np.ndarray]]
"""Function that mattes a clip: float32 (H, W) in [0, 1] for every frame."""


RATIOS = ("dtssd", "messddt", "sad")


def bench(
    matting: MattingFunction, seeds: Sequence[int], frames: int, size: tuple[int, int], moving_background: bool = True
) -> dict[str, dict[str, float]]:
    """Matte clips frame by frame, smooth them in every way, and measure.

    Args:
        matting: from `by_network` or `by_simulation`.
        seeds: one clip each.
        frames: length of each clip.
        size: (height, width) of each clip.
        moving_background: see `render_clip`.

    Returns:
        For every smoothing the means over the clips of `dtssd`, `messddt`, `sad` (per frame) and `seconds` (per frame,
        of smoothing alone), and `dtssd_ratio`, `messddt_ratio`, `sad_ratio`: the means divided by those without
        smoothing. dtSSD includes a part that no smoothing changes: errors that stay still while the true matte moves.
    """
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in SMOOTHINGS}
    for seed in track(seeds, "clips"):
        clip = list(render_clip(seed, frames, size, moving_background))
        raw = matting(clip)
        for name in SMOOTHINGS:
            rows[name].append(measure(clip, raw, name))
    means = {name: {key: float(np.mean([row[key] for row in own])) for key in own[0]} for name, own in rows.items()}
    for own in means.values():
        own |= {f"{key}_ratio": own[key] / max(means["none"][key], 1e-12) for key in RATIOS}
    return means


def measure(clip: Sequence[ClipFrame], raw: Sequence[np.ndarray], smoothing: str) -> dict[str, float]:
    """Smooth the mattes `raw` of one clip and return its errors and the seconds that smoothing took per frame."""
    begin = time.perf_counter()
    mattes = list(smooth((frame.image for frame in clip), raw, smoothing))
    seconds = (time.perf_counter() - begin) / len(clip)
    truth = [to_unit(frame.alpha, np.float64) for frame in clip]
    return {
        "dtssd": dtssd(mattes, truth),
        "messddt": messddt(mattes, truth, (frame.motion for frame in clip)),
        "sad": float(np.mean([sad(*pair) for pair in zip(mattes, truth, strict=True)])),
        "seconds": seconds,
    }


def by_network(predictor: Predictor) -> MattingFunction:
    """Matte with a network that sees one frame at a time."""
    return lambda clip: [predictor(frame.image).alpha for frame in clip]


def by_simulation(seed: int = 0) -> MattingFunction:
    """Add flicker to the true matte, for a trial without a network; it does not measure one.

    Every frame has new errors: soft noise near the edge of the subject, and in about every eighth frame a blob that is
    wrong in this frame only.
    """
    rng = np.random.default_rng(seed)
    return lambda clip: [_flickering(rng, to_unit(frame.alpha)) for frame in clip]


def _flickering(rng: np.random.Generator, alpha: np.ndarray) -> np.ndarray:
    height, width = alpha.shape
    soft = cv2.resize(rng.normal(0, 0.35, (height // 8 + 1, width // 8 + 1)).astype(np.float32), (width, height))
    edge = cv2.GaussianBlur((np.abs(alpha - 0.5) < 0.49).astype(np.float32), (0, 0), 3)
    noisy = alpha + soft * np.minimum(1, 2 * edge)
    if rng.random() < 0.125:
        blob = np.zeros_like(alpha)
        center = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(blob, center, max(2, height // 12), 1.0, -1, cv2.LINE_AA)
        noisy = noisy + blob * (1 - 2 * alpha)
    return noisy.clip(0, 1)


def summary(means: dict[str, dict[str, float]], mattes: str, **setting: Any) -> dict[str, Any]:
    """Return the results to print as JSON; `mattes` says where the unsmoothed mattes come from."""
    return {"benchmark": "video", "mattes": mattes, **setting, "smoothings": means}
