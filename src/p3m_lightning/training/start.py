"""Start of a training: weights of another run, and frozen parameters."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from torch import nn

from p3m_lightning.models.encoders.pretrained import pretraining
from p3m_lightning.models.weights import load_strictly, read_checkpoint, verify_fit
from p3m_lightning.schema import InputError


def start_from(net: nn.Module, path: str | Path | None) -> None:
    """Load the weights of a checkpoint of this package into `net`, strictly; None leaves it unchanged.

    Raises:
        InputError: no such file, another kind of file, or weights of another network.
    """
    if path:
        load_strictly(net, read_checkpoint(path).state, f"init_from: {path}")


def verify_named(config: Mapping[str, Any]) -> None:
    """Check that `ckpt` and `init_from` name a file or are null, before anything is written.

    Raises:
        InputError: an empty name, as of a shell variable that is not set, or no name.
    """
    for key in ("ckpt", "init_from"):
        path = config.get(key)
        if path is not None and not (isinstance(path, str | Path) and str(path).strip()):
            given = f"{key}={path}" if isinstance(path, str) else f"{key}={path!r}"
            raise InputError(f"{given}: no file is named; give a checkpoint, or {key}=null for none")


def verify_start(net: nn.Module, ckpt: str | Path | None, init_from: str | Path | None) -> None:
    """Check that the files that a training resumes or starts from are of this network.

    Done before anything else, since rendering and reading data can take hours.

    Raises:
        InputError: no such file, another kind of file, or weights of another network.
    """
    for key, path in {"ckpt": ckpt, "init_from": init_from}.items():
        if path:
            verify_fit(net, read_checkpoint(path).state, f"{key}: {path}")


def with_pretraining(config: Mapping[str, Any]) -> dict[str, Any]:
    """Record the pretraining of the encoder in words, as `pretrained`, including that of earlier runs.

    Args:
        config: of a training.
    """
    followed = config["ckpt"] or config["init_from"]
    source = read_checkpoint(followed).config if followed else config
    found = pretraining(source["model"])
    return {**config, "pretrained": source.get("pretrained") or (found and found.weights)}


def freeze(net: nn.Module, patterns: Sequence[str]) -> None:
    """Freeze the matching parameters.

    A module all of whose parameters are frozen is also put in evaluation mode: running statistics are fixed, and there
    is no dropout.

    Args:
        net: in training mode.
        patterns: of parameter names, such as `encoder.*`, with the wildcards of a shell.

    Raises:
        InputError: a pattern that matches nothing, or nothing is left to learn.
    """
    frozen = frozen_names(net, patterns)
    if frozen:  # Lightning warns about parts in evaluation mode
        warnings.filterwarnings("ignore", message="Found .* in eval mode at the start of training")
    for name, parameter in net.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)
    for module in net.modules():
        parameters = list(module.parameters())
        if parameters and not any(p.requires_grad for p in parameters):
            module.eval()


def frozen_names(net: nn.Module, patterns: Sequence[str]) -> set[str]:
    """Return the names of the parameters that `patterns` match; raises as `freeze` does."""
    if isinstance(patterns, str) or not isinstance(patterns, Sequence):
        raise InputError(f"frozen: {patterns!r} is not a list; write frozen=['{patterns}']")
    names = [name for name, _ in net.named_parameters()]
    frozen: set[str] = set()
    for pattern in patterns:
        matched = {name for name in names if fnmatchcase(name, pattern)}
        if not matched:
            tops = sorted({name.split(".")[0] for name in names})
            raise InputError(f"frozen: no parameter is called {pattern!r}; the parts are {', '.join(tops)} (as 'x.*')")
        frozen |= matched
    if names and len(frozen) == len(names):
        raise InputError(f"frozen: {list(patterns)} leave nothing to learn")
    return frozen
