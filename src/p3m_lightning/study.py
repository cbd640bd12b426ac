"""Optuna studies: opening one shared with other processes, and a trial that another process began."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p3m_lightning.schema import InputError

if TYPE_CHECKING:
    from optuna import Study, Trial

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
    from optuna.storages.journal import JournalFileBackend

    try:
        if "://" in storage:
            return RDBStorage(storage)
        Path(storage).parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(storage))
    except Exception as error:  # raised by a driver, SQLAlchemy or the file system
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"hydra.sweeper.storage: {without_password(storage)} cannot be opened ({reason})") from error


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
