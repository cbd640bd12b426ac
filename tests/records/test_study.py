"""Storages of sweeps that find no room: one line, and what was written before stays readable."""

import os
import resource
import signal
from contextlib import contextmanager

import pytest

from p3m_lightning.files import NoRoomError
from p3m_lightning.records.study import open_storage
from p3m_lightning.schema import InputError

optuna = pytest.importorskip("optuna")


@contextmanager
def limited(size):
    """No file may grow beyond so many bytes."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def made(storage, name="a"):
    return optuna.create_study(study_name=name, storage=open_storage(str(storage)))


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_a_storage_without_room_is_named_and_goes_on_later(kind, tmp_path):
    file = tmp_path / f"study.{kind}"
    storage = f"sqlite:///{file}" if kind == "sqlite" else str(file)
    study = made(storage)
    study.enqueue_trial({"x": 1})
    with limited(file.stat().st_size + 100), pytest.raises(NoRoomError, match=rf"study\.{kind}.*cannot be written.*; "):
        study.set_user_attr("long", "x" * 200_000)
    study.enqueue_trial({"x": 2})
    again = optuna.load_study(study_name="a", storage=open_storage(storage))
    assert len(again.trials) == 2
    assert "long" not in again.user_attrs


def test_half_a_line_of_a_killed_process_is_cut_off(tmp_path):
    file = tmp_path / "study.journal"
    made(file)
    whole = file.read_bytes()
    for half in (b'{"op_code":', b"x" * 200_000):
        file.write_bytes(whole + half)
        made(file, "another").enqueue_trial({})
        assert file.read_bytes().startswith(whole)
        assert len(optuna.load_study(study_name="another", storage=open_storage(str(file))).trials) == 1
    file.write_bytes(b"half")
    assert not made(file).trials


def test_a_folder_that_cannot_be_made_and_one_that_is_gone_are_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/deep: cannot be written \(Not a directory\)"):
        open_storage(str(tmp_path / "file" / "deep" / "study.journal"))
    with pytest.raises(InputError, match=r"gone/study\.db cannot be written .*give a file in a folder that exists"):
        open_storage(f"sqlite:///{tmp_path}/gone/study.db")
    study = made(tmp_path / "there" / "study.journal")
    (tmp_path / "there" / "study.journal").unlink()
    os.rmdir(tmp_path / "there")
    with pytest.raises(InputError, match=r"study\.journal: cannot be written"):
        study.set_user_attr("a", 1)


DAMAGE = (b"{}", b"x", b"[]", b'{"op_code": 99}', b"\xff\xfe", bytes(100))


@pytest.mark.parametrize("line", DAMAGE)
def test_a_damaged_journal_is_named_with_what_to_do(line, tmp_path):
    file = tmp_path / "study.journal"
    study = made(file)
    study.tell(study.ask(), 1.0)
    first, _, *rest = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([first, line + b"\n", *rest]))
    with pytest.raises(InputError, match=r"study\.journal: not a journal of Optuna, or damaged \(.*\); give another"):
        open_storage(str(file))


@pytest.mark.parametrize("content", [b"x" * 500, b"SQLite format 3\0" + bytes(4080)])
def test_a_file_that_is_no_database_is_named(content, tmp_path):
    (tmp_path / "study.db").write_bytes(content)
    with pytest.raises(InputError, match=r"study\.db cannot be opened"):
        open_storage(f"sqlite:///{tmp_path}/study.db")
