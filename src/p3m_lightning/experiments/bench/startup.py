"""Benchmark of the startup of commands: processor time of whole processes, and of their imports."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from p3m_lightning.experiments.bench.photo import render_photograph

CALL = "import sys; from p3m_lightning.cli import main; sys.exit(main(sys.argv[1:]))"


def bench(repeats: int, folder: Path) -> dict[str, Any]:
    """Measure the help of a command, a photograph with the network in the box in both engines, and torch itself.

    Returns:
        `rows`: for each command `cpu_seconds`, the smallest, and `wall_seconds`, the median, of processes whose
        bytecode is compiled already.
    """
    photograph = folder / "photo.png"
    render_photograph(photograph, (96, 64))
    # one pass of 64 pixels, too small to matter; the recorded mode would resize to 640
    small = ["--mode", "resize", "--short-side", "64"]
    predict = ["predict", str(photograph), "-o", str(folder / "mattes"), "--device", "cpu", *small, "--engine"]
    commands = {
        "p3m train --help": [CALL, "train", "--help"],
        "p3m predict, box, engine=onnx": [CALL, *predict, "onnx"],
        "p3m predict, box, engine=torch": [CALL, *predict, "torch"],
        "import torch": ["import torch"],
    }
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    rows = []
    for name, command in commands.items():
        turns = [_process(command, environment) for _ in range(repeats + 1)][1:]
        cpu, wall = zip(*turns, strict=True)
        rows.append({"command": name, "cpu_seconds": min(cpu), "wall_seconds": median(wall)})
    return {"rows": rows}


def _process(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run Python once; return processor and wall seconds."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", *command], env=environment, check=True, capture_output=True)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall
