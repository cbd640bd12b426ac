"""Values of the group trainer that Lightning would accept and fail on later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from p3m_lightning.messages import whole_number
from p3m_lightning.schema import InputError

PRECISIONS = ("32-true", "32", "bf16-mixed", "bf16", "16-mixed", "16")
NARROW = ("16-true", "bf16-true")

LEAST = {
    "max_epochs": -1,
    "max_steps": -1,
    "min_epochs": 0,
    "min_steps": 0,
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "log_every_n_steps": 0,
    "num_sanity_val_steps": -1,
    "num_nodes": 1,
}
"""Whole-number keys, with their smallest allowed values."""

NUMBERS = ("gradient_clip_val", "limit_train_batches", "limit_val_batches", "limit_test_batches", "val_check_interval")


def verify_trainer(trainer: Mapping[str, Any]) -> None:
    """Raise an InputError if a key of the Trainer has a type or value that Lightning cannot compute with."""
    precision = trainer.get("precision")
    if precision in NARROW:
        raise InputError(
            f"trainer.precision: {precision} would keep the weights themselves in 16 bits, where small updates get"
            " lost; use bf16-mixed or 16-mixed"
        )
    if precision is not None and str(precision) not in PRECISIONS:
        raise InputError(f"trainer.precision={precision}: use 32-true, bf16-mixed or 16-mixed")
    for key, least in LEAST.items():
        if trainer.get(key) is not None:
            whole_number(f"trainer.{key}", trainer[key], least)
    duration = trainer.get("max_time")
    if duration is not None and not isinstance(duration, str | Mapping):  # Lightning fails on it with a traceback
        raise InputError(f"trainer.max_time={duration}: give days, hours, minutes, seconds as 00:12:00:00")
    for key in NUMBERS:
        value = trainer.get(key)
        if value is not None and type(value) not in (int, float):
            raise InputError(f"trainer.{key}={value}: give a number")


def verify_length(config: Mapping[str, Any]) -> None:
    """Raise an InputError if the schedule needs to know the length of the training, but the training has none set."""
    trainer = config["trainer"]
    by_time = trainer.get("max_epochs") == -1 or (trainer.get("max_epochs") is None and trainer.get("max_time"))
    if by_time and trainer.get("max_steps") in (-1, None) and (config["scheduler"] or {}).get("needs_total_steps"):
        raise InputError(
            "trainer.max_epochs: this schedule runs over the whole training and needs its length; give"
            " trainer.max_epochs or trainer.max_steps beside max_time, or use scheduler=constant"
        )


def seed_of(config: Mapping[str, Any]) -> int:
    """Return the seed of a run; raise InputError if numpy does not accept it."""
    return whole_number("seed", config["seed"], 0, 2**32 - 1)
