"""Atomic checkpoints, and a last one that is replaced only by states trained further."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from p3m_lightning.configuration import relocated
from p3m_lightning.configuration.places import with_places, without_places
from p3m_lightning.files import NO_ROOM, NoRoomError, atomic_path, clear_leftovers
from p3m_lightning.schema import InputError

BROKEN_OFF = ("No space", "unexpected pos", "write", "Write")
"""Messages of torch's writer about a full disk, depending on when it became full."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write checkpoints to a temporary file beside their place, sync and rename them, so that none is ever lost.

    Lightning's own writer uses the folder for temporary files, from which a file is copied if that is another file
    system.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write one file.

        Raises:
            InputError: no space, or no permission to write.
        """
        try:
            with atomic_path(path, durable=True) as aside:
                torch.save(checkpoint, aside)
        except NoRoomError as error:
            raise _told(path, error.__cause__ or error) from error
        except (OSError, RuntimeError) as error:  # torch's writer turns a full disk into a RuntimeError
            raise _told(path, error) from error


class LastCheckpoint(ModelCheckpoint):
    """Save `last.ckpt` after every epoch, every few minutes, and when the training is interrupted.

    It replaces a checkpoint only by a state that was trained further: an interruption before the first step, as while a
    run is being resumed, leaves it unchanged.

    Args:
        dirpath: folder of the checkpoint.
        every_n_minutes: also within an epoch, this many minutes after the last save; None: only after epochs.
    """

    def __init__(self, dirpath: str | Path, every_n_minutes: float | None = 10.0) -> None:
        super().__init__(
            dirpath=dirpath,
            filename="last",
            save_on_train_epoch_end=True,
            save_on_exception=True,
            enable_version_counter=False,
        )
        self.every_n_minutes = every_n_minutes
        self._kept_step: int | None = None  # of the state that the file holds; None: no training has begun

    def on_load_checkpoint(self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Update the paths of checkpoints in a run folder that was copied or moved."""
        place = Path(trainer.ckpt_path).resolve().parent if trainer.ckpt_path else None
        for key, state in checkpoint["callbacks"].items():
            if place and "best_model_path" in state and state.get("dirpath") not in (None, str(place), self.dirpath):
                checkpoint["callbacks"][key] = _moved(state, place)

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Start after everything has been restored."""
        super().on_train_start(trainer, module)
        self._kept_step, self._saved_at = trainer.global_step, time.monotonic()
        if trainer.is_global_zero and self.dirpath:
            clear_leftovers(Path(self.dirpath))

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, batch: Any, index: int) -> None:
        """Save between two batches, where a run can resume exactly, if it is due."""
        if self.every_n_minutes is None:
            return
        due = time.monotonic() - self._saved_at >= 60 * self.every_n_minutes
        if trainer.strategy.reduce_boolean_decision(due, all=False):
            self._save_checkpoint(trainer, self.format_checkpoint_name({}, filename="last"))

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Save, after what the epoch has to log."""
        log_epoch(trainer)
        super().on_train_epoch_end(trainer, module)

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """Save the state before an interrupt or an error, unless saving itself failed."""
        if self._kept_step is not None and not isinstance(exception, InputError):
            super().on_exception(trainer, module, exception)

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        if self._kept_step is not None and trainer.global_step > self._kept_step:
            for logger in trainer.loggers:
                logger.save()  # write the logs of the state before the state itself
            loop = trainer.fit_loop.epoch_loop
            begun = _counts_once_more(trainer)
            loop._batches_that_stepped -= begun
            super()._save_checkpoint(trainer, filepath)
            loop._batches_that_stepped += begun
            self._kept_step, self._saved_at = trainer.global_step, time.monotonic()


