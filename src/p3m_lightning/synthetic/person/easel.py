"""Plate, frame and lamp together: painting a body in its own coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from p3m_lightning.synthetic.painting.clothes import Cloth
from p3m_lightning.synthetic.painting.frame import Frame
from p3m_lightning.synthetic.painting.plate import Plate, tube
from p3m_lightning.synthetic.painting.shading import Light, soft_shadow, solid
from p3m_lightning.synthetic.person.view import SUBSURFACE

Points = np.ndarray | Sequence[tuple[float, float]]
"""Body points (N, 2)."""


class Easel(NamedTuple):
    """Tools for painting a body; all points and lengths below are in the frame's units."""

    plate: Plate
    frame: Frame
    light: Light

    def solid(
        self, outline: Points | list[np.ndarray], paint: Cloth | np.ndarray, folds: float = 1, **relief: Any
    ) -> None:
        """Paint a thing, or several that form one, in cloth or in one color; `relief` as in `shading.solid`."""
        parts = [part for part in outline if isinstance(part, np.ndarray) and part.ndim == 2]
        many = isinstance(outline, list) and bool(parts)
        places = [self.frame.place(part) for part in parts] if many else self.frame.place(outline)
        if isinstance(paint, Cloth):
            relief["folds"] = paint.folds * folds
            solid(self.plate, places, paint.painter(self.frame), self.light, **relief)
        else:
            solid(self.plate, places, paint, self.light, **relief)

    def skin(self, outline: Points | list[np.ndarray], color: np.ndarray, **relief: Any) -> None:
        """Paint an area of bare skin."""
        self.solid(outline, color, wrap=SUBSURFACE, **relief)

    def rope(self, line: Points, widths: Sequence[float], paint: Cloth | np.ndarray, **relief: Any) -> None:
        """Paint a line thickened to `widths` (half)."""
        self.solid(tube(np.asarray(line, float), widths), paint, **relief)

    def shadow(self, outline: Points, strength: float, blur: float) -> None:
        """Softly darken the paint under a polygon."""
        if len(outline) > 2:
            soft_shadow(self.plate, self.frame.place(outline), strength, blur * self.frame.unit)
