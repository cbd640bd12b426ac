"""Modes of applying a network to an image, tensor or array: one pass, two passes, full size, or tiles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from p3m_lightning.inference.tiles import spans
from p3m_lightning.messages import printable
from p3m_lightning.schema import FOREGROUND, UNKNOWN, InputError, MattingOutput

Array = Any
"""torch.Tensor or numpy.ndarray, always (N, C, H, W)."""

EXACT = 1e-6
"""An interpolated trimap value this close to 0 or 1 counts as such; the authors compare exactly, see `hybrid`."""

CERTAIN = 0.02
"""For networks without branches: an alpha this close to 0 or 1 counts as known."""

BAND = 4
"""For networks without branches: blurring by this factor makes the unknown region, ten pixels of the small pass."""


class Engine(ABC):
    """A runnable network, with the operations that differ between numpy and torch."""

    @property
    @abstractmethod
    def needs_trimap(self) -> bool:
        """True if `run` takes a trimap."""

    @property
    @abstractmethod
    def modes(self) -> tuple[str, ...]:
        """The modes that the network offers."""

    @abstractmethod
    def run(self, images: Array, trimap: Array | None = None) -> MattingOutput:
        """Apply the network to float (N, 3, H, W) in [0, 1]; trimap (N, 1, H, W) of 0, 1, 2 if it takes one."""

    def trimap_of(self, images: Array, by_branch: bool = False) -> Array:
        """Return the trimap of one pass as 0, 128/255 and 1, float (N, 1, H, W), `by_branch`: only from a branch."""
        output = self.run(images)
        if by_branch and not has_branches(output):
            raise InputError("mode=hybrid: this network has no branches to mix; use resize, native or tiled")
        return trimap_values(output, self)

    def detail_of(self, images: Array) -> Array:
        """Return the matte of one pass for the unknown region, float (N, 1, H, W); for `hybrid` and `tiled`."""
        return detail_of(self.run(images))

    @abstractmethod
    def resize(self, maps: Array, size: tuple[int, int]) -> Array:
        """Resize float (N, C, H, W) to `size` as `ops.resize_smooth` does."""

    @abstractmethod
    def resize_nearest(self, maps: Array, size: tuple[int, int]) -> Array:
        """Resize (N, C, H, W) of classes to `size`."""

    @abstractmethod
    def flip(self, maps: Array) -> Array:
        """Mirror (N, C, H, W) left to right."""

    @abstractmethod
    def asarray(self, values: np.ndarray) -> Array:
        """Move float or integer values to the device of the images; floats become float32, integers int64."""

    @abstractmethod
    def numpy(self, maps: Array) -> np.ndarray:
        """Return (N, C, H, W) as an array."""

    @abstractmethod
    def free_memory(self) -> int | None:
        """Return the free memory where the network runs, in bytes; None if unknown."""

    def infer(
        self, images: Array, mode: str | None, passes: Passes, trimap: Array | None = None, flips: bool = False
    ) -> Array:
        """Call `apply_mode`."""
        return apply_mode(self, images, mode, passes, trimap, flips)


@dataclass(frozen=True)
class Passes:
    """Sizes at which the network sees the image; the defaults are those of the P3M authors' tests."""

    scale: float = 0.5  # resize, and the semantic pass of hybrid and tiled: part of each side
    detail_scale: float | None = None  # the detail of hybrid and tiled, None: 1; GFM's authors: scale 1/3, detail 1/2
    cap: int = 1600  # largest side of a pass, applied to each side separately
    multiple: int = 32  # sides of a pass are rounded down to it, but never to zero
    short_side: int | None = None  # instead of `scale`: resize the shorter side to this many pixels; MODNet: 512
    detail_short_side: int | None = None  # instead of `detail_scale`, likewise
    tile: int = 768  # tiled: side of a tile; with 768 a network stays below 1 GB
    overlap: int = 192  # tiled: pixels that neighbors share; the outer quarters are context only

    def __post_init__(self) -> None:
        for key in ("cap", "multiple", "tile", "overlap"):
            if not isinstance(getattr(self, key), int):
                raise InputError(f"{key}={printable(repr(getattr(self, key)))[:40]}: give a whole number of pixels")
        for key in ("scale", "detail_scale", "cap", "multiple", "short_side", "detail_short_side"):
            value = getattr(self, key)
            number = isinstance(value, int | float) and 0 < value < float("inf")
            if not number and (value is not None or getattr(Passes, key) is not None):
                raise InputError(f"{key}={printable(repr(value))[:40]}: give a number above 0")
        if not 0 < 2 * self.overlap <= self.tile:
            raise InputError(f"overlap={self.overlap}: give 1 to half of tile={self.tile}")

    @property
    def has_own_size(self) -> bool:
        """True if the pass over the whole image differs from that of the P3M authors."""
        return self.short_side is not None or self.scale != Passes.scale

    @property
    def has_own_detail(self) -> bool:
        """True if the size of the detail pass was set."""
        return self.detail_short_side is not None or self.detail_scale is not None

    def semantic_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size of the pass over the whole image, for an image of `size` (height, width)."""
        return self.fitted(size, self.semantic_scale(size))

    def semantic_scale(self, size: tuple[int, int]) -> float:
        """Return the scale of that pass, before `fitted`."""
        if self.short_side is None:
            return self.scale
        # MODNet's published rule: an image whose sides enclose the wanted length keeps its size
        enclosed = min(size) <= self.short_side <= max(size)
        return 1.0 if enclosed else self.short_side / min(size)

    def detail_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size of the detail pass of `hybrid` for an image of `size` (height, width)."""
        return self.fitted(size, self.detail_part(size))

    def detail_part(self, size: tuple[int, int]) -> float:
        """Return the scale of the detail pass, before `fitted`."""
        if self.detail_short_side is not None:
            return self.detail_short_side / min(size)
        return self.detail_scale or 1.0

    def fitted(self, size: tuple[int, int], scale: float) -> tuple[int, int]:
        """Scale both sides of `size`, round down to the multiple, and cap."""
        wanted = (int(side * scale) for side in size)
        height, width = (max(self.multiple, min(self.cap, side - side % self.multiple)) for side in wanted)
        return height, width


