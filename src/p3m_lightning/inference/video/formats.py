"""Products of a matted frame, and the file formats that can hold them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from p3m_lightning.images import IMAGE_SUFFIXES, from_unit
from p3m_lightning.inference.background import Background, make_background
from p3m_lightning.inference.foreground import box_mean
from p3m_lightning.inference.matte import Matte
from p3m_lightning.inference.video.reader import Frame, VideoReader
from p3m_lightning.schema import InputError

FORMATS = {
    "prores": "cut-out, ProRes 4444 with 16 bits of alpha, for editing (.mov)",
    "vp9": "cut-out, VP9 with alpha, for web pages (.webm)",
    "png": "cut-out, a folder of RGBA images",
    "matte": "the alpha as a gray video",
    "composite": "over --background",
}

SUFFIXES = {
    "prores": (".mov", ".mkv"),
    "vp9": (".webm", ".mkv"),
    "png": ("",),
    "matte": (".mp4", ".mov", ".mkv", ".webm"),
    "composite": (".mp4", ".mov", ".mkv", ".webm"),
}
"""Format -> suffixes of its files; a suffix means the first format that lists it, see `choose_format`."""

HIDDEN = 16
"""Pixels around the subject over which its color is extended under alpha 0, since codecs mix neighbors."""


def choose_format(target: Path, wanted: str | None, background: bool) -> str:
    """Return the format of an output: the requested one, or the one that its suffix and the background imply.

    Raises:
        InputError: unknown format, a file name that does not fit it, an unused background, or a missing one.
    """
    suffix = target.suffix.lower()
    if wanted is None:
        fitting = [name for name, suffixes in SUFFIXES.items() if suffix in suffixes]
        if not fitting:
            raise InputError(f"-o {target}: give .mov, .webm, .mp4, .mkv, or a folder for PNG files")
        wanted = "composite" if background and suffix else fitting[0]
    if wanted not in FORMATS:
        raise InputError(f"--format {wanted}: choose from {', '.join(FORMATS)}")
    if suffix not in SUFFIXES[wanted]:
        names = " or ".join(SUFFIXES[wanted]) if suffix or wanted != "png" else ""
        raise InputError(f"-o {target}: {wanted} goes into {names or 'a folder, a name without a suffix'}")
    if background != (wanted == "composite"):
        what = "needs --background" if wanted == "composite" else "takes no --background; give --format composite"
        raise InputError(f"--format {wanted}: {what}")
    return wanted


@dataclass(frozen=True)
class Product:
    """The product to make from every frame.

    Args:
        format: a key of `FORMATS`.
        background: for `composite`: image, color, "blur" (see `Matte.composite`), or path of a video, which is
            repeated if it is shorter.
        light: see `Matte.composite`.
        foreground: method of the colors, see `foreground.estimate_foreground`.
    """

    format: str
    background: Background | None = None
    light: float = 0.0
    foreground: str = "fast"

    def painter(self, size: tuple[int, int]) -> Painter:
        """Return a painter of the frames of a video of `size` (height, width).

        Raises:
            InputError: the background is neither an image, a color nor a video.
        """
        return Painter(self, size)


class Painter:
    """Makes the product of the frames of one video, in order."""

    def __init__(self, product: Product, size: tuple[int, int]) -> None:
        self._product = product
        self._behind = None if product.background is None else _make_behind(product.background, size)

    def paint(self, frame: Frame, alpha: np.ndarray, seconds: float) -> np.ndarray:
        """Return the pixels of one frame.

        Args:
            frame: the original.
            alpha: float32 (H, W) in [0, 1].
            seconds: since the beginning of the video.

        Returns:
            uint8 (H, W, 3) RGB for `matte` and `composite`, straight RGBA (H, W, 4) for the others, uint16 for ProRes.
        """
        if self._product.format == "matte":
            return np.repeat(from_unit(alpha)[..., None], 3, axis=2)
        matte = Matte(frame.pixels, alpha, method=self._product.foreground)
        if self._product.format == "composite":
            assert self._behind is not None, "checked by choose_format"
            return matte.composite(self._behind.at(seconds), self._product.light)
        if self._product.format == "png":
            return matte.rgba()
        return straight_cutout(matte, np.uint16 if self._product.format == "prores" else np.uint8)


def straight_cutout(matte: Matte, dtype: type) -> np.ndarray:
    """Return a cut-out for lossy codecs: straight RGBA (H, W, 4) as `dtype`, without any of the background.

    `Matte.rgba` is black under alpha 0; chroma subsampling and the codec's blocks would carry that into the edge. Here
    the subject's own color is extended instead.
    """
    alpha = from_unit(matte.alpha, dtype)
    shown = (alpha > 0).astype(np.float32)[..., None]
    colors = matte.foreground * shown
    weight = matte.alpha[..., None] * shown
    nearby = box_mean(colors * weight, 2 * HIDDEN + 1) / np.maximum(box_mean(weight, 2 * HIDDEN + 1), 1e-4)
    colors += (1 - shown) * nearby
    return np.dstack([from_unit(colors, dtype), alpha])


class _Still:
    """A still background, scaled once; or "blur", which is made from each frame."""

    def __init__(self, background: Background, size: tuple[int, int]) -> None:
        self._picture: Background = background if _is_blur(background) else make_background(background, size)

    def at(self, seconds: float) -> Background:
        return self._picture


class _Moving:
    """A video as background: the frame at a given time, repeating the video after its end."""

    def __init__(self, path: str | Path) -> None:
        self._reader = VideoReader(path)
        self._now, self._next = self._rewind()
        self._begin = self._now.time

    def at(self, seconds: float) -> np.ndarray:
        seconds %= max(self._reader.seconds, float(self._reader.time_base))
        if seconds < self._seconds(self._now):
            self._now, self._next = self._rewind()
        while self._next is not None and self._seconds(self._next) <= seconds:
            self._now, self._next = self._next, next(self._frames, None)
        return self._now.pixels

    def _rewind(self) -> tuple[Frame, Frame | None]:
        """Return the first two frames."""
        self._frames = self._reader.frames()
        return next(self._frames), next(self._frames, None)

    def _seconds(self, frame: Frame) -> float:
        return float((frame.time - self._begin) * self._reader.time_base)


def _make_behind(background: Background, size: tuple[int, int]) -> _Still | _Moving:
    """Return the background; a file whose name is not that of an image is a video."""
    path = Path(background) if isinstance(background, str | Path) else None
    if path is not None and path.is_file() and path.suffix.lower() not in IMAGE_SUFFIXES:
        return _Moving(path)
    return _Still(background, size)


def _is_blur(background: Background) -> bool:
    return isinstance(background, str) and background == "blur"
