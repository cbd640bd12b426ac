"""The plot of a PPT table: the four cells of every method, and the effect of each way of hiding a face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from p3m_lightning.experiments.pages import Picture, chart
from p3m_lightning.experiments.ppt.plan import NOT_OURS, NOT_TRAINED, WHOLE_IMAGE, Cell, Plan
from p3m_lightning.experiments.ppt.scores import Score, headline, measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = {"B": "#4c72b0", "N": "#dd8452"}  # by training condition
HATCHES = {"B": "///", "N": ""}  # by test condition
WIDTH = 0.2


def ppt_chart(scores: Sequence[Score], plan: Plan) -> Picture:
    """Draw SAD with its intervals by method and cell, and the change by each style."""
    from matplotlib.figure import Figure

    free = [method for method in plan.models if plan.kind_of(method) in WHOLE_IMAGE]
    based = [method for method in plan.models if method not in free]
    styles = len(plan.test_on) > 2 and "N" in plan.test_on
    groups = [(methods, title) for methods, title in ((free, "whole image"), (based, "unknown region")) if methods]
    count = len(groups) + styles
    figure = Figure(figsize=(4.6 * count, 3.8), layout="constrained")
    panels = figure.subplots(1, count, squeeze=False)[0]
    for axes, (methods, title) in zip(panels[: len(groups)], groups, strict=True):
        _draw_cells(axes, scores, methods, plan)
        axes.set(title=f"SAD, {title}", ylabel="SAD")
        axes.legend(fontsize=8)
    if styles:
        _draw_styles(panels[-1], scores, plan)
    return chart("ppt", figure, f"SAD on {plan.test} by training and test condition; bars: 95% intervals")


def _draw_cells(axes: Axes, scores: Sequence[Score], methods: Sequence[str], plan: Plan) -> None:
    seen = set()
    for place, method in enumerate(methods):
        sides = [NOT_TRAINED] if plan.kind_of(method) in NOT_OURS else [s for s in plan.train_on if s in COLORS]
        cells = [Cell(method, side, test) for side in sides for test in plan.test_on if test in COLORS]
        for number, cell in enumerate(cells):
            score = measured(scores, cell, headline(plan.kind_of(method))[0])
            x = place + (number - (len(cells) - 1) / 2) * WIDTH
            axes.bar(
                x,
                score.value,
                WIDTH,
                yerr=[[score.value - score.low], [score.high - score.value]],
                color=COLORS.get(cell.trained_on, "#8c8c8c"),
                hatch=HATCHES[cell.tested_on],
                edgecolor="white",
                ecolor="#333333",
                error_kw={"linewidth": 1},
                label=None if cell.title in seen else cell.title,
            )
            seen.add(cell.title)
    axes.set_xticks(range(len(methods)), methods, fontsize=9)


def _draw_styles(axes: Axes, scores: Sequence[Score], plan: Plan) -> None:
    conditions = ["N", *(condition for condition in plan.test_on if condition != "N")]
    for number, method in enumerate(plan.models):
        metric = headline(plan.kind_of(method))[0]
        for side in [NOT_TRAINED] if plan.kind_of(method) in NOT_OURS else plan.train_on:
            found = [measured(scores, Cell(method, side, condition), metric) for condition in conditions]
            changes = [100 * (score.value / found[0].value - 1) for score in found]
            label = method if side == NOT_TRAINED else f"{method}, trained on {side}"
            style = {NOT_TRAINED: ":", "N": "-"}.get(side, "--")
            axes.plot(conditions, changes, style, color=f"C{number}", marker=".", linewidth=1.2, label=label)
    axes.set(title="change of SAD against normal test faces", ylabel="%")
    axes.tick_params(axis="x", rotation=30, labelsize=9)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
