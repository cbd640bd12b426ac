"""The PPT table as Markdown, HTML, LaTeX, CSV and a plot."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from p3m_lightning.experiments.pages import (
    Block,
    Heading,
    Table,
    Text,
    latex_table,
    write_html,
    write_markdown,
)
from p3m_lightning.experiments.ppt.findings import SIDES, findings, grey_error
from p3m_lightning.experiments.ppt.plan import (
    NOT_OURS,
    NOT_TRAINED,
    OUTSIDE,
    OUTSIDE_TRIMAP,
    TRADITIONAL,
    TRIMAP_BASED,
    TRIMAP_FREE,
    WHOLE_IMAGE,
    Cell,
    Plan,
)
from p3m_lightning.experiments.ppt.plot import ppt_chart
from p3m_lightning.experiments.ppt.scores import OURS, Score, find, headline, measured, own_scores, published_scores
from p3m_lightning.experiments.run_folders import Run
from p3m_lightning.experiments.statistics import LEVEL, SAMPLES
from p3m_lightning.files import atomic_path
from p3m_lightning.markdown import markdown_table

TITLES = {
    TRIMAP_FREE: "Methods without a trimap",
    TRIMAP_BASED: "Methods with a trimap",
    TRADITIONAL: "Traditional methods (nothing is trained, so there are only two cells)",
    OUTSIDE: "Networks from outside without a trimap (trained by others, so there are only two cells)",
    OUTSIDE_TRIMAP: "Networks from outside with a trimap (trained by others, so there are only two cells)",
}
REGIONS = {kind: "whole image" if kind in WHOLE_IMAGE else "unknown region" for kind in TITLES}


def write_report(plan: Plan, runs: Mapping[Cell, Run]) -> str:
    """Write `ppt.md`, `.html`, `.tex`, `.csv` and their plot into the plan's folder; return the tables as text.

    Args:
        plan: what was run.
        runs: of every cell.
    """
    scores = own_scores(plan, runs) + published_scores(plan)
    modes = list(dict.fromkeys((score.mode, score.resize) for score in scores))
    captions = {kind: _caption(kind, scores) for kind in TITLES if any(plan.kind_of(m) == kind for m in plan.models)}
    tables = {kind: main_table(plan, kind, scores, modes) for kind in captions}
    ours = [score for score in scores if score.source == OURS]
    sentences = findings(ours, runs, plan.test, grey_error(plan))
    blocks: list[Block] = [Heading("PPT: trained on and tested on blurred and normal portraits", 1), _intro(plan, runs)]
    for kind, table in tables.items():
        blocks += [Heading(TITLES[kind]), Text(captions[kind]), table]
    blocks += [Heading("Findings"), *map(Text, sentences), ppt_chart(scores, plan)]
    blocks += [Heading("Inside the face"), Text(_face_caption(scores)), face_table(plan, scores, modes)]
    if set(plan.test_on) - {"B", "N"}:
        blocks += [
            Heading("Other ways of hiding the test faces"),
            Text(_styles_caption(plan)),
            style_table(plan, scores, modes),
        ]
    blocks += [Heading("How the networks were applied"), _mode_table(modes)]
    write_markdown(plan.folder / "ppt.md", blocks)
    write_html(plan.folder / "ppt.html", "p3m ppt", blocks)
    with atomic_path(plan.folder / "ppt.tex") as aside:
        tex = (latex_table(table, f"{TITLES[kind]}. {captions[kind]}") for kind, table in tables.items())
        modes_tex = latex_table(_mode_table(modes), "How the networks were applied.")
        aside.write_text("\n\n".join([*tex, modes_tex]) + "\n")
    write_scores(plan.folder / "ppt.csv", scores)
    return "\n\n".join([*(f"{TITLES[kind]}\n{markdown_table(*table)}" for kind, table in tables.items()), *sentences])


def main_table(plan: Plan, kind: str, scores: Sequence[Score], modes: Sequence[tuple[str, str]]) -> Table:
    """Return the cells of one kind of method, each above its published figures; the lowest is bold."""
    sides = [NOT_TRAINED] if kind in NOT_OURS else [side for side in plan.train_on if side in ("B", "N")]
    tested = [condition for condition in plan.test_on if condition in ("B", "N")]
    pairs = [(side, condition) for side in sides for condition in tested]
    rows: list[list[str]] = []
    best = set()
    for method in (method for method in plan.models if plan.kind_of(method) == kind):
        for source in dict.fromkeys(score.source for score in scores if score.method == method):
            cells = [Cell(method, *pair) for pair in pairs]
            found = [[find(scores, cell, metric, source) for metric in headline(kind)] for cell in cells]
            label = method if source == OURS else f"{method}, published: {source}"
            first = next((pair[0] for pair in found if pair[0]), None)
            if first is None:
                continue
            values = [pair[0].value if pair[0] else float("inf") for pair in found]
            best.add((len(rows), 1 + values.index(min(values))))
            rows.append([label, *map(_pair_text, found), _mode_mark(first, modes)])
    return Table(["method", *(Cell("", *pair).title for pair in pairs), "applied"], rows, frozenset(best))


def face_table(plan: Plan, scores: Sequence[Score], modes: Sequence[tuple[str, str]]) -> Table:
    """Return the SAD inside the face region."""
    rows = []
    for method in plan.models:
        cells = [Cell(method, *sides) for sides in SIDES]
        if plan.kind_of(method) in NOT_OURS:  # in the columns of methods trained on B
            cells[:2] = [Cell(method, NOT_TRAINED, condition) for condition in "BN"]
        found = [find(scores, cell, "sad_face") for cell in cells]
        given = [score for score in found if score]
        if given:
            rows.append([method, *(_text(score) for score in found), _mode_mark(given[0], modes)])
    return Table(["method", *(Cell("", *sides).title for sides in SIDES), "applied"], rows)


def style_table(plan: Plan, scores: Sequence[Score], modes: Sequence[tuple[str, str]]) -> Table:
    """Return the change of the SAD by each way of hiding the test faces."""
    rows = []
    for method in plan.models:
        metric = headline(plan.kind_of(method))[0]
        sides = [NOT_TRAINED] if plan.kind_of(method) in NOT_OURS else plan.train_on
        for side in sides:
            found = [measured(scores, Cell(method, side, condition), metric) for condition in plan.test_on]
            normal = find(scores, Cell(method, side, "N"), metric)
            texts = [_with_change(score, normal) for score in found]
            rows.append([method, side, metric, *texts, _mode_mark(found[0], modes)])
    return Table(["method", "trained on", "metric", *plan.test_on, "applied"], rows)


def write_scores(path: Path, scores: Sequence[Score]) -> None:
    """Write one line for each number with its conditions; written atomically."""
    with atomic_path(path) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(Score._fields)
        writer.writerows(["" if value != value else value for value in score] for score in scores)


def _intro(plan: Plan, runs: Mapping[Cell, Run]) -> Text:
    run = next(iter(runs.values()))
    data = {c.tested_on: r.results.get("data", {}).get(plan.test, {}).get("sha256") for c, r in runs.items()}
    prints = ", ".join(f"{condition} {sha}" for condition, sha in data.items())
    masks = " The labels are masks: the band around their edges is not scored." if "iou" in run.definition else ""
    return Text(
        f"B: blurred, N: normal; B:N is trained on blurred and tested on normal images. Tested on {plan.test} of"
        f" {plan.root}, {len(run.images[plan.test])} images, the same portraits under every condition (fingerprints:"
        f" {prints}). Seed {plan.seed}, revision {str(run.results.get('git_revision'))[:12]}. In brackets the"
        f" {LEVEL:.0%} interval of {SAMPLES} resamples of the images; it does not cover the randomness of training."
        f"{masks}"
    )


def _caption(kind: str, scores: Sequence[Score]) -> str:
    words = {score.metric: score.definition for score in scores}
    metrics = headline(kind)
    described = "; ".join(f"{metric}: {words[metric]}" for metric in metrics if metric in words)
    return f"SAD / MSE, {REGIONS[kind]}, mean over the images. {described}. The lowest SAD of a row is bold."


def _face_caption(scores: Sequence[Score]) -> str:
    definition = next((score.definition for score in scores if score.metric == "sad_face"), "no image has a face mask")
    return (
        f"sad_face: {definition}; the same region whether it is hidden or not. Methods that are not trained here,"
        " tested on B and on N, are listed under B:B and B:N."
    )


def _styles_caption(plan: Plan) -> str:
    styles = "; ".join(
        f"{name}: {', '.join(f'{key} {value}' for key, value in plan.styles[name].items())}"
        for name in plan.test_on
        if name in plan.styles
    )
    return f"Mean, in parentheses the change against normal test faces. B is the data set's own blur. {styles}."


def _mode_table(modes: Sequence[tuple[str, str]]) -> Table:
    return Table(["applied", "inference mode", "resize rule"], [[f"({k + 1})", *pair] for k, pair in enumerate(modes)])


def _mode_mark(score: Score, modes: Sequence[tuple[str, str]]) -> str:
    return f"({modes.index((score.mode, score.resize)) + 1})"


def _pair_text(pair: Sequence[Score | None]) -> str:
    sad, mse = pair
    if sad is None:
        return "-"
    return _text(sad) + (f" / {mse.value:.4f}" if mse else "")


def _text(score: Score | None) -> str:
    if score is None:
        return "-"
    interval = "" if score.low != score.low else f" [{score.low:.3g}, {score.high:.3g}]"
    return f"{score.value:.4g}{interval}"


def _with_change(score: Score, normal: Score | None) -> str:
    change = "" if normal is None or score is normal else f" ({score.value / normal.value - 1:+.1%})"
    return f"{score.value:.4g}{change}"
