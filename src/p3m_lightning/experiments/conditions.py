"""Conditions under which a score was measured, in words, for every number of a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from p3m_lightning.inference import Passes

GIVEN = "files"
"""Instead of a mode: mattes from elsewhere, scored by `p3m score`."""


def inference_text(inference: Mapping[str, Any]) -> str:
    """Return mode and resize rule, such as `resize: each side x 0.5, down to a multiple of 32, at most 1600`.

    Args:
        inference: the group of that name in a resolved configuration, with its mode set.
    """
    if inference["mode"] == GIVEN:
        return "mattes given as files"
    flips = ", averaged with the mirrored image" if inference.get("flips") else ""
    return f"{inference['mode']}: {resize_rule(inference)}{flips}"


def resize_rule(inference: Mapping[str, Any]) -> str:
    """Return how images are resized for the network, in words."""
    passes = Passes(**{key: inference[key] for key in asdict(Passes()) if key in inference})
    if inference["mode"] == "native":
        return "images at their own size"
    if inference["mode"] == GIVEN:
        return "not known"
    limits = f"down to a multiple of {passes.multiple}, at most {passes.cap}"
    seen = _part(passes.scale, passes.short_side)
    if inference["mode"] == "resize":
        return f"{seen}, {limits}; the matte is resized to full size"
    tiles = f" in tiles of {passes.tile}" if inference["mode"] == "tiled" else f", {limits}"
    return f"semantics from {seen}, detail from {_part(passes.detail_scale or 1.0, passes.detail_short_side)}{tiles}"


def _part(scale: float, short_side: int | None) -> str:
    return f"each side x {scale:g}" if short_side is None else f"shorter side {short_side}"
