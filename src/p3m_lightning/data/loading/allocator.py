"""Settings of the C library's allocator that make batches cheaper to allocate."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def keep_freed_memory(megabytes: int = 1024) -> None:
    """Let this process keep freed memory for its next batch instead of returning it to the kernel.

    Otherwise blocks as large as a batch are new pages every time, and their page faults cost more than the
    computation on them. Has no effect where the C library is not glibc.

    Args:
        megabytes: the most that is kept.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl lacks it
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, min(megabytes << 20, 2**31 - 1))
        mallopt(_MMAP_THRESHOLD, min(megabytes << 20, 2**31 - 1) // 4)
