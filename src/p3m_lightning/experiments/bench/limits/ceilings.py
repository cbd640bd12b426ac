"""Ceilings of a machine, measured: operations per second of matrix products, bytes per second of copies."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def ceilings(device: torch.device, side: int = 2048, megabytes: int = 256, repeats: int = 5) -> dict[str, Any]:
    """Measure the peak rates of a device.

    Args:
        device: on the CPU, torch's number of threads is used.
        side: of the square matrices that are multiplied.
        megabytes: copied; far more than the caches hold.
        repeats: the best of these counts.

    Returns:
        `operations_per_second` by type of number, `bytes_per_second` read and written.
    """
    operations = {
        name: 2 * side**3 / _seconds(_product(side, dtype, device), device, repeats) for name, dtype in DTYPES.items()
    }
    source = torch.ones(megabytes * 2**18, device=device)
    target = torch.empty_like(source)
    copied = 2 * source.nbytes / _seconds(lambda: target.copy_(source), device, repeats)
    return {"operations_per_second": operations, "bytes_per_second": copied}


def _product(side: int, dtype: torch.dtype, device: torch.device) -> Callable[[], Tensor]:
    factors = torch.ones(2, side, side, dtype=dtype, device=device)
    result = torch.empty(side, side, dtype=dtype, device=device)
    return lambda: torch.mm(factors[0], factors[1], out=result)


def _seconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Return the shortest time of several runs; on the CPU, processor time, unaffected by other programs."""
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    best = float("inf")
    for _ in range(repeats + 1):
        begin = clock()
        work()
        wait()
        best = min(best, clock() - begin)
    return best
