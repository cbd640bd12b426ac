"""Free memory, and the mode that fits into it."""

from __future__ import annotations

from pathlib import Path

from p3m_lightning.inference.modes import Passes

BYTES_PER_PIXEL = 2000
"""Upper bound of what a pass in float32 takes; measured 950 (ViTAE-S) to 1600 (ResNet-34) at 512 to 1024 a side."""

SMALL = 800
"""`choose_mode` lets a network of the P3M authors' sizes see a picture with no longer side as it is: they test on
pictures about twice as large, reduced to half."""


def choose_mode(
    size: tuple[int, int],
    offered: tuple[str, ...],
    free: int | None,
    passes: Passes,
    usual: str | None = None,
) -> str:
    """Pick the mode for a picture: what the network is used to; of that the finest that size and memory allow.

    Args:
        size: (height, width).
        offered: the modes of the network.
        free: bytes of free memory; None for unknown, which is taken for enough.
        passes: sizes of the network's passes.
        usual: the mode in which the network was evaluated, None where nobody chose one.

    Returns:
        `usual` where it fits. Otherwise, for a network with a trimap, `native` where it fits, else `resize`; for one
        without branches, or with a size of its own for the whole picture (`scale`, `short_side`) and none
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
    """Tell whether one pass at `size` fits into `free` bytes (None: unknown, yes)."""
    return free is None or size[0] * size[1] * BYTES_PER_PIXEL <= free


def free_memory() -> int | None:
    """Return the bytes of main memory that are free for this process; None off Linux."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
        limit = Path("/sys/fs/cgroup/memory.max")
        if limit.exists() and limit.read_text().strip() != "max":  # a container's own limit
            free.append(int(limit.read_text()) - int(limit.with_name("memory.current").read_text()))
        return max(0, min(free, default=0)) or None
    except (OSError, ValueError):
        return None
