"""Work of the page on a visitor's images; independent of the web."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor

from p3m_lightning.images import Photo, from_unit, read_photo, write_image
from p3m_lightning.inference import Matte, Predictor
from p3m_lightning.inference.background import Background
from p3m_lightning.schema import InputError

BEHIND = ("color", "blur", "picture")
"""Choices of background for the subject."""


@dataclass(frozen=True)
class Limits:
    """Limits of visitors' uploads and requests."""

    megabytes: float = 30.0  # of one file
    megapixels: float = 25.0  # by its header, before decoding
    total_megabytes: float = 500.0  # of all uploads and results that are kept at a time
    files: int = 2000  # of these
    posts: int = 300  # messages and uploads per minute


class Request(NamedTuple):
    """Request of a visitor as it comes from the page: nothing in it is trusted."""

    photograph: object  # the file of an upload
    behind: object = "color"
    color: object = "#ffffff"
    picture: object = None  # the file of an upload
    light: object = 0.0


class Result(NamedTuple):
    """Files made for one request, PNG; 16 bits per channel if the photograph has 16."""

    matte: Path
    cutout: Path
    composite: Path
    other: Path | None  # the matte of the second network


class Session:
    """One network, or two to compare, and the folder where uploads and results lie.

    Args:
        predictors: one or two by name; the cut-out and the composite are made with the first.
        folder: the only place that files are opened in.
        limits: of uploads.

    Raises:
        InputError: a network that needs a trimap.
    """

    def __init__(self, predictors: Mapping[str, Predictor], folder: Path, limits: Limits | None = None) -> None:
        self.names = tuple(predictors)
        self.folder = folder.resolve()
        self.limits = limits or Limits()
        self._predictors = tuple(predictors.values())
        for name, predictor in predictors.items():
            if predictor.engine.needs_trimap:
                raise InputError(f"{name}: needs a trimap, which a visitor does not have; use another network")

    def fulfill(self, request: Request) -> Result:
        """Make everything for one request.

        Raises:
            InputError: anything but an uploaded image within the limits, a color, and a number.
        """
        photo = self.open(request.photograph, "photograph")
        background = self._background(request)
        light = _light(request.light)
        matte, *others = (predictor.batch([photo])[0] for predictor in self._predictors)
        return self._write(matte, background, light, others[0] if others else None)

    def open(self, upload: object, what: str) -> Photo:
        """Read an uploaded image.

        Args:
            upload: its path, which must lead into the folder.
            what: its name in messages.

        Raises:
            InputError: no upload, not an image, or too large; the message names no path.
        """
        if upload is None:
            raise InputError(f"{what}: none is given; choose a file first")
        path = self._inside(upload, what)
        if path.stat().st_size == 0:
            raise InputError(f"{what}: the file arrived empty; send it again")
        if path.stat().st_size > self.limits.megabytes * 1e6:
            raise InputError(f"{what}: the file is larger than {self.limits.megabytes:g} MB")
        try:
            self._check_pixels(path, what)
            return read_photo(path)
        except InputError as error:
            raise InputError(str(error).replace(str(path), what)) from None

    def _inside(self, upload: object, what: str) -> Path:
        path = Path(upload).resolve() if isinstance(upload, str | Path) and "\0" not in str(upload) else None
        if path is None or not path.is_relative_to(self.folder) or not path.is_file():
            raise InputError(f"{what}: not an uploaded file")
        return path

    def _check_pixels(self, path: Path, what: str) -> None:
        """Check the header only, since a small file may decode to gigabytes."""
        try:
            with Image.open(path) as image:
                pixels: float = image.width * image.height
        except Image.DecompressionBombError:
            pixels = np.inf
        except Exception as error:  # broken headers fail in any way
            raise InputError(f"{what}: not an image file") from error
        if pixels > self.limits.megapixels * 1e6:
            raise InputError(f"{what}: has more than {self.limits.megapixels:g} megapixels; reduce it first")

    def _background(self, request: Request) -> Background:
        if request.behind not in BEHIND:
            raise InputError(f"background: choose from {', '.join(BEHIND)}")
        if request.behind == "picture":
            return self.open(request.picture, "background").pixels
        return "blur" if request.behind == "blur" else color_of(request.color)

    def _write(self, matte: Matte, background: Background, light: float, other: Matte | None) -> Result:
        dtype = matte.image.dtype.type
        pixels = {
            "matte": from_unit(matte.alpha, dtype),
            "cutout": matte.rgba(dtype),
            "composite": matte.composite(background, light, dtype),
        }
        if other is not None:
            pixels["other"] = from_unit(other.alpha, dtype)
        folder = Path(mkdtemp(dir=self.folder))
        for kind, values in pixels.items():
            profile = matte.profile if kind in ("cutout", "composite") else None
            write_image(folder / f"{kind}.png", values, icc_profile=profile, compress_level=3)
        return Result(
            folder / "matte.png",
            folder / "cutout.png",
            folder / "composite.png",
            folder / "other.png" if other is not None else None,
        )


def color_of(text: object) -> tuple[int, int, int]:
    """Parse a color as written by browsers' color pickers: `#rrggbb` or `rgba(r, g, b, a)` with fractions.

    Raises:
        InputError: anything else.
    """
    text = text if isinstance(text, str) and len(text) < 64 else ""
    try:
        if text.startswith(("rgba(", "rgb(")) and text.endswith(")"):
            values = [float(value) for value in text[text.index("(") + 1 : -1].split(",")[:3]]
            red, green, blue = (min(255, max(0, round(value))) for value in values)
            return red, green, blue
        return ImageColor.getrgb(text)[:3]
    except (ValueError, OverflowError):
        raise InputError("background: not a color; give one as #00ff00") from None


def _light(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError("light: give 0 to 1")
    return float(value)
