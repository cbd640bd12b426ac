"""How much memory is left, and which mode fits into it."""

from __future__ import annotations

from pathlib import Path

from p3m_lightning.inference.modes import Passes

BYTES_PER_PIXEL = 2000
"""Upper bound of what a pass in float32 takes; measured 950 (ViTAE-S) to 1600 (ResNet-34) at 512 to 1024 a side."""

SMALL = 800
"""`choose_mode` lets the network see a picture with no longer side as it is; half of it would show too little."""


def choose_mode(size: tuple[int, int], offered: tuple[str, ...], free: int | None, passes: Passes) -> str:
    """Pick the mode for a picture: the finest that the network offers, the sizes suit, and the memory holds.

    Args:
        size: (height, width).
        offered: the modes of the network.
        free: bytes of free memory; None for unknown, which is taken for enough.
        passes: sizes of the network's passes.

    Returns:
        `native` for small pictures; `hybrid` up to the cap of a pass (1600), then `tiled`. A network without
        branches knows no better than one pass: `native` up to the cap, then `resize`.
    """
    fits = fits_memory(size, free)
    if max(size) <= SMALL and fits:
        return "native"
    if "hybrid" not in offered:
        return "native" if max(size) <= passes.cap and fits else "resize"
    return "hybrid" if max(size) <= passes.cap and fits else "tiled"


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
