"""Reporters without a switch, which are left out when the package that uses them is imported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType


def import_openvino() -> ModuleType:
    """Import OpenVINO without its reporter, which else tells its makers of the import and has no switch for it.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    with _absent("openvino_telemetry"):
        return import_module("openvino")


@contextmanager
def _absent(name: str) -> Iterator[None]:
    """Let a package seem not to be installed meanwhile, unless somebody imported it before."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # which is how Python is told that there is none
    try:
        yield
    finally:
        sys.modules.pop(name, None)
