"""Report of a sweep: jobs ranked, in tables and files, and plots of the effects of the weights."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p3m_lightning.experiments.sweep.plots import plot_gradient_shares, plot_metrics, short
from p3m_lightning.experiments.sweep.workers import PLANNED, RETRIED, SETTINGS
from p3m_lightning.files import atomic_path
from p3m_lightning.markdown import markdown_table, paragraph
from p3m_lightning.metrics.definitions import FACE, P3M
from p3m_lightning.tables import print_table

if TYPE_CHECKING:
    from optuna import Study

STATES = {
    "COMPLETE": "done",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running or interrupted",
    "WAITING": "waiting",
}
Row = dict[str, Any]


def rank(study: Study, direction: str = "min") -> list[Row]:
    """Return one row per job: finished ones from best to worst, then pruned ones by how far they got, then the rest.

    A failed job that was retried is left out.
    """
    planned = [trial for trial in study.trials if PLANNED in trial.user_attrs]
    retried = {trial.user_attrs.get(RETRIED) for trial in planned}
    rows = [_row(trial) for trial in planned if trial.number not in retried]
    sign = 1 if direction == "min" else -1
    order = list(STATES.values())
    rows.sort(key=lambda r: (order.index(r["state"]), sign * (r["score"] if r["score"] is not None else 0), r["job"]))
    return [{"rank": place if row["state"] == "done" else None, **row} for place, row in enumerate(rows, 1)]


def write_report(rows: Sequence[Row], keys: Sequence[str], score: str, folder: Path) -> None:
    """Print the ranked table and write `ranking.{md,csv,json}`, and plots if any job is done.

    Args:
        rows: of `rank`.
        keys: the varied keys.
        score: the metric that jobs are ranked by.
        folder: of the sweep.
    """
    done = [row for row in rows if row["state"] == "done"]
    tables = {f"jobs by {score}": _ranking(rows, keys, score)}
    if any(row["gradient_shares"] for row in done):
        tables["share of each loss term in the gradient, mean over the training"] = _shares(done)
        plot_gradient_shares(done, folder / "gradient_shares.png")
    if done:
        plot_metrics(done, keys, score, folder / "metrics.png")
    with atomic_path(folder / "ranking.json") as aside:
        aside.write_text(json.dumps({"score": score, "jobs": list(rows)}, indent=2) + "\n")
    _write_csv([_flat(row, score) for row in rows], folder / "ranking.csv")
    note = settings_note(rows)
    written = tables | {"metrics": _definitions(done)}
    with atomic_path(folder / "ranking.md") as aside:
        parts = [f"## {title}\n\n{markdown_table(head, lines)}" for title, (head, *lines) in written.items()]
        aside.write_text("\n\n".join([*([paragraph(note)] if note else []), *parts]) + "\n")
    for title, (head, *lines) in tables.items():
        print_table(head, lines, title, left=["state"])
    if note:
        print(note)


def settings_note(rows: Sequence[Row]) -> str:
    """Return a note on which jobs ran with which settings, if a sweep was resumed with others; else an empty text.

    Args:
        rows: of `rank`.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for row in sorted(rows, key=lambda row: row["job"]):
        if row["settings"] is not None:
            groups.setdefault(tuple(sorted(row["settings"])), []).append(str(row["job"]))
    if len(groups) < 2:
        return ""
    shared = set.intersection(*map(set, groups))
    own = {
        ", ".join(jobs): " ".join(each for each in settings if each not in shared) for settings, jobs in groups.items()
    }
    parts = "; ".join(f"{jobs} with {settings or 'nothing more'}" for jobs, settings in own.items())
    return f"Note: the jobs were not run with the same settings: {parts}."


def _row(trial: Any) -> Row:
    results: Mapping[str, Any] = trial.user_attrs.get("results", {})
    epoch = max(trial.intermediate_values, default=None)
    last = trial.intermediate_values.get(epoch)
    return {
        "job": trial.number,
        "state": STATES[trial.state.name],
        "score": trial.value if trial.state.name == "COMPLETE" else last,
        "params": trial.params,
        "sets": results.get("sets", {}),
        "gradient_shares": results.get("gradient_shares", {}),
        "seconds": results.get("seconds"),
        "folder": results.get("folder"),
        "reason": f"after epoch {epoch}" if trial.state.name == "PRUNED" else trial.user_attrs.get("reason", ""),
        "settings": trial.user_attrs.get(SETTINGS),
    }


def _ranking(rows: Sequence[Row], keys: Sequence[str], score: str) -> list[list[str]]:
    """Return the cells of the ranked table, its head first."""
    sets = list(dict.fromkeys(name for row in rows for name in row["sets"]))
    cells = [["rank", "job", *map(short, keys), score, *(f"{name} sad" for name in sets), "state"]]
    for row in rows:
        values = [row["params"].get(key) for key in keys] + [row["score"]]
        values += [row["sets"].get(name, {}).get("sad") for name in sets]
        note = f"{row['state']}: {row['reason']}" if row["reason"] else row["state"]
        cells.append([_said(row["rank"]), str(row["job"]), *map(_said, values), note])
    return cells


def _shares(rows: Sequence[Row]) -> list[list[str]]:
    """Return the cells of the table of gradient shares, its head first."""
    terms = list(dict.fromkeys(term for row in rows for term in row["gradient_shares"]))
    cells = [["job", *terms]]
    for row in rows:
        cells.append([str(row["job"]), *(_percent(row["gradient_shares"].get(term)) for term in terms)])
    return cells


def _definitions(rows: Sequence[Row]) -> list[list[str]]:
    """Return the cells of the table of metric definitions."""
    keys = dict.fromkeys(key for row in rows for means in row["sets"].values() for key in means)
    return [["metric", "definition"], *([key, (P3M | FACE)[key]] for key in keys)]


def _flat(row: Row, score: str) -> Row:
    """Return a row without nesting."""
    flat = {"job": row["job"], "rank": row["rank"], "state": row["state"], **row["params"], score: row["score"]}
    flat |= {f"{name}/{key}": value for name, means in row["sets"].items() for key, value in means.items()}
    flat |= {f"gradient_share/{term}": share for term, share in row["gradient_shares"].items()}
    return flat | {key: row[key] for key in ("seconds", "folder", "reason")}


def _write_csv(rows: Sequence[Row], file: Path) -> None:
    with atomic_path(file) as aside, aside.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)


def _said(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"
