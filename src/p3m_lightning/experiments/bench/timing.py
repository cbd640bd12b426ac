"""Alternating measurement of several ways to do the same work, description of the machine, and result files."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from p3m_lightning.records import write_json

PACKAGES = ("p3m_lightning", "torch", "onnxruntime", "openvino", "numpy", "opencv-python-headless")
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8")


def alternate(ways: Mapping[str, Callable[[], Any]], repeats: int) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Do the same work in several ways, alternating, `repeats` times, after one untimed round.

    On a shared machine, alternating spreads disturbances over all ways; the smallest processor time is least affected.

    Returns:
        For each way `cpu_seconds`, the smallest; `wall_seconds`, the median; `cpu_seconds_of_turns`. And the
        last result of each.
    """
    results = {name: way() for name, way in ways.items()}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    wall: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            begin, begin_wall = time.process_time(), time.perf_counter()
            results[name] = way()
            cpu[name].append(time.process_time() - begin)
            wall[name].append(time.perf_counter() - begin_wall)
    rows = {
        name: {"cpu_seconds": min(cpu[name]), "wall_seconds": median(wall[name]), "cpu_seconds_of_turns": cpu[name]}
        for name in ways
    }
    return rows, results


def machine() -> dict[str, Any]:
    """Describe the processor and the versions of the numerical packages."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "flags": [flag for flag in FLAGS if flag in _cpuinfo("flags").split()],
        "python": platform.python_version(),
        "versions": dict(_versions(PACKAGES)),
    }


def has_bfloat16() -> bool:
    """Return whether the processor has bfloat16 arithmetic."""
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(machine()["flags"])


def save(name: str, results: Mapping[str, Any], folder: Path) -> Path:
    """Write `results` with the machine as FOLDER/<name>.json."""
    path = folder / f"{name}.json"
    write_json(path, {"benchmark": name, "machine": machine(), **results})
    return path


def _versions(packages: Iterable[str]) -> Iterable[tuple[str, str]]:
    for package in packages:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(key: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.split(":")[0].strip() == key), "")
