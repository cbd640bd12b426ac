"""All parts of the GPU benchmark, one after another, and a comparison with the targets."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from p3m_lightning.experiments.bench.gpu.generation import generation
from p3m_lightning.experiments.bench.gpu.loading import loading
from p3m_lightning.experiments.bench.gpu.marked_tests import marked_tests
from p3m_lightning.experiments.bench.gpu.prediction import prediction
from p3m_lightning.experiments.bench.gpu.processes import processes
from p3m_lightning.experiments.bench.gpu.setting import AIMS, Setting
from p3m_lightning.experiments.bench.gpu.training import training
from p3m_lightning.messages import tell

Part = Callable[[Setting], dict[str, Any]]
PARTS: Mapping[str, Part] = {
    "training": training,
    "prediction": prediction,
    "generator": generation,
    "processes": processes,
    "loading": loading,
}


def bench(
    setting: Setting, keep: Callable[[dict[str, Any]], object], parts: Mapping[str, Part] = PARTS
) -> dict[str, Any]:
    """Run all parts; if one fails, its error is recorded and the others run.

    Args:
        setting: device and extent.
        keep: called with all results so far after every part, so that they survive the loss of the machine.
        parts: by name.

    Returns:
        `device`, `seconds`, the results of the parts and of the `tests` marked `gpu` by name, each with its own
        `seconds`, and `aims` by part and key: `least`, `found`, `reached`.
    """
    begin = time.monotonic()
    results: dict[str, Any] = {"device": described(setting.device)}
    work: dict[str, Callable[[], dict[str, Any]]] = {name: _bound(part, setting) for name, part in parts.items()}
    work["tests"] = lambda: marked_tests(setting, begin + setting.seconds - time.monotonic())
    for name, run in work.items():
        spent = time.monotonic() - begin
        if spent > setting.seconds:
            results[name] = {"left_out": f"no time left after {spent:.0f} seconds"}
            continue
        tell(f"bench gpu: {name}, after {spent:.0f} s")
        results[name] = _tried(run)
        results |= {"aims": judged(results), "seconds": time.monotonic() - begin}
        keep(results)
    return results


def _bound(part: Part, setting: Setting) -> Callable[[], dict[str, Any]]:
    return lambda: part(setting)


def _tried(run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    begin = time.monotonic()
    try:
        found = run()
    except Exception as error:  # of any kind: a machine with a GPU is available for minutes only
        tell(f"bench gpu: {type(error).__name__}: {error}")
        found = {"error": f"{type(error).__name__}: {error}"}
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return {**found, "seconds": time.monotonic() - begin}


def judged(results: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Compare the available results with `AIMS`."""
    found = {}
    for name, least in AIMS.items():
        part, key = name.split(".")
        value = results.get(part, {}).get(key)
        if value is not None:
            found[name] = {"least": least, "found": value, "reached": value >= least}
    return found


def described(device: torch.device) -> dict[str, Any]:
    """Return the type of a device; for a GPU also its name, memory and versions."""
    if device.type != "cuda":
        return {"kind": device.type}
    properties = torch.cuda.get_device_properties(device)
    return {
        "kind": device.type,
        "name": properties.name,
        "memory_bytes": properties.total_memory,
        "capability": list(torch.cuda.get_device_capability(device)),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "nccl": list(torch.cuda.nccl.version()),
    }
