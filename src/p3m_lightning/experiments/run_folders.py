"""Reading the run folders of `p3m train` and `p3m eval`: configuration, results, scores per image, curves, mattes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from p3m_lightning.configuration import current_targets
from p3m_lightning.configuration.places import without_places
from p3m_lightning.experiments.conditions import GIVEN
from p3m_lightning.messages import printable
from p3m_lightning.metrics.report import Row
from p3m_lightning.records import read_record, read_rows
from p3m_lightning.schema import InputError

CONFIG = {"model": dict | None, "paths": dict, "data": dict | None}
RESULTS = {
    "sets": dict,
    "sets.*": dict,
    "inference": dict,
    "inference.*": str | int | float | None,
    "inference.mode": str,
    "seconds": int | float,
    "versions": dict,
    "versions.*": str,
    "seen_in_training": list,
    "seen_in_training.*": str,
    "data": dict,
    "data.*": dict,
}
NEEDED = ("sets", "inference", "inference.mode", "seed", "seconds")
REPORT = {
    "images": list,
    "images.*": dict,
    "images.*.*": str | int | float,
    "images.*.name": str,
    "images.*.sad": int | float,
    "definition": dict,
    "definition.*": str,
    "convention": str,
    "skipped": dict,
}
"""Types of the values read from the files of a run folder, and what its results must have."""

AGAIN = "run it again"

Curve = list[tuple[int, float]]
"""Step and value."""


@dataclass(frozen=True)
class Run:
    """One run folder."""

    label: str
    folder: Path
    config: dict[str, Any]
    results: dict[str, Any]
    images: dict[str, dict[str, Row]]  # test set -> stem -> scores
    definition: dict[str, str]  # metric -> what it means

    @property
    def is_trained_or_tested(self) -> bool:
        """True if this package made the mattes; it only scored those of `p3m score`."""
        return self.results["inference"]["mode"] != GIVEN

    def curves(self) -> dict[str, Curve]:
        """Return every column of `metrics.csv` that has values, by step; none for an evaluation.

        Raises:
            InputError: the file is of another kind.
        """
        path = self.folder / "metrics.csv"
        if not path.is_file():
            return {}
        cure = "delete it or run again"
        found: dict[str, Curve] = {}
        for row in read_rows(path, ["step"], cure):
            for key, value in row.items():
                if value and key not in ("step", "epoch"):
                    try:
                        found.setdefault(key, []).append((int(row["step"]), float(value)))
                    except ValueError as error:
                        raise InputError(f"{path}: not the metrics of a training ({error}); {cure}") from None
        return found

    def matte(self, test: str, stem: str) -> Path | None:
        """Return the file of a reduced matte, or None if the run did not keep it."""
        inside = Path("report", "mattes", test) if self.is_trained_or_tested else Path()
        folder = (self.folder / inside).resolve()
        path = folder / f"{stem}.png"
        try:
            return path if path.resolve().is_relative_to(folder) and path.is_file() else None
        except (OSError, ValueError):  # not a valid file name
            return None


def read_runs(named: Sequence[str]) -> list[Run]:
    """Read run folders, and JSON files of `p3m score`.

    Args:
        named: paths, each possibly as `LABEL=PATH`; the others are called A, B, C, ...

    Raises:
        InputError: a path is neither a run folder nor scores, or two have the same label.
    """
    pairs = [_split_label(name) for name in named]
    labels = _labels(pairs)
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise InputError(f"{twice[0]}: two runs have this label; tell them apart, as in first=RUN second=RUN")
    found = [(label, folder) for label, (_, folder) in zip(labels, pairs, strict=True)]
    return with_sets([read_scores(path, label) if path.is_file() else read_run(path, label) for label, path in found])


def read_run(folder: Path, label: str) -> Run:
    """Read a run folder.

    Raises:
        InputError: it is not a run folder, or its run has not finished.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give run folders, which p3m train and p3m eval print last")
    if not (folder / "config.yaml").is_file():
        raise InputError(f"{folder}: not a run folder (there is no config.yaml in it)")
    if not (folder / "results.json").is_file():
        raise InputError(f"{folder}: no results.json, so the run did not finish; score its checkpoint with p3m eval")
    config = read_record(folder / "config.yaml", CONFIG, cure=AGAIN)
    results = read_record(folder / "results.json", RESULTS, NEEDED, AGAIN)
    reports = {name: _read_report(folder / f"metrics_{name}.json", AGAIN) for name in results["sets"]}
    images = {name: _rows(report, folder / f"metrics_{name}.json", AGAIN) for name, report in reports.items()}
    definition = {key: text for report in reports.values() for key, text in report["definition"].items()}
    return Run(label, folder, current_targets(config), results, images, definition)