Run = Callable[[Array], MattingOutput]


def resize(run: Run, engine: Engine, images: Array, passes: Passes) -> Array:
    """Apply one pass at reduced size and enlarge its alpha: the authors' RESIZE, used for published test figures."""
    size = images.shape[-2:]
    return engine.resize(run(engine.resize(images, passes.semantic_size(size))).alpha, size)


def hybrid(run: Run, engine: Engine, images: Array, passes: Passes) -> Array:
    """Take semantics from a small pass, detail from a large one: the authors' HYBRID, recommended for photographs.

    They test for exactly 0 or 255 after enlarging, which leaves pinholes; here a distance below `EXACT` is exact.
    """
    size = images.shape[-2:]
    small = engine.resize(images, passes.semantic_size(size))
    trimap = engine.resize(engine.trimap_of(small, by_branch=True), size)
    detail = engine.detail_of(engine.resize(images, passes.detail_size(size)))
    return fuse_enlarged(trimap, engine.resize(detail, size))


def native(run: Run, engine: Engine, images: Array, passes: Passes) -> Array:
    """Apply one pass at the full size of the image."""
    return run(images).alpha


def tiled(run: Run, engine: Engine, images: Array, passes: Passes) -> Array:
    """Take semantics from a small pass, detail from overlapping tiles that fade into each other.

    Bounds memory: the network never sees more than one tile, and the small pass is no longer than that. Only tiles
    with unknown pixels are run. For a network without branches its alpha serves both purposes.
    """
    size = images.shape[-2:]
    small = passes.fitted(size, min(passes.semantic_scale(size), passes.tile / max(size)))
    grid = tuple(max(1, round(side * passes.detail_part(size))) for side in size)
    trimap = engine.resize(engine.trimap_of(engine.resize(images, small)), grid)
    detail = blend_tiles(engine, engine.resize(images, grid), trimap, passes)
    return fuse_enlarged(engine.resize(trimap, size), engine.resize(detail, size))


def blend_tiles(engine: Engine, images: Array, trimap: Array, passes: Passes) -> Array:
    """Return the detail of every unknown pixel of `trimap`, float (N, 1, H, W); values elsewhere have no meaning."""
    detail = trimap * 0
    height, width = images.shape[-2:]
    for rows, down in spans(height, passes.tile, passes.overlap):
        for columns, across in spans(width, passes.tile, passes.overlap):
            window = (..., rows, columns)
            if is_unknown(trimap[window]).any():
                weights = engine.asarray(np.outer(down, across)[None, None])
                detail[window] += engine.detail_of(images[window]) * weights
    return detail


