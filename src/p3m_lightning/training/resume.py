"""Check that a checkpoint fits the run that resumes from it, before anything is written."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from p3m_lightning.configuration import current_targets
from p3m_lightning.configuration.places import without_places
from p3m_lightning.models.weights import read_weights
from p3m_lightning.records import verify_shapes
from p3m_lightning.schema import InputError

TAKES_EFFECT = (
    "sweep",
    "compile",
    "trainer.max_epochs",
    "trainer.max_steps",
    "trainer.max_time",
    "trainer.min_epochs",
    "trainer.min_steps",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.check_val_every_n_epoch",
    "trainer.val_check_interval",
    "trainer.limit_",
    "trainer.log_every_n_steps",
    "trainer.num_sanity_val_steps",
    "trainer.profiler",
    "trainer.enable_",
    "trainer.benchmark",
    "images",  # length of a GAN's training
    "data.num_workers",
    "data.pin_memory",
    "data.tests",
    "data.validate_tests",
    "data.prepare",
    "callbacks",
    "logger",
    "inference",
    "distance",
    "paths",
    "published",
    "pretrained",
    "experiment_name",
    "task_name",
    "tags",
    "ckpt",
    "init_from",
)
"""Prefixes of the keys that may differ when a run is resumed; a change of any other would mix two recipes in one
training, or have no effect without notice."""

STRICT = ("model", "frozen", "optimizer", "scheduler", "loss", "generator", "discriminator", "optimizers")
"""Groups in which a key that the checkpoint does not record counts as a change; elsewhere it may be newer."""

ASSUMED = {"loss.weighting": "fixed", "loss.gradnorm.alpha": 1.5, "loss.gradnorm.lr": 0.025}
"""Values that older checkpoints, without these keys, were trained with."""

STATE = {
    "epoch": int,
    "global_step": int,
    "pytorch-lightning_version": str,
    "loops": dict,
    "loops.*": dict,
    "loops.fit_loop.*": dict,
    "loops.fit_loop.*._batches_that_stepped": int,
    "loops.fit_loop.*.total": dict,
    "loops.fit_loop.*.total.*": int,
    "loops.fit_loop.*.current": dict,
    "loops.fit_loop.*.current.*": int,
    "callbacks": dict,
    "callbacks.*": dict,
    "callbacks.*.dirpath": str | None,
    "callbacks.*.best_model_path": str,
    "callbacks.*.best_k_models": dict,
    "callbacks.*.best_k_models.*": Tensor,
    "callbacks.*.seen": int,  # this and the next four of GradientShares
    "callbacks.*.measured": int,
    "callbacks.*.sums": dict,
    "callbacks.*.in_epoch": dict,
    "callbacks.*.in_epoch.*": list,
    "optimizer_states": list,
    "optimizer_states.*": dict,
    "optimizer_states.*.state": dict,
    "optimizer_states.*.state.*": dict,
    "optimizer_states.*.param_groups": list,
    "optimizer_states.*.param_groups.*": dict,
    "lr_schedulers": list,
    "lr_schedulers.*": dict,
    "lr_schedulers.*.last_epoch": int,
    "lr_schedulers.*._step_count": int,
    "lr_schedulers.*.base_lrs": list,
    "lr_schedulers.*.base_lrs.*": int | float,
}
"""Types of the values that a training resumes from."""

SHOWN = 3


def verify_resume(config: Mapping[str, Any]) -> None:
    """Check that a run can resume from its `ckpt` with unchanged settings; does nothing without one.

    Args:
        config: of the run to resume, resolved.

    Raises:
        InputError: a file with only weights or without optimizer state, a training beyond its requested length, or one
            with other settings; the message names the keys.
    """
    path = config["ckpt"]
    if not path:
        return
    content = {} if Path(path).suffix == ".safetensors" else read_weights(path)
    if not content.get("optimizer_states"):
        raise InputError(
            f"ckpt={path}: holds no optimizer state, so no training can resume from it; init_from={path} starts a"
            " new one with its weights"
        )
    verify_shapes(content, STATE, f"ckpt={path}", f"init_from={path} starts a new run with its weights")
    changes = list(changed_keys(config, content.get("config", {})))
    if changes:
        told = "; ".join(f"{key} was {old!r}, is now {new!r}" for key, old, new in changes[:SHOWN])
        more = f"; and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
        raise InputError(
            f"ckpt={path}: a run keeps its settings, but {told}{more}. Leave the change out, or start a new run"
            f" with these weights by init_from={path}"
        )
    _verify_length(config, content)


@contextmanager
def naming_unfit(ckpt: str | None) -> Iterator[None]:
    """Turn an error of restoring the state of a training into one that names the checkpoint.

    Raises:
        InputError: the state lacks something, or does not fit the network, optimizer or callbacks of this run.
    """
    try:
        yield
    except Exception as error:
        if not ckpt or isinstance(error, InputError) or not _while_restoring(error):
            raise
        told = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        cure = f"init_from={ckpt} starts a new run with its weights"
        raise InputError(f"ckpt={ckpt}: no training can resume from its state ({told}); {cure}") from error


def _while_restoring(error: BaseException) -> bool:
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(Path(frame.f_code.co_filename).name == "checkpoint_connector.py" for frame in frames)


def _verify_length(config: Mapping[str, Any], content: Mapping[str, Any]) -> None:
    """Refuse a length that Lightning would refuse only after overwriting the configuration in the run folder."""
    trainer, begun = config["trainer"], content.get("loops", {}).get("fit_loop", {}).get("epoch_progress", {})
    epochs = begun.get("current", {}).get("ready", 0)
    for key, done, what in (("max_epochs", epochs, "epoch"), ("max_steps", content.get("global_step", 0), "step")):
        most = trainer.get(key)
        if most is not None and 0 <= most < done:
            given = f"images={config['images']}" if "images" in config else f"trainer.{key}={most}"
            raise InputError(
                f"ckpt={config['ckpt']}: its training is in {what} {done}, beyond {given}; give a larger number,"
                " or evaluate it with p3m eval"
            )


def changed_keys(config: Mapping[str, Any], recorded: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield key, recorded and new value of every setting that differs and would not take effect on a resumed run."""
    old, new = (flat(without_places(one, one.get("paths", {}))) for one in (current_targets(recorded), config))
    for key in sorted(old.keys() | new.keys()):
        before, now = old.get(key, ASSUMED.get(key)), new.get(key, ASSUMED.get(key))
        if before == now or key.startswith(TAKES_EFFECT):
            continue
        if key not in old and key.split(".")[0] not in STRICT:
            continue
        yield key, before, now


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of a configuration by their dotted keys; lists are leaves, and empty mappings have none."""
    if not isinstance(tree, Mapping):
        return {prefix: list(tree) if isinstance(tree, Sequence) and not isinstance(tree, str) else tree}
    return {k: v for key, node in tree.items() for k, v in flat(node, f"{prefix}.{key}" if prefix else key).items()}
