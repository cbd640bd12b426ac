"""The files of one sample, read as far as a transform asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from p3m_lightning.data.windows import Window
from p3m_lightning.images import read_image, read_matte, read_trimap
from p3m_lightning.schema import InputError

COLOR_ROLES = ("image", "foreground", "background")
MATTE_ROLES = ("alpha", "face")


class SampleFiles:
    """Reads the roles (image, alpha, trimap, foreground, background, face) of one sample from its files."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.files = files

    def alpha(self) -> np.ndarray:
        """Return the matte, uint8 or uint16 (H, W), full range.

        Raises:
            InputError: broken file, or a matte of 0 and 1 in a file of 0 to 255.
        """
        alpha = read_matte(self.files["alpha"])
        if alpha.max() == 1:
            raise InputError(f"{self.files['alpha']}: its values are 0 and 1, not 0 to 255; multiply them by 255")
        return alpha

    def trimap(self) -> np.ndarray | None:
        """Return the trimap that came with the data set, uint8 (H, W) of classes; None where there is none."""
        return read_trimap(self.files["trimap"]) if "trimap" in self.files else None

    def colors(self, shape: tuple[int, int], window: Window | None = None) -> dict[str, np.ndarray]:
        """Return the other maps, cut to `window`: colors uint8 (h, w, 3), face uint8 (h, w) or uint16.

        Args:
            shape: height and width of the matte, which every file must have.
            window: the part that is wanted; all of it by default.

        Raises:
            InputError: broken file or another size.
        """
        maps = {}
        for role in (*COLOR_ROLES, "face"):
            if role in self.files:
                read = read_matte if role in MATTE_ROLES else read_image
                pixels = read(self.files[role])
                self._check_size(role, pixels.shape[:2], shape)
                maps[role] = pixels if window is None else pixels[window.slices]
        return maps

    def _check_size(self, role: str, found: tuple[int, int], wanted: tuple[int, int]) -> None:
        if tuple(found) != tuple(wanted):
            raise InputError(
                f"{self.files[role]}: {found[1]} x {found[0]} pixels, but its matte {self.files['alpha']} has "
                f"{wanted[1]} x {wanted[0]}; they must be equal"
            )