MODES = {"resize": resize, "hybrid": hybrid, "native": native, "tiled": tiled}
DEFAULT_MODE = {False: "resize", True: "native"}  # by `needs_trimap`; papers on trimaps test at full size
TRIMAP_MODES = ("resize", "native")  # every pass sees the whole image, so a trimap can be used


def apply_mode(
    engine: Engine,
    images: Array,
    mode: str | None,
    passes: Passes,
    trimap: Array | None = None,
    flips: bool = False,
) -> Array:
    """Apply a network to whole images.

    Args:
        engine: the network.
        images: float (N, 3, H, W), RGB in [0, 1].
        mode: a key of `MODES`, or None for `DEFAULT_MODE`.
        passes: sizes of the network's passes.
        trimap: (N, 1, H, W) of BACKGROUND, UNKNOWN, FOREGROUND, for a network that needs it.
        flips: average with the result of the mirrored image.

    Returns:
        alpha float (N, 1, H, W) in [0, 1].

    Raises:
        InputError: a mode that this network does not have; a missing or unexpected trimap.
    """
    mode = mode or DEFAULT_MODE[engine.needs_trimap]
    verify_mode(mode, engine.needs_trimap)
    if engine.needs_trimap != (trimap is not None):
        raise InputError("trimap: this network " + ("needs one" if engine.needs_trimap else "takes none"))
    alpha = MODES[mode](_runner(engine, trimap), engine, images, passes)
    if not flips:
        return alpha
    mirrored = None if trimap is None else engine.flip(trimap)
    return (alpha + engine.flip(apply_mode(engine, engine.flip(images), mode, passes, mirrored))) / 2


def verify_mode(mode: str | None, needs_trimap: bool) -> None:
    """Raise InputError if a network that takes a trimap, or one that does not, lacks the mode."""
    offered = TRIMAP_MODES if needs_trimap else MODES
    if mode is not None and mode not in offered:
        raise InputError(f"mode={mode}: choose from {', '.join(offered)}")


def has_branches(output: MattingOutput) -> bool:
    """Return whether the output has both a semantic map (background / unknown / foreground) and a detail matte."""
    semantic, detail = output.semantic, output.detail
    full = output.alpha.shape[-2:]
    return (
        semantic is not None and semantic.shape[1:] == (3, *full) and detail is not None and detail.shape[-2:] == full
    )


def detail_of(output: MattingOutput) -> Array:
    """Return the matte to use in the unknown region, float (N, 1, H, W)."""
    return output.detail if has_branches(output) else output.alpha


def trimap_values(output: MattingOutput, engine: Engine) -> Array:
    """Return the trimap of one pass as 0, 128/255 and 1, float (N, 1, H, W).

    For a network without branches, everything near a fractional alpha is unknown.
    """
    if output.semantic is not None and has_branches(output):
        return classes_as_values(output.semantic)
    height, width = output.alpha.shape[-2:]
    coarse = (max(1, height // BAND), max(1, width // BAND))
    known = (output.alpha > CERTAIN) * 0.5 + (output.alpha > 1 - CERTAIN) * 0.5 + 0 * output.alpha  # NaN stays
    return engine.resize(engine.resize(known, coarse), (height, width))  # blurs every edge into an unknown band


def classes_as_values(semantic: Array) -> Array:
    """Return the argmax of the scores (N, 3, H, W) as 0, 128/255 and 1, NaN where one is not finite; (N, 1, H, W)."""
    classes = semantic.argmax(1)[:, None]
    return (classes == UNKNOWN) * (128 / 255) + (classes == FOREGROUND) * 1.0 + 0 * semantic.sum(1)[:, None]


def is_unknown(trimap: Array) -> Array:
    """Return a mask of where an enlarged trimap is neither 0 nor 1."""
    return (trimap > EXACT) & (trimap < 1 - EXACT)


def fuse_enlarged(trimap: Array, detail: Array) -> Array:
    """Return `detail` where the enlarged trimap is unknown, else 0 or 1, and NaN where either is NaN."""
    return is_unknown(trimap) * detail + (trimap >= 1 - EXACT) + 0 * trimap


def _runner(engine: Engine, trimap: Array | None) -> Run:
    """Bind the trimap, if any, to the engine: every pass sees it at its own size."""
    if trimap is None:
        return engine.run
    return lambda images: engine.run(images, engine.resize_nearest(trimap, images.shape[-2:]))
