"""Full disks, limits on the file size, read-only and deleted folders: one line, and no damaged file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import av
import numpy as np
import pytest
from processes import Zygote
from test_kills import VERBS, broken_files, training, write_given_pictures, writing
from verbs import Ended, environment
from verbs import command as command_line
from writers import BEFORE, WRITERS, write_all_given

from fabricated_runs import write_run


@pytest.fixture(scope="module")
def zygote(tmp_path_factory):
    with Zygote(tmp_path_factory.mktemp("zygote")) as process:
        yield process


@contextmanager
def small_disk(place: Path, kilobytes: int) -> Iterator[Callable[[], None]]:
    """Mount a small file system; yield a function that makes it read-only."""
    place.mkdir(parents=True, exist_ok=True)
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", place], capture_output=True, check=False
        ).returncode
    )
    if not mounted:
        pytest.skip("no file system can be mounted here: this wants to be root, outside a container")
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def told(ended: Ended, place: Path) -> str:
    """Return what is wrong with an outcome: the verb must exit with 2 and print one line with a file and a cure."""
    cure = re.compile("cannot be written .*; .|disk space in .*; free some|is the disk full")
    said = [line for line in ended.err.splitlines() if cure.search(line)]
    fault = ended.faults((2,)) or ("" if len(said) == 1 else f"{len(said)} lines: {ended.err[-400:]}")
    named = any(line.startswith("p3m: ") and str(place) in line for line in said)
    return fault or ("" if named else f"no file is named: {said[0]}")


@pytest.fixture
def given(tmp_path, portraits) -> Path:
    return write_given_pictures(tmp_path / "given", portraits, 4)


def command(verb: str, given: Path, out: Path, checkpoint: Path) -> list:
    return training(given / "set", out) if verb == "train" else writing(verb, given, out, checkpoint)


def video(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 64
        for number in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), 40 * number, np.uint8))))
        container.mux(stream.encode())
    return path


def single_files(given: Path, out: Path, checkpoint: Path) -> dict[str, list]:
    """Return the command lines of verbs that write one or a few files at their end."""
    mattes, photos = given / "set" / "train" / "mask", given / "photos"
    network = ["--ckpt", checkpoint, "--device", "cpu"]
    return {
        "score, JSON": ["score", mattes, mattes, "--json", out / "s.json", "--workers", 1],
        "score, CSV": ["score", mattes, mattes, "--csv", out / "s.csv", "--workers", 1],
        "data check": ["data", "check", given / "set", "--name", "p3m-10k", "--json", out / "c.json", "--workers", 1],
        "export for the Hub": ["export", "--ckpt", checkpoint, "--hub", out / "hub"],
        "weights average": ["weights", "average", checkpoint, checkpoint, out / "mean.safetensors"],
        "compare": ["compare", write_run(given / "a", {"P": [1.0]}), write_run(given / "b", {"P": [2.0]}), "-o", out],
        "quality rank": ["quality", "rank", mattes, given / "set/train/blurred_image", "--csv", out / "q.csv"],
        "video": ["video", video(given / "v.mp4"), "-o", out / "v.mp4", *network],
        "export": ["export", "--ckpt", checkpoint, "-o", out / "x.onnx"],
        "data audit": ["data", "audit", photos, photos, "-o", out, "--detector", "hog"],
        "data people": ["data", "people", photos, "--json", out / "people.json"],
    }


LATE = ("export", "data audit", "data people")  # they take a minute before they write
SINGLE = ("score, JSON", "score, CSV", "data check", "export for the Hub", "weights average", "compare")
SINGLE += ("quality rank", "video", *LATE)


@pytest.mark.parametrize("name", [pytest.param(v, marks=pytest.mark.slow if v in LATE else ()) for v in SINGLE])
def test_a_single_file_without_room_is_named(name, zygote, given, checkpoint, tmp_path, tally):
    out, lost, sizes = tmp_path / "out", [], (0, 100)
    arguments = single_files(given, out, checkpoint)[name]
    for size in sizes:
        outcome = zygote.run(arguments, RLIMIT_FSIZE=size)
        left = [path.name for path in out.rglob("*") if path.is_file() and path.stat().st_size]
        fault = told(outcome.ended, out) or (f"left {left}" if left else "")
        lost += [f"{name}, {size} bytes: {fault}"] if fault else []
    tally("limits on the file size", len(sizes), lost)


def delete_once_begun(out: Path) -> Callable[[], bool]:
    """Return what deletes a folder as soon as a file is in it, and tells whether it did."""

    def delete() -> bool:
        begun = out.is_dir() and any(path.is_file() for path in out.rglob("*"))
        if begun:
            for _ in range(5):
                with suppress(OSError):
                    shutil.rmtree(out)
        return begun

    return delete


EACH = pytest.mark.parametrize(
    "verb", ["predict", *(pytest.param(v, marks=pytest.mark.slow) for v in ("train", *VERBS[1:]))]
)


@EACH
def test_a_full_disk(verb, zygote, given, checkpoint, tmp_path, tally):
    place, lost, tried = tmp_path / "disk", [], 0
    for kilobytes in (16, 64) if verb != "train" else (200, 2500):
        with small_disk(place, kilobytes):
            tried += 1
            outcome = zygote.run(command(verb, given, place / "out", checkpoint))
            fault = told(outcome.ended, place) or "; ".join(broken_files(place))
            lost += [f"{kilobytes} kB: {fault}"] if fault else []
    tally("full disks", tried, lost)


@EACH
def test_a_limit_of_the_size_of_files(verb, zygote, given, checkpoint, tmp_path, tally):
    lost, sizes = [], (200, 0) if verb != "train" else (2_000, 300_000)
    for size in sizes:
        outcome = zygote.run(command(verb, given, tmp_path / f"out{size}", checkpoint), RLIMIT_FSIZE=size)
        fault = told(outcome.ended, tmp_path) or "; ".join(broken_files(tmp_path / f"out{size}"))
        lost += [f"{size} bytes: {fault}"] if fault else []
    tally("limits on the file size", len(sizes), lost)


@pytest.mark.slow
def test_the_last_checkpoint_outlives_a_limit_of_the_file_size(zygote, given, tmp_path, tally):
    folder = tmp_path / "run"
    assert zygote.run(training(given / "set", folder, "trainer.max_epochs=1")).ended.code == 0
    before = (folder / "checkpoints" / "last.ckpt").read_bytes()
    outcome = zygote.run(training(given / "set", folder), RLIMIT_FSIZE=len(before) // 2)
    intact = (folder / "checkpoints" / "last.ckpt").read_bytes() == before and not list(folder.rglob(".part-*"))
    fault = told(outcome.ended, folder) or ("" if intact else "the checkpoint before is gone")
    tally("limits on the file size", 1, [fault] if fault else [])


@EACH
def test_a_read_only_folder(verb, zygote, given, checkpoint, tmp_path, tally):
    place = tmp_path / "disk"
    with small_disk(place, 30_000) as make_read_only:
        (place / "out").mkdir()
        make_read_only()
        fault = told(zygote.run(command(verb, given, place / "out", checkpoint)).ended, place)
    tally("read-only folders", 1, [fault] if fault else [])


@EACH
def test_a_folder_deleted_under_way(verb, zygote, given, checkpoint, tmp_path, tally):
    """Verbs may create the folder again or report it in one line, without a traceback."""
    out = tmp_path / "out"
    outcome = zygote.run(command(verb, given, out, checkpoint), meanwhile=delete_once_begun(out))
    fault = outcome.ended.faults()
    tally("folders deleted during the work", 1, [f"{verb}: {fault}"] if fault else [])


@pytest.fixture(scope="module")
def all_given(tmp_path_factory, portraits, checkpoint) -> Path:
    given = write_all_given(tmp_path_factory.mktemp("all") / "given", portraits, checkpoint)
    video(given / "v.mp4")
    return given


QUICK = ("gan sample", "sweep wandb", "bench upsamplers")
EACH_WRITER = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in WRITERS]
)


def kept_whole(out: Path, targets: tuple[str, ...]) -> str:
    """Return what is wrong with the files of a verb that found no room: half-written ones, and targets that changed."""
    changed = [name for name in targets if (out / name).read_bytes() != BEFORE]
    left = [path.name for path in out.rglob(".part-*") if path.stat().st_size]
    broken = [fault for fault in broken_files(out) if not fault.startswith(targets)] if targets else broken_files(out)
    return "; ".join([*broken, *(f"{name} is gone" for name in changed), *(f"{name} is left" for name in left)])


def write_targets(out: Path, targets: tuple[str, ...]) -> None:
    for name in targets:
        out.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(BEFORE)


@EACH_WRITER
def test_every_writer_names_what_may_not_grow(name, zygote, all_given, tmp_path, tally):
    writer, lost = WRITERS[name], []
    for size in writer.sizes:
        out = tmp_path / str(size) / "out"
        write_targets(out, writer.targets)
        fault = told(zygote.run(writer.command(all_given, out), RLIMIT_FSIZE=size).ended, tmp_path)
        fault = fault or kept_whole(out, writer.targets)
        lost += [f"{name}, {size} bytes: {fault}"] if fault else []
    tally("limits on the file size", len(writer.sizes), lost)


@EACH_WRITER
def test_every_writer_names_what_has_no_room_on_a_disk(name, zygote, all_given, tmp_path, tally):
    writer, place, lost = WRITERS[name], tmp_path / "disk", []
    for kilobytes in writer.kilobytes:
        with small_disk(place, kilobytes):
            write_targets(place / "out", writer.targets)
            fault = told(zygote.run(writer.command(all_given, place / "out")).ended, place)
            fault = fault or kept_whole(place / "out", writer.targets)
        lost += [f"{name}, {kilobytes} kB: {fault}"] if fault else []
    if writer.kilobytes:
        tally("full disks", len(writer.kilobytes), lost)


@EACH_WRITER
def test_every_writer_names_a_folder_that_is_read_only(name, zygote, all_given, tmp_path, tally):
    writer, place, lost = WRITERS[name], tmp_path / "disk", []
    for exists in (True,) if writer.edits else (False, True):
        with small_disk(place, 30_000) as make_read_only:
            if exists:
                (place / "out").mkdir()
                write_targets(place / "out", writer.targets)
            make_read_only()
            fault = told(zygote.run(writer.command(all_given, place / "out")).ended, place)
            fault = fault or (kept_whole(place / "out", writer.targets) if exists else "")
        lost += [f"{name}, {'there' if exists else 'to be made'}: {fault}"] if fault else []
    tally("read-only folders", 1 if writer.edits else 2, lost)


@EACH_WRITER
def test_every_writer_bears_that_its_folder_is_deleted(name, zygote, all_given, tmp_path, tally):
    out = tmp_path / "out"
    outcome = zygote.run(WRITERS[name].command(all_given, out), meanwhile=delete_once_begun(out))
    fault = outcome.ended.faults()
    tally("folders deleted during the work", 1, [f"{name}: {fault}"] if fault else [])


PRINTING = {
    "licenses": ["licenses", "--json"],
    "weights": ["weights", "list"],
    "completion": ["completion", "bash"],
    "a configuration": ["train", "--cfg", "job"],
    "help": ["--help"],
}


@pytest.mark.parametrize("name", PRINTING)
def test_what_is_printed_onto_a_full_disk_is_one_line_and_2(name, tally):
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    env = {key: value for key, value in environment().items() if key != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command_line(PRINTING[name]), stdout=full, stderr=subprocess.PIPE, text=True, env=env, check=False
        )
    ended = Ended(done.returncode, "", done.stderr)
    fault = told(ended, Path("standard output")) or ("" if done.stderr.count("\n") == 1 else done.stderr)
    tally("full disks", 1, [f"{name}: {fault}"] if fault else [])


@pytest.mark.slow
def test_a_sweep_that_found_no_room_goes_on_where_there_is_some(zygote, all_given, tmp_path, tally):
    """A line of the journal that a full disk cuts short makes all those after it unreadable, unless it is cut off."""
    lost = []
    for name, size in {"sweep": 500, "sweep in SQLite": 40_000}.items():
        arguments = WRITERS[name].command(all_given, tmp_path / name.replace(" ", "_"))
        first = zygote.run(arguments, RLIMIT_FSIZE=size).ended
        fault = told(first, tmp_path) or zygote.run(arguments).ended.faults((0,))
        lost += [f"{name}: {fault}"] if fault else []
    tally("limits on the file size", 2, lost)
