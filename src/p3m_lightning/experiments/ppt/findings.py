"""Published findings about blurred faces, checked against the numbers of a PPT table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from p3m_lightning.data.storage.layout import find_samples
from p3m_lightning.data.storage.readers import SampleFiles
from p3m_lightning.experiments.ppt.plan import NOT_TRAINED, WHOLE_IMAGE, Cell, Plan
from p3m_lightning.experiments.ppt.scores import Score, find, headline, image_scores
from p3m_lightning.experiments.run_folders import Run
from p3m_lightning.experiments.statistics import paired_test
from p3m_lightning.images import to_unit
from p3m_lightning.schema import UNKNOWN

HARDLY = 0.05  # a relative change of a score that counts as hardly any; published: 0.7 % at most
CHANCE = 0.05  # with a larger p, a difference may be due to the choice of images
LEARNED = 0.9  # an error above this part of that of a gray unknown region is not a learned matte
SIDES = (("B", "B"), ("B", "N"), ("N", "B"), ("N", "N"))
"""Training and test images of the four cells of a method."""


def grey_error(plan: Plan) -> float:
    """Return the error of the trimap alone: the MSE, in the unknown region, of a matte that is 0.5 there.

    It is infinite if no method takes a trimap.
    """
    if all(plan.kind_of(model) in WHOLE_IMAGE for model in plan.models):
        return float("inf")
    errors = []
    for files in find_samples(plan.root, "p3m-10k", plan.test, plan.folders["B"], {"trimap"}).values():
        sample = SampleFiles(files)
        alpha = to_unit(sample.alpha())
        trimap = sample.trimap(alpha.shape)
        assert trimap is not None  # it was requested
        unknown = trimap == UNKNOWN
        errors.append(np.square(alpha[unknown] - 0.5).mean() if unknown.any() else 0.0)
    return float(np.mean(errors))


def findings(scores: Sequence[Score], runs: Mapping[Cell, Run], test: str, grey: float = np.inf) -> list[str]:
    """Return a sentence for each published finding, with the numbers and whether they agree.

    Args:
        scores: of this run.
        runs: of every cell, for tests over images.
        test: name of the test set.
        grey: see `grey_error`; a method with a trimap that does not do better has learned nothing and is not counted.
    """
    methods = list(dict.fromkeys(score.method for score in scores))
    free = [method for method in methods if _kind(scores, method) in WHOLE_IMAGE]
    based = [method for method in methods if method not in free]
    idle = [method for method in based if not _learned(scores, method, grey)]
    based = [method for method in based if method not in idle]
    no_witness = f"Not counted: {', '.join(idle)}, no better than a gray unknown region after this training."
    sentences = [
        no_witness if idle else None,
        _trimaps_help(scores, based, free),
        _worst_direction(scores, runs, test, free),
        _integration(scores),
    ]
    return [sentence for sentence in sentences if sentence]


def blur_effect(scores: Sequence[Score], method: str) -> float | None:
    """Return the relative change of a method's score by blurring the test faces, the larger over its trainings."""
    metric = headline(_kind(scores, method))[0]
    changes = []
    for side in (NOT_TRAINED, "B", "N"):
        blurred, normal = (find(scores, Cell(method, side, condition), metric) for condition in "BN")
        if blurred and normal:
            changes.append(abs(blurred.value / normal.value - 1))
    return max(changes, default=None)


def direction(scores: Sequence[Score], method: str, side: str) -> float | None:
    """Return the factor by which the SAD grows on faces that a method was not trained on, N:B / N:N or B:N / B:B.

    Args:
        scores: of this run.
        method: without a trimap.
        side: the condition that it was trained on, N or B.
    """
    other, same = (find(scores, Cell(method, side, condition), "sad") for condition in ("BN" if side == "N" else "NB"))
    return other.value / same.value if other and same else None


def _kind(scores: Sequence[Score], method: str) -> str:
    return next(score.kind for score in scores if score.method == method)


def _learned(scores: Sequence[Score], method: str, grey: float) -> bool:
    """Return whether every training of a method with a trimap does better than the trimap alone."""
    cells = (Cell(method, side, condition) for side in (NOT_TRAINED, "B", "N") for condition in "BN")
    errors = (find(scores, cell, "mse_unknown") for cell in cells)
    return all(error.value < LEARNED * grey for error in errors if error)


def _trimaps_help(scores: Sequence[Score], based: Sequence[str], free: Sequence[str]) -> str | None:
    effects = [{m: e for m in methods if (e := blur_effect(scores, m)) is not None} for methods in (based, free)]
    with_trimap, without = effects
    if not with_trimap or not without:
        return None
    largest, smallest = max(with_trimap.values()), min(without.values())
    shown = largest < HARDLY and largest < smallest
    return (
        "Finding: blur hardly matters to methods with a trimap. Blurring the test faces changes their SAD in the"
        f" unknown region by {_listed(with_trimap)}, and the SAD of methods without a trimap by {_listed(without)}"
        f" (published: at most 0.7%, and 24% to 68%). {_verdict(shown)}"
    )


def _worst_direction(scores: Sequence[Score], runs: Mapping[Cell, Run], test: str, free: Sequence[str]) -> str | None:
    parts, agree = [], []
    for method in free:
        cells = [Cell(method, *sides) for sides in SIDES]
        row = {cell.title: found.value for cell in cells if (found := find(scores, cell, "sad"))}
        if len(row) == len(cells):
            worst = max(row, key=row.__getitem__)
            blurred, normal = (image_scores(runs[Cell(method, "N", c)], test, "sad") for c in "BN")
            p = paired_test(normal, blurred).permutation
            agree.append(worst == "N:B" and p < CHANCE)
            parts.append(
                f"{method} {worst} ({row[worst]:.3g}; N:B {row['N:B']:.3g} against N:N {row['N:N']:.3g}, p = {p:.2g})"
            )
    if not parts:
        return None
    shown = all(agree)
    return (
        "Finding: training on normal and testing on blurred images is the worst direction for methods without a trimap."
        f" The worst cell is: {'; '.join(parts)} (published: N:B for HATT, GFM, BASIC and P3M-Net, B:N for SHM, B:B for"
        f" LF). {_verdict(shown, sum(agree), len(agree))}"
    )


def _integration(scores: Sequence[Score]) -> str | None:
    ratios = {score.method: direction(scores, score.method, "N") for score in scores}
    integrated = next((ratio for method, ratio in ratios.items() if method.startswith("p3mnet") and ratio), None)
    plain = ratios.get("basic")
    if integrated is None or plain is None:
        return None
    return (
        "Finding: it matters less to P3M-Net than to BASIC, the same network without feature integration. N:B over N:N"
        f" is {integrated:.2f} and {plain:.2f} (published: 1.24 and 1.68). {_verdict(integrated < plain)}"
    )


def _verdict(shown: bool, agree: int = 0, of: int = 0) -> str:
    if shown:
        return "As published."
    return f"As published for {agree} of {of} methods only." if agree else "NOT as published."


def _listed(effects: Mapping[str, float]) -> str:
    return ", ".join(f"{effect:.1%} ({method})" for method, effect in effects.items())
