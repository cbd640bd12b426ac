"""Overlapping spans of an axis, from which tiles are made."""

from __future__ import annotations

import numpy as np


def spans(side: int, tile: int, overlap: int) -> list[tuple[slice, np.ndarray]]:
    """Divide one axis into overlapping spans, each with a weight for every pixel; the weights of a pixel sum to 1.

    The outer quarters of an overlap serve only as context (weight 0); the middle half fades linearly.
    """
    begins = [0] if side <= tile else [*range(0, side - tile, tile - overlap), side - tile]
    spans = [slice(begin, min(begin + tile, side)) for begin in begins]
    ramps = [_ramp(span, side, overlap) for span in spans]
    total = np.zeros(side)
    for span, ramp in zip(spans, ramps, strict=True):
        total[span] += ramp
    return [(span, ramp / total[span]) for span, ramp in zip(spans, ramps, strict=True)]


def _ramp(span: slice, side: int, overlap: int) -> np.ndarray:
    """Return the weights of one span before normalization; there is no fading at the borders of the image."""
    context = overlap // 4
    fade = overlap - 2 * context
    centers = np.arange(span.start, span.stop) + 0.5
    before = (centers - span.start - context) / fade if span.start > 0 else np.ones(len(centers))
    after = (span.stop - centers - context) / fade if span.stop < side else np.ones(len(centers))
    return np.clip(np.minimum(before, after), 0, 1)
