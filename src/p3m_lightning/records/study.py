"""Optuna studies: opening one shared with other processes, and a trial that another process began."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p3m_lightning.files import FREE, NoRoomError, make_folder, naming, unwritable
from p3m_lightning.schema import InputError

if TYPE_CHECKING:
    from optuna import Study, Trial

BLOCK = 65_536  # bytes of a journal that are read at a time, from its end

FULL = ("disk is full", "disk I/O error")
UNWRITABLE = ("readonly database", "unable to open database file")
"""What SQLite says where it finds no room, and where it may not write."""

TRIAL = "P3M_TRIAL"
"""Environment variable that points a run to its trial. Not a key of the configuration, since the URL of a database may
contain a password, and configurations are stored and shared."""


def open_study(storage: str, name: str, pruner: Mapping[str, Any] | None = None) -> Study:
    """Open an existing study.

    Args:
        storage: see `open_storage`.
        name: of the study.
        pruner: configuration of its pruner; None never stops a run.

    Raises:
        InputError: Optuna is not installed, or the storage cannot be opened.
        KeyError: no such study in it.
    """
    storage = open_storage(storage)
    import optuna

    built = build_part("pruner", pruner) if pruner else optuna.pruners.NopPruner()
    return optuna.load_study(study_name=name, storage=storage, pruner=built)


def build_part(key: str, node: Mapping[str, Any], **arguments: Any) -> Any:
    """Build the sampler or the pruner of a study.

    Args:
        key: its key in `hydra.sweeper`.
        node: a `_target_` with its arguments.
        arguments: further arguments.

    Raises:
        InputError: Optuna is not installed, or refuses an argument.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    need_optuna()
    try:
        return instantiate(node, _convert_="all", **arguments)
    except InstantiationException as error:
        raise InputError(f"hydra.sweeper.{key}: {error.__cause__ or error}") from error


def need_optuna() -> None:
    """Raise InputError with the remedy if Optuna is not installed."""
    try:
        import optuna
    except ImportError:
        raise InputError("sweep: Optuna is not installed; pip install 'p3m_lightning[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # results are shown as a table


def open_storage(storage: str) -> Any:
    """Open the storage of studies: a database by its URL (`sqlite:///FILE`, `postgresql://...`), or a journal file.

    Raises:
        InputError: Optuna is not installed, or the storage cannot be opened.
    """
    need_optuna()
    from optuna.storages import JournalStorage, RDBStorage

    if "://" not in storage:
        make_folder(Path(storage).parent)
        try:
            with naming(storage):
                return JournalStorage(_journal(storage))  # replays the whole file
        except (OSError, InputError):
            raise
        except Exception as error:  # a line that is no record, or does not fit those before it
            cure = "give another hydra.sweeper.storage, or delete it and what it ranks"
            raise InputError(f"{storage}: not a journal of Optuna, or damaged ({_first_line(error)}); {cure}") from None
    try:
        opened = RDBStorage(storage)
    except Exception as error:  # raised by a driver or SQLAlchemy
        raise _refused(storage, error) from error
    if storage.startswith("sqlite:///"):
        _name_in_errors(opened, storage)
    return opened


def _journal(storage: str) -> Any:
    """Return a journal file that a full disk or a kill cannot break: what was half-written is cut off again.

    Optuna refuses to read a journal in which a line follows one that is not whole.
    """
    from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

    class Journal(JournalFileBackend):
        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
            try:
                lock.acquire()
                try:
                    with open(storage, "r+b", buffering=0) as file:
                        _append_whole(file, lines)
                finally:
                    lock.release()
            except OSError as error:
                raise unwritable(storage, error) from error
            except RuntimeError as error:  # the lock is gone, and the folder with it
                raise InputError(f"{storage}: cannot be written ({error}); is its folder still there?") from error

    lock = JournalFileSymlinkLock(storage)
    return Journal(storage, lock_obj=lock)


def _append_whole(file: FileIO, lines: bytes) -> None:
    """Write lines behind the last one that is whole, all of them or none."""
    end = _length_of_whole_lines(file)
    file.truncate(end)
    file.seek(end)
    try:
        while lines:  # room for a part only: the next attempt says why
            lines = lines[file.write(lines) :]
        os.fsync(file.fileno())
    except OSError:
        file.truncate(end)
        raise


def _length_of_whole_lines(file: FileIO) -> int:
    """Return the place behind the last line that ends as a line does."""
    end = file.seek(0, os.SEEK_END)
    while end:
        begin = max(0, end - BLOCK)
        file.seek(begin)
        found = file.read(end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _name_in_errors(opened: Any, storage: str) -> None:
    """Let an open database that cannot be written to say so in a line; Optuna retries after other errors."""
    from sqlalchemy import event

    @event.listens_for(opened.engine, "handle_error")
    def say(context: Any) -> None:
        if any(reason in str(context.original_exception) for reason in (*FULL, *UNWRITABLE)):
            raise _refused(storage, context.original_exception)


def _refused(storage: str, error: Exception) -> InputError:
    place = f"hydra.sweeper.storage: {without_password(storage)}"
    cannot_be_written = storage.startswith("sqlite:///") and unwritable_database(place, error)
    return cannot_be_written or InputError(f"{place} cannot be opened ({_first_line(error)})")


def unwritable_database(place: str, error: BaseException) -> InputError | None:
    """Return what to say of an SQLite database that cannot be written; None if something else went wrong.

    Args:
        place: the database, or the key that names it.
        error: of a driver, SQLAlchemy, or a package above them.
    """
    for reasons, kind, cure in (
        (FULL, NoRoomError, FREE),
        (UNWRITABLE, InputError, "give a file in a folder that exists and can be written to"),
    ):
        if told := [line for line in str(error).splitlines() if any(reason in line for reason in reasons)]:
            return kind(f"{place} cannot be written ({told[0]}); {cure}")
    return None


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


@contextmanager
def one_at_a_time(storage: str) -> Iterator[None]:
    """Let only one process at a time request a trial if the storage cannot ensure it: SQLite does not lock rows."""
    if not storage.startswith("sqlite:///"):
        yield
        return
    with Path(storage.removeprefix("sqlite:///") + ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def open_trial(study: Study, number: int) -> Trial:
    """Open a running trial that another process, or an earlier run of this one, began.

    Its parameters are kept. Optuna has no public way to get a trial by its number.
    """
    import optuna

    return optuna.Trial(study, study.trials[number]._trial_id)


def without_password(storage: str) -> str:
    """Return the URL of a database without its password."""
    return re.sub(r"(://[^:/@]+):[^@]+@", r"\1:...@", storage)
