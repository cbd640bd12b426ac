"""Files appear whole or not at all, and killed processes leave nothing behind for long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from p3m_lightning import files
from p3m_lightning.files import (
    NoRoomError,
    atomic_folder,
    atomic_path,
    clear_leftovers,
    readable_bytes,
)
from p3m_lightning.records import write_csv, write_json
from p3m_lightning.schema import InputError

HALF = """
import sys, time
from p3m_lightning.files import atomic_path
with atomic_path(sys.argv[1]) as aside:
    aside.write_bytes(b"half")
    print(aside.name, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def writer(tmp_path):
    """Give a process that is writing a file, and the name of what is half-written."""
    with subprocess.Popen([sys.executable, "-c", HALF, tmp_path / "a.json"], stdout=subprocess.PIPE, text=True) as one:
        yield one, tmp_path / one.stdout.readline().strip()
        one.kill()


def test_a_file_appears_at_the_end(tmp_path):
    with atomic_path(tmp_path / "new" / "a.txt") as aside:
        aside.write_text("whole")
        assert aside.suffix == ".txt"
        assert not (tmp_path / "new" / "a.txt").exists()
    assert (tmp_path / "new" / "a.txt").read_text() == "whole"
    assert (tmp_path / "new" / "a.txt").stat().st_mode & 0o777 == 0o666 & ~files._UMASK
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_an_error_leaves_the_file_before(tmp_path):
    (tmp_path / "a.txt").write_text("before")
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "a.txt") as aside:
        aside.write_text(f"half {1 / 0}")
    assert (tmp_path / "a.txt").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_killed_process_leaves_what_the_next_one_removes(writer, tmp_path):
    process, leftover = writer
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert leftover.read_bytes() == b"half"
    assert not (tmp_path / "a.json").exists()
    write_json(tmp_path / "b.json", {})
    assert [path.name for path in tmp_path.iterdir()] == ["b.json"]


def test_what_another_process_is_writing_stays(writer, tmp_path):
    _, half = writer
    write_json(tmp_path / "b.json", {})
    assert half.is_file()


def test_what_another_machine_is_writing_stays(tmp_path):
    other = tmp_path / ".part-00000000-999999999-x.json"
    other.write_bytes(b"half")
    write_json(tmp_path / "b.json", {})
    assert other.is_file()
    clear_leftovers(tmp_path)  # the folder is one run's alone
    assert not other.exists()


def test_a_folder_is_searched_for_leftovers_once(tmp_path, monkeypatch):
    write_json(tmp_path / "a.json", {})
    monkeypatch.setattr(files, "_is_running", lambda process: pytest.fail("looked again"))
    (tmp_path / f"{files._parts()}999999999-x.json").write_bytes(b"half")
    write_json(tmp_path / "b.json", {})


def test_this_process_runs_and_one_that_has_ended_does_not():
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    assert files._is_running(os.getpid())
    assert not files._is_running(ended.pid)


@pytest.mark.parametrize("number", sorted(files.NO_ROOM))
def test_no_room_is_named_with_the_file_and_a_cure(number, tmp_path):
    with pytest.raises(NoRoomError, match=r"a.txt: cannot be written \(.*\); "), atomic_path(tmp_path / "a.txt"):
        raise OSError(number, os.strerror(number))


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(InputError, match=r"file/a.txt: cannot be written \(.*\); choose"),
        atomic_path(tmp_path / "file" / "a.txt"),
    ):
        pass


def test_the_files_of_a_folder_come_together_and_the_last_one_last(tmp_path, monkeypatch):
    moved = []
    replace = type(tmp_path).replace
    monkeypatch.setattr(type(tmp_path), "replace", lambda a, b: (moved.append(b.name), replace(a, b)))
    with atomic_folder(tmp_path / "new", last="b") as aside:
        for name in "cba":
            (aside / name).write_text(name)
        assert [path.name for path in (tmp_path / "new").iterdir()] == [aside.name]
    assert moved[2:] == ["b"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a", "b", "c"]


def test_an_error_leaves_a_folder_as_it_was(tmp_path):
    (tmp_path / "a").write_text("before")
    with pytest.raises(InputError, match=r"cannot be written"), atomic_folder(tmp_path, last="b") as aside:
        (aside / "b" / "none").write_text("new")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "before"}


def test_an_error_of_another_file_passes(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.txt"):
        (tmp_path / "gone").read_bytes()


def test_rows_have_the_columns_of_all(tmp_path):
    write_csv(tmp_path / "a.csv", [{"name": "a", "sad": 1}, {"name": "b", "mse": 2}])
    assert (tmp_path / "a.csv").read_text().splitlines() == ["name,sad,mse", "a,1,", "b,,2"]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1750, "1.75 kB"), (2e9, "2 GB"), (3e15, "3e+03 TB")]
)
def test_bytes_are_readable(count, text):
    assert readable_bytes(count) == text
