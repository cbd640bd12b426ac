"""Settings of the C library's allocator for the memory of batches."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def keep_freed_memory(megabytes: int = 1024) -> None:
    """Let this process keep freed memory for its next batch instead of giving it back to the kernel.

    Blocks as large as a batch are new pages every time otherwise, and the page faults cost more than all that is
    calculated in them. Without effect where the C library is not glibc.

    Args:
        megabytes: as much is kept at most.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, min(megabytes << 20, 2**31 - 1))
        mallopt(_MMAP_THRESHOLD, min(megabytes << 20, 2**31 - 1) // 4)
