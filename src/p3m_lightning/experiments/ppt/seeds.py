"""A PPT table over several seeds, to compare differences with the spread of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from p3m_lightning.experiments.pages import Block, Heading, Table, Text, write_html, write_markdown
from p3m_lightning.experiments.ppt.findings import SIDES, direction
from p3m_lightning.experiments.ppt.plan import TRIMAP_FREE, Cell, Plan
from p3m_lightning.experiments.ppt.report import write_report
from p3m_lightning.experiments.ppt.scores import Score, find, headline, own_scores
from p3m_lightning.experiments.ppt.steps import run_plan
from p3m_lightning.markdown import markdown_table
from p3m_lightning.schema import InputError

SeedScores = Mapping[int, Sequence[Score]]


def run_seeds(plan: Plan, seeds: Sequence[int]) -> str:
    """Run a plan once per seed, each with its own report; write `ppt.md` and `ppt.html` over all and return the table.

    Raises:
        InputError: a seed occurs twice, or see `run_plan`.
    """
    if len(set(seeds)) < len(seeds):
        raise InputError(f"seeds={list(seeds)}: give each seed once")
    scores: dict[int, Sequence[Score]] = {}
    for seed in seeds:
        own = plan.of_seed(seed)
        runs = run_plan(own)
        write_report(own, runs)
        scores[seed] = own_scores(own, runs)
    table, factors = spread_table(plan, scores), direction_table(plan, scores)
    blocks: list[Block] = [
        Heading(f"PPT over {len(seeds)} seeds", 1),
        Text(
            f"B: blurred, N: normal; B:N is trained on blurred and tested on normal images. {plan.test} of {plan.root}."
            f" Seeds {', '.join(map(str, seeds))}, each with a report of its own beside this one. Mean over the seeds,"
            " followed by ± the standard deviation of single trainings."
        ),
        table,
        Heading("Faces of the other kind"),
        Text("SAD on the faces that a network was not trained on, over that on its own kind, for each seed."),
        factors,
    ]
    write_markdown(plan.folder / "ppt.md", blocks)
    write_html(plan.folder / "ppt.html", "p3m ppt", blocks)
    return "\n\n".join(markdown_table(*one) for one in (table, factors))


def spread_table(plan: Plan, scores: SeedScores) -> Table:
    """Return mean and deviation over the seeds of each method's error, and of the IoU where labels are masks."""
    rows = []
    for method in plan.models:
        for metric in (headline(plan.kind_of(method))[0], "iou"):
            found = [[find(own, Cell(method, *sides), metric) for own in scores.values()] for sides in SIDES]
            if all(score for column in found for score in column):
                rows.append([method, metric, *(_spread([s.value for s in column if s]) for column in found)])
    return Table(["method", "metric", *(Cell("", *sides).title for sides in SIDES)], rows)


def direction_table(plan: Plan, scores: SeedScores) -> Table:
    """Return N:B / N:N and B:N / B:B of every method without a trimap, seed by seed."""
    rows = []
    for method in (method for method in plan.models if plan.kind_of(method) == TRIMAP_FREE):
        for side, title in (("N", "N:B / N:N"), ("B", "B:N / B:B")):
            factors = [factor for own in scores.values() if (factor := direction(own, method, side)) is not None]
            if len(factors) == len(scores):
                rows.append([method, title, *(f"{factor:.3f}" for factor in factors), _spread(factors)])
    return Table(["method", "", *(f"seed {seed}" for seed in scores), "mean"], rows)


def _spread(values: Sequence[float]) -> str:
    deviation = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{np.mean(values):.4g} ± {deviation:.2g}"
