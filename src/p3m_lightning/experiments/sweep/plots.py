"""Plots of a sweep: every varied key against every metric, and the loss terms' shares in the gradient."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from p3m_lightning.files import atomic_path

Row = dict[str, Any]


def plot_metrics(rows: Sequence[Row], keys: Sequence[str], score: str, file: Path) -> None:
    """Draw one panel for each metric (row) and varied key (column): one point per job, a line through the means.

    Args:
        rows: finished jobs of `report.rank`.
        keys: the varied keys.
        score: the metric that jobs are ranked by, in the first row.
        file: a PNG.
    """
    from matplotlib.figure import Figure

    sets = list(dict.fromkeys(name for row in rows for name in row["sets"]))
    metrics = [score, *dict.fromkeys(key for row in rows for name in row["sets"] for key in row["sets"][name])]
    figure = Figure(figsize=(1 + 3.6 * len(keys), 0.9 + 1.9 * len(metrics)), layout="constrained")
    axes = figure.subplots(len(metrics), len(keys), squeeze=False, sharex="col", sharey="row")
    for metric, line in zip(metrics, axes, strict=True):
        line[0].set_ylabel(metric)
        for key, panel in zip(keys, line, strict=True):
            places = _prepare_axis(panel, [row["params"][key] for row in rows])
            if metric == score:
                _draw(panel, places, [row["score"] for row in rows], "black", score)
                continue
            for number, name in enumerate(sets):
                values = [row["sets"].get(name, {}).get(metric) for row in rows]
                _draw(panel, places, values, f"C{number}", name)
    for key, panel in zip(keys, axes[-1], strict=True):
        panel.set_xlabel(short(key))
    figure.align_ylabels()
    if sets:
        figure.legend(*axes[-1][0].get_legend_handles_labels(), loc="outside upper center", ncols=len(sets))
    _save(figure, file)


def plot_gradient_shares(rows: Sequence[Row], file: Path) -> None:
    """Draw one bar per job, best first, divided among the loss terms.

    Args:
        rows: finished jobs of `report.rank`.
        file: a PNG.
    """
    import matplotlib
    from matplotlib.figure import Figure

    rows = [row for row in rows if row["gradient_shares"]]
    terms = list(dict.fromkeys(term for row in rows for term in row["gradient_shares"]))
    figure = Figure(figsize=(8, 0.35 * len(rows) + 1.8), layout="constrained")
    panel = figure.subplots()
    left = [0.0] * len(rows)
    for color, term in enumerate(terms):
        widths = [row["gradient_shares"].get(term, 0.0) for row in rows]
        panel.barh(range(len(rows)), widths, left=left, label=term, color=matplotlib.colormaps["tab20"](color % 20))
        left = [a + b for a, b in zip(left, widths, strict=True)]
    panel.set_yticks(range(len(rows)), [f"job {row['job']}" for row in rows])
    panel.invert_yaxis()
    panel.set_xlim(0, 1)
    panel.set_xlabel("share in the gradient, mean over the training; best job on top")
    figure.legend(loc="outside right center", fontsize="small")
    _save(figure, file)


def short(key: str) -> str:
    """Return a key without the prefix that all loss weights share."""
    return key.removeprefix("loss.weights.")


def _prepare_axis(panel: Any, values: Sequence[Any]) -> list[float]:
    """Scale and label the x axis for the values, which are numbers or names; return their positions."""
    panel.grid(alpha=0.3)
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        labels = list(dict.fromkeys(map(str, values)))
        panel.set_xticks(range(len(labels)), labels, rotation=20)
        panel.set_xlim(-0.5, len(labels) - 0.5)
        return [labels.index(str(value)) for value in values]
    if min(numbers) > 0 and max(numbers) / min(numbers) >= 20:
        panel.set_xscale("log")
    return numbers


def _draw(panel: Any, places: Sequence[float], values: Sequence[float | None], color: str, name: str | None) -> None:
    known = [(place, value) for place, value in zip(places, values, strict=True) if value is not None]
    found = defaultdict(list)
    for place, value in known:
        found[place].append(value)
    panel.scatter([p for p, _ in known], [v for _, v in known], s=14, alpha=0.7, color=color, label=name)
    if len(found) < len(known):  # a grid: several jobs share a value
        means = sorted((place, sum(those) / len(those)) for place, those in found.items())
        panel.plot(*zip(*means, strict=True), color=color, linewidth=1)


def _save(figure: Any, file: Path) -> None:
    with atomic_path(file) as aside:
        figure.savefig(os.fspath(aside), dpi=120)
