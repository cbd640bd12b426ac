"""Haircuts: a dozen, and everything between their extremes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Style(NamedTuple):
    """A haircut and the way it is worn; lengths in units of head space."""

    length: float
    comb: tuple[float, float, float]  # direction laid over the roots, x away from the parting
    lift: float  # steepness of the hair at the scalp
    gravity: float
    part: float  # x of the parting
    volume: float  # inner side of the hair, in skulls
    spread: float  # distance to its outer side
    curl: float  # radius of the curls
    turns: float  # curls along a strand
    clump: float  # 0 to 1, how much strands converge toward the tip
    mess: float  # wandering of single strands
    flyaway: float  # share of loose strands
    hairline: float  # height of the hairline above the usual
    guard: float  # half width of the face kept free of hair, 0: none
    worn_up: bool  # ends in a bun


def draw_style(rng: np.random.Generator, feminine: float) -> Style | None:
    """Draw a haircut between the extremes of a dozen cuts; None for a bald head."""
    long = rng.random() < 0.15 + 0.65 * feminine
    if not long and rng.random() < 0.06:
        return None
    base = {
        "part": rng.uniform(-0.35, 0.35) if rng.random() < 0.7 else rng.choice([-0.45, 0.45]),
        "hairline": rng.normal(0, 0.04) if feminine > 0.4 else rng.normal(0.04, 0.06),
        "mess": abs(rng.normal(0.05, 0.035)) + 0.015,
        "flyaway": rng.uniform(0.01, 0.07),
        "clump": rng.uniform(0.2, 0.85),
    }
    kind = rng.choice(list(_LONG if long else _SHORT))
    low, high = (_LONG if long else _SHORT)[kind]
    drawn = {name: rng.uniform(a, b) for (name, a), b in zip(low.items(), high.values(), strict=True)}
    if kind in ("afro", "ringlets", "tousled"):
        base["clump"] *= 0.5
    comb = rng.normal(_COMBS[kind], 0.12)
    return Style(comb=tuple(comb), worn_up=kind == "up", **base, **drawn)


_COMBS = {
    "straight": (0.6, 0.1, -0.1),
    "wavy": (0.6, 0.0, -0.1),
    "curly": (0.5, -0.1, 0.0),
    "bob": (0.7, 0.2, 0.0),
    "up": (0.25, -0.4, -1.0),
    "crop": (0.1, -0.2, 0.1),
    "side": (0.9, -0.1, 0.25),
    "back": (0.2, -0.5, -0.7),
    "fringe": (0.3, 0.1, 0.8),
    "tousled": (0.2, -0.3, 0.3),
    "ringlets": (0.0, -0.3, 0.2),
    "afro": (0.0, 0.0, 0.0),
}
_KEYS = ("length", "lift", "gravity", "volume", "spread", "curl", "turns", "guard")


def _cuts(table: dict[str, tuple[tuple[float, float], ...]]) -> dict[str, tuple[dict[str, float], dict[str, float]]]:
    def end(pairs: tuple[tuple[float, float], ...], number: int) -> dict[str, float]:
        return dict(zip(_KEYS, (pair[number] for pair in pairs), strict=True))

    return {kind: (end(pairs, 0), end(pairs, 1)) for kind, pairs in table.items()}


_LONG = _cuts(
    {  #             length      lift        gravity      volume        spread        curl         turns   guard
        "straight": ((2.2, 4.8), (0.1, 0.2), (0.25, 0.4), (1.03, 1.08), (0.06, 0.14), (0.0, 0.01), (1, 2), (0.5, 0.6)),
        "wavy": ((2.2, 4.6), (0.2, 0.4), (0.2, 0.3), (1.05, 1.12), (0.1, 0.22), (0.03, 0.07), (2, 3.5), (0.5, 0.62)),
        "curly": ((1.8, 3.6), (0.4, 0.8), (0.15, 0.25), (1.06, 1.16), (0.25, 0.5), (0.05, 0.08), (4, 5.5), (0.5, 0.62)),
        "bob": ((1.3, 1.9), (0.1, 0.4), (0.2, 0.4), (1.04, 1.1), (0.08, 0.2), (0.0, 0.03), (1, 2), (0.52, 0.64)),
        "up": ((1.0, 1.3), (0.02, 0.1), (0.0, 0.03), (1.02, 1.05), (0.02, 0.05), (0.0, 0.01), (1, 2), (0.0, 0.0)),
    }
)
_SHORT = _cuts(
    {
        "crop": ((0.1, 0.25), (0.4, 1.0), (0.02, 0.1), (1.01, 1.02), (0.1, 0.2), (0.0, 0.01), (1, 2), (0.0, 0.0)),
        "side": ((0.4, 0.8), (0.2, 0.5), (0.06, 0.12), (1.03, 1.07), (0.06, 0.14), (0.0, 0.02), (1, 2), (0.0, 0.0)),
        "back": ((0.5, 1.0), (0.2, 0.5), (0.02, 0.06), (1.03, 1.07), (0.08, 0.18), (0.0, 0.02), (1, 2), (0.0, 0.0)),
        "fringe": ((0.5, 0.8), (0.2, 0.5), (0.08, 0.16), (1.03, 1.08), (0.06, 0.14), (0.0, 0.03), (1, 2), (0.0, 0.0)),
        "tousled": ((0.35, 0.7), (0.5, 1.0), (0.04, 0.1), (1.03, 1.08), (0.15, 0.3), (0.02, 0.05), (1, 3), (0.0, 0.0)),
        "ringlets": ((0.5, 0.9), (0.7, 1.1), (0.05, 0.12), (1.04, 1.1), (0.2, 0.4), (0.04, 0.06), (3, 4.5), (0.0, 0.0)),
        "afro": ((0.35, 0.9), (1.4, 1.8), (0.0, 0.02), (1.0, 1.05), (2.0, 3.0), (0.03, 0.05), (4, 5.5), (0.0, 0.0)),
    }
)
