"""SIGKILL while a verb writes its one file, or its few: each is the one before or the new one, and whole."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import Zygote
from test_disks import LATE, SINGLE, single_files, video
from test_kills import SHARE, contents, write_given_pictures
from verbs import LONG
from writers import BEFORE, WRITERS, write_all_given

KILLS = max(2, round(10 * SHARE)) if LONG else 2  # of each verb
LATE_KILLS = max(2, round(4 * SHARE))  # of those that take long before they write
FURTHER = ("gan sample", "sweep wandb", "weights convert", "quality rank, maps", "video, pictures")
CONTINUED = ("gan sample",)  # reads what an earlier run has left, so that must be its own


@pytest.fixture(scope="module")
def zygote(tmp_path_factory):
    with Zygote(tmp_path_factory.mktemp("zygote")) as process:
        yield process


def files(out: Path) -> dict[str, bytes]:
    """Return what lies in a folder, by name; half-written files and parts of videos have names of their own."""
    found = {name: content for name, content in contents(out).items() if not re.search(r"(^|/)\.part-|\.parts/", name)}
    return {name: re.sub(rb'"seconds": [\d.]+', b"", content) for name, content in found.items()}


def faults_after_a_kill(out: Path, whole: dict[str, bytes], before: dict[str, bytes]) -> Iterator[str]:
    """Yield the files that are neither as before the run nor as after it."""
    found = files(out)
    for name in sorted(found.keys() | before.keys()):
        if found.get(name) not in (before.get(name), whole.get(name)):
            yield f"{name}: {len(found.get(name, b''))} of {len(whole.get(name, b''))} bytes"


@pytest.mark.parametrize("name", [pytest.param(v, marks=pytest.mark.slow) for v in (*SINGLE, *FURTHER)])
def test_files_are_whole_whenever_their_writer_is_killed(name, zygote, portraits, checkpoint, tmp_path, tally):
    out, rng, lost, kills = tmp_path / "out", random.Random(name), [], 0
    if name in FURTHER:
        given = write_all_given(tmp_path / "given", portraits, checkpoint)
        video(given / "v.mp4")
        command = WRITERS[name].command(given, out)
    else:
        given = write_given_pictures(tmp_path / "given", portraits, 4)
        command = single_files(given, out, checkpoint)[name]
    unbroken = zygote.run(command)
    code, whole = unbroken.ended.code, files(out)  # 2 where a check has found something
    assert whole, unbroken.ended.err
    wanted, tried = LATE_KILLS if name in LATE else KILLS, 0
    while kills < wanted and tried < 4 * wanted:
        tried += 1
        shutil.rmtree(out, ignore_errors=True)
        before = (whole if name in CONTINUED else dict.fromkeys(whole, BEFORE)) if tried % 2 else {}
        for file, content in before.items():
            (out / file).parent.mkdir(parents=True, exist_ok=True)
            (out / file).write_bytes(content)
        writes = tried % 4 < 2  # kill it as it writes, or at any moment
        begun = (lambda before=before: any(out.rglob(".part-*")) or files(out) != before) if writes else None
        wait = rng.uniform(0, 0.02) if writes else rng.uniform(0.05, 0.95) * unbroken.seconds
        outcome = zygote.run(command, kill_after=wait, meanwhile=begun)
        kills += bool(outcome.signal)
        lost += [f"{name}: {fault}" for fault in faults_after_a_kill(out, whole, before)]
    ended = zygote.run(command).ended
    left = sorted(contents(out).keys() - whole.keys())
    faults = [
        ended.faults((code,)),
        "" if files(out) == whole else f"in the end {sorted(files(out))}",
        f"left {left}" if left else "",
    ]
    tally("kills of verbs that write a file", kills, [*lost, *(f"{name}: {fault}" for fault in faults if fault)])


def test_a_file_cut_short_is_found(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"ha")
    assert list(faults_after_a_kill(tmp_path, {"a.csv": b"half"}, {})) == ["a.csv: 2 of 4 bytes"]
    assert list(faults_after_a_kill(tmp_path, {"a.csv": b"half"}, {"a.csv": b"ha"})) == []
    os.remove(tmp_path / "a.csv")
    assert list(faults_after_a_kill(tmp_path, {"a.csv": b"half"}, {"a.csv": b"ha"})) == ["a.csv: 0 of 4 bytes"]
