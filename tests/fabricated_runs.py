"""Run folders written by hand, for tests of reports without a training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from p3m_lightning.metrics.report import metric_report
from p3m_lightning.records import write_csv

INFERENCE = {"_target_": "p3m_lightning.inference.infer", "mode": "resize"}


def write_run(
    folder: Path,
    sads: Mapping[str, Sequence[float]],
    config: Mapping[str, Any] | None = None,
    results: Mapping[str, Any] | None = None,
    curve: Sequence[float] = (),
) -> Path:
    """Write a run folder whose images `000`, `001`, ... of each test set have the given SAD, and a hundredth as MSE."""
    folder.mkdir(parents=True)
    sets = {}
    for name, values in sads.items():
        report = metric_report([{"name": f"{k:03}", "sad": v, "mse": v / 100} for k, v in enumerate(values)])
        (folder / f"metrics_{name}.json").write_text(json.dumps(report))
        sets[name] = {key: report[key] for key in ("mean", "median", "tail")}
    written = {
        "model": {"name": "modnet"},
        "inference": INFERENCE,
        "paths": {"run": str(folder)},
        "data": {"tests": {}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump({**written, **(config or {})}))
    found = {"experiment": "made_up", "seed": 0, "git_revision": None, "seconds": 60, "checkpoint": "best.ckpt"}
    found |= {"inference": INFERENCE, "sets": sets, **(results or {})}
    (folder / "results.json").write_text(json.dumps(found))
    if curve:
        write_csv(folder / "metrics.csv", [{"name": "", "step": k, "val/sad": v} for k, v in enumerate(curve)])
    return folder