def log_epoch(trainer: Trainer) -> None:
    """Log at the end of an epoch what it has gathered, as Lightning does after the checkpoints.

    A run that is killed in between goes on with the next epoch, and would never log it.
    """
    connector, loop = trainer._logger_connector, trainer.fit_loop.epoch_loop
    connector.on_epoch_end()  # what callbacks monitor
    loop._batches_that_stepped -= 1  # as Lightning: rows count from 0
    connector.update_train_epoch_metrics()  # nothing is left for the second time
    loop._batches_that_stepped += 1


def _counts_once_more(trainer: Trainer) -> bool:
    """Return whether a loop resumed from this state would count a batch that was only begun as stepped.

    It would log a step too many. At the end of an epoch it does not check, see Lightning's `restarting`.
    """
    fit, loop = trainer.fit_loop, trainer.fit_loop.epoch_loop
    epoch, batches = fit.epoch_progress.current, loop.batch_progress.total
    # both are `_ProcessedTracker`s, though not declared so
    done, stepped = epoch.processed, batches.processed  # type: ignore[attr-defined]
    inside = epoch.ready > done or fit._iteration_based_training()
    return inside and batches.ready > stepped and not loop._should_accumulate()


def _moved(state: dict[str, Any], place: Path) -> dict[str, Any]:
    """Return the state of a ModelCheckpoint whose files are now in `place`, without those that are not."""
    old, new = state["dirpath"], str(place)
    moved = relocated(state, old, new)
    kept = {relocated(path, old, new): score for path, score in state["best_k_models"].items()}
    moved["best_k_models"] = {path: score for path, score in kept.items() if Path(path).is_file()}
    if moved["best_k_models"] == kept and Path(moved["best_model_path"]).is_file():
        return moved
    return moved | {"dirpath": None, "best_model_path": ""}  # another folder than this one: Lightning starts over


def chosen_checkpoint(trainer: Trainer) -> str | None:
    """Return the checkpoint that the run's own rule prefers: the best, else the last, else none.

    One that has been deleted meanwhile is passed over, with a warning.
    """
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint):
            for path in filter(None, (callback.best_model_path, callback.last_model_path)):
                if Path(path).is_file():
                    return path
                warnings.warn(f"{path}: has been deleted; another state of the training is tested", stacklevel=2)
    return None


def validation_score(trainer: Trainer) -> dict[str, float]:
    """Return the score by which the best checkpoint was chosen, under its name; empty if none was chosen."""
    scores = {c.monitor: c.best_model_score for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint)}
    return {name: float(score) for name, score in scores.items() if name and score is not None}


def prepare_for_travel(checkpoint: dict[str, Any], paths: Mapping[str, Any]) -> None:
    """Remove the folders of this machine from what a checkpoint holds besides its weights.

    Args:
        checkpoint: to be saved, with `config` and the states of callbacks.
        paths: folders by name.
    """
    for part in ("config", "callbacks"):
        if part in checkpoint:
            checkpoint[part] = without_places(checkpoint[part], paths)


def trainer_of(module: LightningModule) -> Trainer | None:
    """Return the trainer of a module; None if it has none, as in `load_from_checkpoint`."""
    try:
        return module.trainer
    except RuntimeError:  # Lightning's
        return None


def take_home(checkpoint: dict[str, Any], module: LightningModule) -> None:
    """Restore the folder of the run that a trainer resumes in the states of its callbacks."""
    trainer = trainer_of(module)
    path = trainer.ckpt_path if trainer else None
    if path and "callbacks" in checkpoint:
        run = Path(path).absolute().parent.parent
        checkpoint["callbacks"] = with_places(checkpoint["callbacks"], {"run": run})


def _told(path: str | Path, error: BaseException) -> InputError:
    code = getattr(error, "errno", None)
    broken_off = isinstance(error, RuntimeError) and any(part in str(error) for part in BROKEN_OFF)
    cure = (
        "free some disk space and resume with ckpt=last"
        if broken_off or code in NO_ROOM
        else "check the permissions of the folder"
    )
    reason = "the disk is full" if broken_off else getattr(error, "strerror", None) or error
    return InputError(f"{path}: cannot be written ({reason}); {cure}")
