"""Records that commands keep in their folders and read again when they resume: whole ones, and who reads them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

ANONYMIZED = {"strength": 1.0}
METRICS = "epoch,step,train/loss,val/sad\n0,1,0.5,\n0,1,,20\n1,3,0.25,\n"
CONFIG = {"model": {"name": "modnet"}, "paths": {"run": "/a", "data": "/b"}, "data": {"tests": {}}, "ckpt": None}


class Record(NamedTuple):
    """The files of one kind of record, and what reads them from their folder."""

    files: Mapping[str, bytes]
    read: Callable[[Path], object]


def read_step(folder: Path) -> None:
    from p3m_lightning.experiments.cycle.steps import STEPS, read_marker

    for name in ("start", "gan", "portraits", "after"):
        read_marker(folder / f"{name}.json", STEPS[name])


def read_job(folder: Path) -> None:
    from p3m_lightning.experiments.sweep.jobs import read_outcome

    assert read_outcome(folder).state in ("done", "failed")


def read_parts(folder: Path) -> None:
    from p3m_lightning.inference.video.segments import Parts

    parts = Parts(folder / "a.mp4", {"segment": 4}, resume=True)
    assert parts.written == sum(len(stamps.times) for stamps in parts.finished)
    assert isinstance(parts.consumed, int)
    assert isinstance(parts.ended, bool)
    if parts.written:
        parts.stamps()
    parts.state()


def read_report(folder: Path) -> None:
    from p3m_lightning.privacy.anonymize_report import Report, Task, found_by

    report = Report.open(folder / "report.json", ANONYMIZED, [], overwrite=False)
    (folder / "a.jpg").touch()
    report.knows(Task(folder / "a.jpg", folder / "b.png"), copy_unfound=True)
    found_by(report.entries.values())


def read_result(folder: Path) -> None:
    from p3m_lightning.experiments.bench.tables import BEGIN, END, write_tables

    (folder / "page.md").write_text(f"{BEGIN}\n{END}\n")
    write_tables(folder, folder / "page.md")


def read_test(folder: Path) -> None:
    from p3m_lightning.experiments.ppt.steps import is_finished

    is_finished(folder, {"model": {"name": "modnet"}, "ckpt": None})


def read_stage(folder: Path) -> None:
    from p3m_lightning.training.stage_records import join_metrics, read_results

    read_results(folder)
    join_metrics([("first", folder / "metrics.csv"), ("second", folder / "metrics.csv")], folder / "joined.csv")


def read_metrics(folder: Path) -> None:
    from p3m_lightning.training.loggers.rows import RunCSVLogger

    RunCSVLogger(folder).forget_from(3)


def read_identifier(folder: Path) -> None:
    from p3m_lightning.training.loggers.wandb_runs import run_id

    assert run_id(folder)


def read_places(folder: Path) -> None:
    from p3m_lightning.training.history import with_local_places

    with_local_places({"model": {"name": "modnet"}}, folder / "checkpoints" / "last.ckpt")


def read_manifest(folder: Path) -> None:
    from p3m_lightning.synthetic import synthesize

    synthesize(folder, train=0, test=0, workers=1)


def whole_records() -> dict[str, Record]:
    """Return one valid record of every kind."""
    from p3m_lightning.synthetic.dataset import MANIFEST, REVISION

    scores = {"P": {"mean": {"sad": 3.0}, "median": {"sad": 2.5}}}
    result = {"validation": {"val/sad": 2.5}, "sets": scores, "seconds": 1.0, "checkpoint": "best.ckpt"}
    outcomes: dict[str, dict[str, Any]] = {
        "start": {"checkpoint": "a.ckpt", "sets": {"P": {"sad": 3.0}}},
        "gan": {"checkpoint": "b.ckpt", "images": 10, "distance": {"start": None, "best": {"fid": 1.5}}},
        "portraits": {"candidates": 4, "kept": 2, "refused": {"area": 2}},
        "after": {"checkpoint": "c.ckpt", "sets": {"P": {"sad": 2.0}}},
    }
    steps = {f"{name}.json": {"settings": {"seed": 0}, "outcome": outcome} for name, outcome in outcomes.items()}
    segment = {"times": [0, 1, 2], "duration": 1, "consumed": 3, "last": False, "bytes": 3}
    state = io.BytesIO()
    np.savez(state, stamps=np.zeros((0, 2), np.int64))
    found = [{"detector": "dlib", "where": "head"}]
    image = {"file": "a.jpg", "status": "obfuscated", "given": False, "stamp": [1, 2], "faces": 1, "found": found}
    report = {"settings": ANONYMIZED, "images": {"a": image}, "landmarks": {"a": [[[k, k] for k in range(68)]]}}
    machine = {"processor": "P", "flags": ["avx2"], "versions": {"torch": "2"}}
    parts = {"manifest.json": {"segment": 4}, "00000.json": segment}
    manifest = {"revision": REVISION, "train": 0, "test": 0, "size": 512, "seed": 0}
    return {
        "steps of a cycle": Record(texts(steps), read_step),
        "results of a job": Record(texts({"results.json": result, "gradient_shares.json": {"a": 0.5}}), read_job),
        "segments of a video": Record(
            {f"a.mp4.parts/{name}": text for name, text in texts(parts).items()}
            | {"a.mp4.parts/00000.npz": state.getvalue(), "a.mp4.parts/00000.mp4": b"abc"},
            read_parts,
        ),
        "report of faces": Record(texts({"report.json": report}), read_report),
        "result of a benchmark": Record(texts({"startup.json": {"machine": machine, "rows": []}}), read_result),
        "run of a table": Record(texts({"config.yaml": CONFIG, "results.json": result}), read_test),
        "stage of a training": Record(texts({"results.json": result}) | {"metrics.csv": METRICS.encode()}, read_stage),
        "metrics of a training": Record({"metrics.csv": METRICS.encode()}, read_metrics),
        "id of a run": Record({"wandb_id.txt": b"0a1b2c3d\n"}, read_identifier),
        "configuration of a run": Record(texts({"config.yaml": CONFIG}), read_places),
        "manifest of portraits": Record(texts({MANIFEST: manifest}), read_manifest),
    }


def texts(contents: Mapping[str, Any]) -> dict[str, bytes]:
    return {
        name: (yaml.safe_dump(content) if name.endswith(".yaml") else json.dumps(content)).encode()
        for name, content in contents.items()
    }


def write_record(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write the files of a record into a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


ODD = (None, True, -1, 0, 10**400, 1e400, float("nan"), "x", "", "\x1b[2J\n|`", [], [[]], {}, {"": None})
"""Values in the place of others."""
BROKEN = (
    b"",
    bytes(600),
    b"\xff\xfe",
    b"[" * 100_000,
    b"{",
    b"null",
    b"7",
    b"[]",
    b"{}",
    b"a: !!timestamp b",
    b"a: &a [*a]",
)
"""Contents in the place of others."""


def damaged(name: str, content: bytes) -> Iterator[bytes]:
    """Yield what may have become of a file: broken, cut off, values replaced and removed."""
    yield from BROKEN
    yield from (content[: len(content) * k // 4] for k in (1, 2, 3))
    if name.endswith(".csv"):
        rows = list(csv.reader(io.StringIO(content.decode())))
        for k, j in np.ndindex(len(rows), len(rows[0])):
            for cell in ("x", "-1", "1.5", "1e400", "\0"):
                changed = [
                    [cell if (k, j) == (a, b) else old for b, old in enumerate(row)] for a, row in enumerate(rows)
                ]
                yield "".join(f"{','.join(row)}\n" for row in changed).encode()
    elif name.endswith((".json", ".yaml")):
        dump = yaml.safe_dump if name.endswith(".yaml") else json.dumps
        for tree in changed_trees(yaml.safe_load(content)):
            yield dump(tree).encode()


def changed_trees(tree: Any) -> Iterator[Any]:
    """Yield a tree with one value replaced or one key removed, for every value."""
    yield from ODD
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield {other: kept for other, kept in tree.items() if other != key}
            yield from ({**tree, key: changed} for changed in changed_trees(value))
    elif isinstance(tree, list) and tree:
        yield from ([changed, *tree[1:]] for changed in changed_trees(tree[0]))
