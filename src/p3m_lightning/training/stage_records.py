"""The record of a run in stages: results, metrics, images and checkpoints of its last stage, with its history."""

from __future__ import annotations

import csv
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from p3m_lightning.files import atomic_path
from p3m_lightning.records import read_record, read_rows, write_json
from p3m_lightning.schema import InputError

RESULTS = "results.json"
METRICS = "metrics.csv"


def record_stages(
    folder: Path, stages: Sequence[tuple[str, Path]], results: Mapping[str, Any], started: float
) -> dict[str, Any]:
    """Make `folder` look like the run folder of one training, `results.json` last.

    Args:
        folder: of the whole run.
        stages: name and folder of every stage, in order.
        results: of the last one.
        started: start of the whole run, or of its resumption, in seconds of the clock.

    Returns:
        `results` with a list `stages`: name, folder, scores, checkpoint and seconds of each.
    """
    last = stages[-1][1]
    for pattern in ("checkpoints/*.ckpt", "metrics_*", "gradient_shares.json", "report/**/*"):
        for path in filter(Path.is_file, last.glob(pattern)):
            place(path, folder / path.relative_to(last))
    join_metrics([(name, path / METRICS) for name, path in stages], folder / METRICS)
    records = []
    for name, path in stages:
        own = read_results(path)
        kept = {key: own[key] for key in ("sets", "checkpoint", "seconds")}
        records.append({"name": name, "folder": str(path.relative_to(folder)), **kept})
    whole = {**results, "stages": records, "seconds": round(time.time() - started, 1)}
    write_json(folder / RESULTS, whole)
    return whole


def read_results(folder: Path) -> dict[str, Any]:
    """Return the scores, the checkpoint and the seconds of a finished stage.

    Raises:
        InputError: its results are damaged.
    """
    shapes = {"sets": dict, "checkpoint": str, "seconds": int | float}
    return read_record(folder / RESULTS, shapes, list(shapes), "delete it to score this stage again")


def place(source: Path, target: Path) -> None:
    """Place a file in a second folder, as a hard link if the file system allows it."""
    with atomic_path(target) as aside:
        aside.unlink()
        try:
            os.link(source, aside)
        except OSError:
            shutil.copyfile(source, aside)


def join_metrics(tables: Sequence[tuple[str, Path]], target: Path) -> None:
    """Write the tables of the stages one after another, with a column `stage`; epochs and steps count on."""
    rows: list[dict[str, str]] = []
    columns = ["stage"]
    done = {"epoch": 0, "step": 0}
    for name, path in tables:
        if not path.is_file():
            continue
        cure = "delete it or train this stage again"
        own = read_rows(path, list(done), cure)
        columns += [column for column in (own[0] if own else ()) if column not in columns]
        for row in own:
            if not all(row[k].isdecimal() for k in done if row[k]):
                raise InputError(f"{path}: {row['epoch']} and {row['step']} are no epoch and step; {cure}")
            rows.append({**row, "stage": name, **{k: str(int(row[k]) + done[k]) for k in done if row[k]}})
        trained = [row for row in rows if any(v for c, v in row.items() if c.startswith("train/"))]
        done = {k: max((int(row[k]) + 1 for row in trained if row[k]), default=0) for k in done}
    if len(columns) > 1:
        with atomic_path(target) as aside, aside.open("w", newline="", encoding="utf-8", errors="replace") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(rows)
