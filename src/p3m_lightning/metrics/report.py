"""The metric report: mean, median and tail of the scores of many images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from p3m_lightning.metrics.definitions import FACE, IOU
from p3m_lightning.metrics.functional import CONVENTIONS

Row: TypeAlias = dict[str, Any]
"""The values of one image: `name`, and a number for each key that applies to it."""

TAIL = 0.1


def metric_report(rows: Iterable[Row], convention: str = "p3m") -> dict[str, Any]:
    """Summarize the values of many images.

    Args:
        rows: one per image.
        convention: the definitions that they follow, a key of `functional.CONVENTIONS`.

    Returns:
        `mean` and `median`, `{key: value}` each over the images that have the key; `tail`, see `tail_of`; `images`,
        the rows; `definition`, `{key: text}`.
    """
    rows = list(rows)
    known = CONVENTIONS[convention].definitions | FACE | IOU
    return {
        "mean": means(rows),
        "median": medians(rows),
        "tail": tail_of(rows),
        "images": rows,
        "definition": {key: known[key] for key in keys_of(rows)},
    }


def means(rows: Iterable[Row]) -> dict[str, float]:
    """Return the mean of every key over the rows that have it."""
    return _by_key(rows, np.mean)


def medians(rows: Iterable[Row]) -> dict[str, float]:
    """Return the median of every key over the rows that have it."""
    return _by_key(rows, np.median)


def tail_of(rows: Iterable[Row]) -> dict[str, Any]:
    """Describe the tenth of the images with the largest SAD, at least one, since a few bad mattes can dominate a mean.

    Returns:
        `images`, their number; `mean`, `{key: value}` over them; `sad_share`, their part of the summed SAD in
        [0, 1].
    """
    rows = list(rows)
    worst = worst_first(rows)[: int(np.ceil(TAIL * len(rows)))]
    total = sum(row["sad"] for row in rows)
    share = sum(row["sad"] for row in worst) / total if total else 0.0
    return {"images": len(worst), "mean": means(worst), "sad_share": share}


def worst_first(rows: Iterable[Row]) -> list[Row]:
    """Return the rows in descending order of SAD."""
    return sorted(rows, key=lambda row: -row["sad"])


def keys_of(rows: Iterable[Row]) -> list[str]:
    """Return the metric keys that any of the rows has, in the order of their first appearance."""
    return [key for key in dict.fromkeys(key for row in rows for key in row) if key != "name"]


def _by_key(rows: Iterable[Row], summary: Callable[[Sequence[float]], Any]) -> dict[str, float]:
    rows = list(rows)
    return {key: float(summary([row[key] for row in rows if key in row])) for key in keys_of(rows)}
