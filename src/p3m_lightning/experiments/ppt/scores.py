"""The numbers of a PPT table, each with the conditions it was measured under; published numbers beside ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from p3m_lightning.experiments.conditions import resize_rule
from p3m_lightning.experiments.ppt.plan import NOT_TRAINED, WHOLE_IMAGE, Cell, Plan, kind_of
from p3m_lightning.experiments.run_folders import Run
from p3m_lightning.experiments.statistics import Estimate, bootstrap
from p3m_lightning.metrics.definitions import FACE, P3M
from p3m_lightning.training.quoted_figures import PPT_TEST, figures_of_recipe

OURS = "this run"


class Score(NamedTuple):
    """One number, and everything it depends on."""

    method: str
    kind: str
    cell: str  # such as B:N; only the test condition where nothing is trained
    trained_on: str
    tested_on: str
    metric: str
    value: float
    low: float  # of the interval; NaN if unknown
    high: float
    median: float
    images: int
    mode: str
    resize: str
    definition: str
    test: str  # the test set
    source: str  # OURS, or who published it

    @property
    def estimate(self) -> Estimate:
        """Value and interval."""
        return Estimate(self.value, self.low, self.high)


def headline(kind: str) -> tuple[str, str]:
    """Return the two metrics of a kind of method: over the whole image, or in the unknown region of the trimap."""
    return ("sad", "mse") if kind in WHOLE_IMAGE else ("sad_unknown", "mse_unknown")


def own_scores(plan: Plan, runs: Mapping[Cell, Run]) -> list[Score]:
    """Return every metric of every cell."""
    return [score for cell, run in runs.items() for score in _scores_of(plan, cell, run)]


def published_scores(plan: Plan) -> list[Score]:
    """Return the figures on PPT that the recipes of the methods quote, on `PPT_TEST`."""
    found: list[Score] = []
    for model in plan.models:
        recipe = plan.methods.get(model, {}).get("published")
        for entry in figures_of_recipe(recipe) if recipe else ():
            for title, figures in (entry.get("ppt") or {}).items():
                found += _published(model, title, figures, entry)
    return found


def image_scores(run: Run, test: str, metric: str) -> np.ndarray:
    """Return one metric of every image that has it, by name: (N,)."""
    return np.array([row[metric] for _, row in sorted(run.images[test].items()) if metric in row], np.float64)


def find(scores: Sequence[Score], cell: Cell, metric: str, source: str = OURS) -> Score | None:
    """Return a score, or None if there is none."""
    wanted = (cell.model, cell.trained_on, cell.tested_on, metric, source)
    return next((s for s in scores if (s.method, s.trained_on, s.tested_on, s.metric, s.source) == wanted), None)


def measured(scores: Sequence[Score], cell: Cell, metric: str) -> Score:
    """Return a score of a cell that was tested in this run."""
    found = find(scores, cell, metric)
    assert found is not None, (cell, metric)
    return found


def _scores_of(plan: Plan, cell: Cell, run: Run) -> Iterator[Score]:
    inference = run.results["inference"]
    for metric, definition in run.definition.items():
        values = image_scores(run, plan.test, metric)
        estimate = bootstrap(values, seed=plan.seed)
        yield Score(
            method=cell.model,
            kind=plan.kind_of(cell.model),
            cell=cell.title,
            trained_on=cell.trained_on,
            tested_on=cell.tested_on,
            metric=metric,
            **estimate._asdict(),
            median=float(np.median(values)),
            images=len(values),
            mode=inference["mode"],
            resize=resize_rule(inference),
            definition=definition,
            test=plan.test,
            source=OURS,
        )


def _published(model: str, title: str, figures: Mapping[str, float], entry: Mapping[str, Any]) -> Iterator[Score]:
    trained_on, _, tested_on = title.rpartition(":")
    for metric, value in figures.items():
        yield Score(
            method=model,
            kind=kind_of(model),
            cell=title,
            trained_on=trained_on or NOT_TRAINED,
            tested_on=tested_on,
            metric=metric,
            value=value,
            low=float("nan"),
            high=float("nan"),
            median=float("nan"),
            images=500,
            mode=entry["inference"] or "not stated",
            resize="not stated",
            definition=(P3M | FACE)[metric],
            test=f"{PPT_TEST} of P3M-10k",
            source=entry["source"],
        )