def read_scores(path: Path, label: str) -> Run:
    """Read a file of `p3m score --json`; the mattes are shown if the file lies in their folder.

    Returns:
        A run whose test set has no name yet, see `with_sets`.

    Raises:
        InputError: another kind of file, or scores by a convention other than P3M's.
    """
    cure = "give a file of p3m score --json"
    report = _read_report(path, cure, ["convention"])
    if report["convention"] != "p3m":
        raise InputError(f"{path}: scored by the convention {report['convention']}; score with --conventions p3m")
    images, definition = _rows(report, path, cure), report["definition"]
    results = {"sets": {}, "inference": {"mode": GIVEN}, "checkpoint": path.name, "experiment": "p3m score"}
    return Run(label, path.parent, {"model": {"title": "a folder of mattes"}}, results, {"": images}, definition)


def with_sets(runs: Sequence[Run]) -> list[Run]:
    """Name the test set of scores of a folder: the set of another run with the same image names.

    Raises:
        InputError: they match no test set of the other runs, or define a metric differently.
    """
    tested = [run for run in runs if run.is_trained_or_tested]
    known = {name: set(images) for run in tested for name, images in run.images.items()}
    if not tested:
        known = {"mattes": set(runs[0].images[""])}
    words = {key: text for run in tested for key, text in run.definition.items()}
    named = []
    for run in runs:
        if not run.is_trained_or_tested:
            rows = run.images[""]
            names = [name for name, stems in known.items() if stems == set(rows)]
            if not names:
                nearest = max(known, key=lambda name: len(known[name] & set(rows)))
                raise InputError(
                    f"{run.label}: its {len(rows)} images match no test set of the other runs; closest is {nearest}"
                    f" with {len(known[nearest])} images, {len(known[nearest] & set(rows))} of them the same"
                )
            other = [key for key, text in run.definition.items() if words.get(key, text) != text]
            if other:
                raise InputError(f"{run.label}: {other[0]} follows another definition; run p3m score again")
            run = replace(run, images=dict.fromkeys(names, rows))
        named.append(run)
    return named


def _read_report(path: Path, cure: str, needed: Sequence[str] = ()) -> dict[str, Any]:
    return read_record(path, REPORT, ["images", "images.*.name", "images.*.sad", "definition", *needed], cure)


def _rows(report: Mapping[str, Any], path: Path, cure: str) -> dict[str, Row]:
    """Return the rows of a report by name; their values must be finite numbers."""
    if not report["images"]:
        raise InputError(f"{path}: holds no scores; {cure}")
    rows: dict[str, Row] = {}
    for row in report["images"]:
        values = [value for key, value in row.items() if key != "name"]
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
            raise InputError(f"{path}: {printable(row['name'])}: its values are not numbers; {cure}")
        rows[row["name"]] = row
    return rows


def common_sets(runs: Sequence[Run], only: str | None = None) -> dict[str, list[str]]:
    """Return the test sets that all runs were evaluated on, and the stems of their images in order.

    Args:
        runs: one or more.
        only: a single set to return.

    Raises:
        InputError: there is none, or a set does not hold the same images in every run.
    """
    names = [name for name in runs[0].images if all(name in run.images for run in runs)]
    if only is not None:
        names = [name for name in names if name == only]
    if not names:
        tested = "; ".join(f"{run.label}: {', '.join(run.images) or 'none'}" for run in runs)
        wanted = f"test set {only}" if only else "test set"
        raise InputError(f"no {wanted} that all runs were evaluated on ({tested}); p3m eval scores on another one")
    for name in names:
        stems = set(runs[0].images[name])
        for run in runs[1:]:
            if set(run.images[name]) != stems:
                shared = len(stems & set(run.images[name]))
                raise InputError(
                    f"{name}: {runs[0].label} was evaluated on {len(stems)} images and {run.label} on"
                    f" {len(run.images[name])}, {shared} of them the same; evaluate both on the same ones with p3m eval"
                )
    return {name: sorted(runs[0].images[name]) for name in names}


def differing_keys(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """Return the keys in which the configurations differ, with each run's value, None if absent.

    The run folder, which occurs in many values, is replaced by `RUN`; other absolute paths are cut to their last part.
    """
    flat = [flatten(run.config, str(run.config.get("paths", {}).get("run") or run.folder)) for run in runs]
    keys = dict.fromkeys(key for one in flat for key in one)
    rows = {key: [one.get(key) for one in flat] for key in keys}
    return {key: values for key, values in rows.items() if any(value != values[0] for value in values)}


def flatten(tree: Any, folder: str, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by dotted key; lists are leaves, `folder` in strings becomes RUN."""
    if isinstance(tree, Mapping) and tree:
        leaves = (flatten(value, folder, f"{prefix}.{key}" if prefix else str(key)) for key, value in tree.items())
        return {key: value for part in leaves for key, value in part.items()}
    return {prefix: without_places(tree.replace(folder, "RUN") if isinstance(tree, str) else tree, {})}


def _split_label(name: str) -> tuple[str | None, Path]:
    label, _, path = name.partition("=")
    if path and not Path(name).exists():
        return label, Path(path)
    return None, Path(name)


def _labels(pairs: Sequence[tuple[str | None, Path]]) -> list[str]:
    """Return the given labels, and for the other runs A, B, C, ... in order."""
    return [given or (ascii_uppercase[k] if k < 26 else f"run {k + 1}") for k, (given, _) in enumerate(pairs)]
