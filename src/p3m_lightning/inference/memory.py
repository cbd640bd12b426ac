"""Free memory, and the choice of a mode that fits into it."""

from __future__ import annotations

from pathlib import Path

from p3m_lightning.inference.modes import Passes

BYTES_PER_PIXEL = 2000
"""Bytes per pixel of a pass in float32, at most; measured 950 (ViTAE-S) to 1600 (ResNet-34) at sides 512 to 1024."""

SMALL = 800
"""Up to this longer side, `choose_mode` applies a network of the P3M authors' sizes at full size: they test on images
about twice as large, reduced to half."""


def choose_mode(
    size: tuple[int, int],
    offered: tuple[str, ...],
    free: int | None,
    passes: Passes,
    usual: str | None = None,
) -> str:
    """Choose the mode for an image: one that the network is suited to, and of these the finest that fits in memory.

    Args:
        size: (height, width).
        offered: the modes of the network.
        free: bytes of free memory; None for unknown, which counts as enough.
        passes: sizes of the network's passes.
        usual: the mode in which the network was evaluated; None if none was chosen.

    Returns:
        `usual` if it fits. Otherwise, for a network with a trimap, `native` if it fits, else `resize`; for one
        without branches, or with a size of its own for the whole image (`scale`, `short_side`) and none
        for the detail, `resize`, since it is not known to work at any other size; for others `native` up to `SMALL`
        pixels if the size is the authors', `hybrid` up to the cap of a pass (1600), then `tiled`.
    """
    fits = fits_memory(size, free)
    if usual is not None and (fits or usual in ("resize", "tiled")):
        return usual
    if "tiled" not in offered:  # it takes a trimap
        return "native" if fits else "resize"
    if "hybrid" not in offered or (passes.has_own_size and not passes.has_own_detail):
        return "resize"
    if max(size) <= SMALL and fits and not passes.has_own_size:
        return "native"
    return "hybrid" if max(size) * passes.detail_part(size) <= passes.cap and fits else "tiled"


def fits_memory(size: tuple[int, int], free: int | None) -> bool:
    """Return whether one pass at `size` fits into `free` bytes; None, for unknown, counts as enough."""
    return free is None or size[0] * size[1] * BYTES_PER_PIXEL <= free


def free_memory() -> int | None:
    """Return the main memory available to this process in bytes; None on systems other than Linux."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
        limit = Path("/sys/fs/cgroup/memory.max")
        if limit.exists() and limit.read_text().strip() != "max":  # the limit of a container
            free.append(int(limit.read_text()) - int(limit.with_name("memory.current").read_text()))
        return max(0, min(free, default=0)) or None
    except (OSError, ValueError):
        return None
