"""W&B sweep over the same space: its server chooses values, and its agents run `p3m train`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from p3m_lightning.experiments.sweep.space import Dimension
from p3m_lightning.files import atomic_path
from p3m_lightning.schema import InputError


def describe(
    space: Sequence[Dimension],
    fixed: Sequence[str],
    metric: tuple[str, str],
    method: str | None = None,
    **names: str,
) -> dict[str, Any]:
    """Return the configuration of a W&B sweep.

    Args:
        space: the varied keys.
        fixed: overrides that all runs share.
        metric: the metric that runs are ranked by, and `min` or `max`.
        method: `grid`, `random` or `bayes`; None for `bayes` where there is an interval, else `grid`.
        names: `name`, `project` of the sweep.

    Raises:
        InputError: a grid over an interval.
    """
    continuous = [each.key for each in space if not each.choices]
    if method == "grid" and continuous:
        raise InputError(
            f"--method grid: {continuous[0]} is an interval; give values such as 1,3, or use bayes or random"
        )
    key, direction = metric
    logger = [] if any(line.startswith("logger=") for line in fixed) else ["logger=wandb"]
    return {
        **names,
        "method": method or ("bayes" if continuous else "grid"),
        "metric": {"name": key, "goal": {"min": "minimize", "max": "maximize"}[direction]},
        "parameters": {each.key: _parameter(each) for each in space},
        "command": ["p3m", "train", *logger, *fixed, "${args_no_hyphens}"],
    }


def _parameter(each: Dimension) -> dict[str, Any]:
    """Return the values of one key in W&B's format."""
    if each.choices:
        return {"values": [yaml.safe_load(choice) for choice in each.choices]}
    if isinstance(each.low, int):
        shape = {"distribution": "q_log_uniform_values", "q": 1} if each.log else {"distribution": "int_uniform"}
    else:
        shape = {"distribution": "log_uniform_values" if each.log else "uniform"}
    return {**shape, "min": each.low, "max": each.high}


def write_sweep(sweep: dict[str, Any], file: Path) -> None:
    """Write the file that `wandb sweep` reads."""
    with atomic_path(file) as aside:
        aside.write_text(yaml.safe_dump(sweep, sort_keys=False))
