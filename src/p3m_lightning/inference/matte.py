"""Matte: the result of a predictor, with its cut-outs and composites, and the files of these."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from p3m_lightning.images import from_unit, strips, to_unit, write_image
from p3m_lightning.inference.background import Background, blurred_background, make_background, match_light
from p3m_lightning.inference.finder import Task
from p3m_lightning.inference.foreground import estimate_foreground
from p3m_lightning.schema import InputError


class Matte:
    """The alpha of a photograph, with the cut-out and composites made from it on demand.

    Args:
        image: uint8 or uint16 (H, W, 3), RGB.
        alpha: float32 (H, W) in [0, 1].
        profile: ICC profile of the image, None for sRGB.
        method: how foreground colors are estimated, see `foreground.estimate_foreground`.
        opacity: (H, W) of the image's dtype, the photograph's own alpha; None if it is opaque. Hidden pixels stay
            hidden: the matte's alpha is at most this, and they do not count as background.
        owned: whether the alpha may be changed and kept, which saves a copy.

    Raises:
        InputError: an array of another shape or type, or an alpha that is not finite.
    """

    def __init__(
        self,
        image: np.ndarray,
        alpha: np.ndarray,
        profile: bytes | None = None,
        method: str = "ml",
        opacity: np.ndarray | None = None,
        owned: bool = False,
    ) -> None:
        _check_plane(image, alpha, opacity)
        self.image = image
        fits = owned and alpha.dtype == np.float32 and alpha.flags.c_contiguous and alpha.flags.writeable
        self.alpha = np.clip(alpha, 0, 1, out=alpha) if fits else np.clip(alpha, 0, 1, dtype=np.float32, order="C")
        if opacity is not None:
            for rows in strips(len(opacity)):
                np.minimum(self.alpha[rows], to_unit(opacity[rows]), out=self.alpha[rows])
        self.opacity = opacity
        self.profile = profile
        self.method = method

    def with_method(self, method: str) -> Matte:
        """Return the same matte with its foreground colors estimated by another method."""
        if method == self.method:
            return self
        return Matte(self.image, self.alpha, self.profile, method, self.opacity)

    @cached_property
    def foreground(self) -> np.ndarray:
        """The colors of the subject without its background, float32 (H, W, 3) in [0, 1]."""
        return estimate_foreground(self.image, self.alpha, self.method)

    def rgba(self, dtype: type = np.uint8) -> np.ndarray:
        """Return the cut-out (H, W, 4) as `dtype` (uint8 or uint16), straight alpha.

        Colors are the estimated foreground; where alpha is 0 they are black, so the background cannot be recovered.
        """
        alpha = from_unit(self.alpha, dtype)
        cutout = np.dstack([from_unit(self.foreground, dtype), alpha])
        cutout[alpha == 0] = 0
        return cutout

    def composite(self, background: Background, light: float = 0.0, dtype: type = np.uint8) -> np.ndarray:
        """Composite the subject over another background.

        Args:
            background: path, color, array or image, see `background.make_background`; "blur" for the photograph's own
                background out of focus.
            light: from 0 to 1, how far the subject's light follows the background's, see `background.match_light`.

        Returns:
            `dtype` (uint8 or uint16) (H, W, 3), RGB.

        Raises:
            InputError: neither a color nor a readable image, or a light outside of 0 to 1.
        """
        if not 0 <= light <= 1:
            raise InputError(f"light={light}: give a number from 0 to 1")
        if isinstance(background, str) and background == "blur":
            behind = blurred_background(self.image, self._covered)
        else:
            behind = make_background(background, self.alpha.shape)
        subject = self.foreground
        if light:
            subject = match_light(subject, to_unit(self.image), self._covered, behind, light)
        alpha = self.alpha[..., None]
        return from_unit(alpha * subject + (1 - alpha) * behind, dtype)

    @property
    def _covered(self) -> np.ndarray:
        """Return the share of each pixel that is not the old background; hidden pixels are not background either."""
        return self.alpha if self.opacity is None else np.maximum(self.alpha, 1 - to_unit(self.opacity))


def _check_plane(image: np.ndarray, alpha: np.ndarray, opacity: np.ndarray | None) -> None:
    """Refuse arrays that are no photograph with its alpha; numpy would combine many of them to something."""
    if not isinstance(image, np.ndarray) or image.dtype not in (np.uint8, np.uint16) or image.shape[2:] != (3,):
        raise InputError(f"image: {_described(image)}; give uint8 or uint16 RGB (H, W, 3)")
    size = image.shape[:2]
    if not isinstance(alpha, np.ndarray) or not np.issubdtype(alpha.dtype, np.floating) or alpha.shape != size:
        raise InputError(f"alpha: {_described(alpha)}; give floats in [0, 1] of the image's size {size}")
    if not np.isfinite(alpha.sum()):
        raise InputError("alpha: holds NaN or infinity; a network that gives such a matte has diverged in its training")
    if opacity is not None and (opacity.shape != size or opacity.dtype != image.dtype):
        raise InputError(f"opacity: {_described(opacity)}; give {image.dtype} of the image's size {size}")


def _described(value: object) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


@dataclass(frozen=True)
class Products:
    """Files made from every photograph: the matte `FOLDER/<name>.png`, and beside it `cutout/` and `composite/`.

    Args:
        folder: created if missing.
        cutout: also write RGBA images.
        background: also composites over this, see `Matte.composite`.
        light: see `Matte.composite`.
        foreground: method of the colors, see `foreground.estimate_foreground`.
    """

    folder: Path
    cutout: bool = False
    background: Background | None = None
    light: float = 0.0
    foreground: str = "ml"

    def paths(self, name: str) -> dict[str, Path]:
        """Return the files of one photograph by kind: alpha, cutout, composite."""
        kinds = {"alpha": True, "cutout": self.cutout, "composite": self.background is not None}
        folder = Path(self.folder)
        return {kind: folder / ("" if kind == "alpha" else kind) / f"{name}.png" for kind in kinds if kinds[kind]}

    def finished(self, name: str) -> bool:
        """Return whether all files of one photograph exist; they are written atomically."""
        return all(path.exists() for path in self.paths(name).values())

    def needed(self, matte: Matte) -> Matte:
        """Return what `write` needs of a matte: where no colors are written, its photograph takes no memory."""
        if self.cutout or self.background is not None:
            return matte
        alone = copy(matte)
        alone.image, alone.opacity = np.broadcast_to(matte.image.dtype.type(0), matte.image.shape), None
        return alone

    def write(self, matte: Matte, task: Task) -> None:
        """Write the files of one photograph, with 16 bits per channel if it has 16, and its ICC profile for colors.

        Raises:
            InputError: a file that cannot be written, or would overwrite the photograph itself.
        """
        paths = self.paths(task.name)
        for path in paths.values():
            if path.exists() and path.samefile(task.source):
                raise InputError(f"{task.source}: its matte would overwrite it; choose another output folder")
        matte = matte.with_method(self.foreground)
        dtype = matte.image.dtype.type
        if "cutout" in paths:
            write_image(paths["cutout"], matte.rgba(dtype), icc_profile=matte.profile)
        if self.background is not None:
            composite = matte.composite(self.background, self.light, dtype)
            write_image(paths["composite"], composite, icc_profile=matte.profile)
        write_image(paths["alpha"], from_unit(matte.alpha, dtype))
