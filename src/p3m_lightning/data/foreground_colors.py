"""Foreground and background colors of an image whose matte is known."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from p3m_lightning.images import to_unit
from p3m_lightning.messages import tell
from p3m_lightning.schema import InputError

METHODS = ("multilevel", "closed_form")


def estimate_layers(image: np.ndarray, alpha: np.ndarray, method: str = "multilevel") -> tuple[np.ndarray, np.ndarray]:
    """Estimate foreground and background colors such that image = alpha * foreground + (1 - alpha) * background.

    Multi-level: Germer et al., "Fast Multi-Level Foreground Estimation", ICPR 2020. Closed form: Levin et al., "A
    Closed-Form Solution to Natural Image Matting", PAMI 2008, recommended by the authors of P3M; slow.

    Args:
        image: uint8 (H, W, 3), or floats in [0, 1].
        alpha: uint8 or uint16 (H, W) full range, or floats in [0, 1].
        method: one of METHODS.

    Returns:
        foreground and background, float32 (H, W, 3) in [0, 1].

    Raises:
        InputError: another method.
    """
    pymatting = import_pymatting()
    solvers = {"multilevel": pymatting.estimate_foreground_ml, "closed_form": pymatting.estimate_foreground_cf}
    if method not in solvers:
        raise InputError(f"method: {method!r} is not one of {', '.join(METHODS)}")
    with one_thread():
        layers = solvers[method](to_unit(image, np.float64), to_unit(alpha, np.float64), return_background=True)
    foreground, background = (np.clip(layer, 0, 1).astype(np.float32) for layer in layers)
    return foreground, background


def import_pymatting() -> Any:
    """Import pymatting; announce it the first time, when compiling takes a minute."""
    if not _is_compiled():
        tell("pymatting compiles its solver; this happens once and takes about a minute")
    with keeping_threads():
        import pymatting

    return pymatting


def _is_compiled() -> bool:
    """Return whether numba has cached compiled code, also if it caches in a place not checked here."""
    found = find_spec("pymatting")
    folder = os.environ.get("NUMBA_CACHE_DIR") or ((found and found.submodule_search_locations) or [""])[0]
    if not os.environ.get("NUMBA_CACHE_DIR") and not os.access(folder, os.W_OK):
        return True
    return any(Path(folder).rglob("*.nbi"))


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep numba to one thread: pymatting's loops are too short for more, which cost two to three times the time."""
    import numba

    # GNU OpenMP terminates a loader process that was forked after it had been used
    numba.config.THREADING_LAYER = "forksafe"  # type: ignore[attr-defined]  # numba defines its options dynamically
    threads = numba.get_num_threads()
    with keeping_threads():
        numba.set_num_threads(1)
        try:
            yield
        finally:
            numba.set_num_threads(threads)


@contextmanager
def keeping_threads() -> Iterator[None]:
    """Restore torch's number of threads, which numba changes where both use OpenMP."""
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 0
    try:
        yield
    finally:
        if torch:
            torch.set_num_threads(threads)
