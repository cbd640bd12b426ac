"""Hydra's multi-line errors in one line, with the name that was probably meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from p3m_lightning.configuration.options import group_options, groups
from p3m_lightning.messages import choose_from, did_you_mean

_NO_KEY = re.compile(r"Could not override '([^']+)'\.")
_NO_VALUE = re.compile(r"Error parsing override '([^'=]+)'\s*missing EQUAL")
_NOT_GIVEN = re.compile(r"Missing mandatory value: (\S+)")
_NO_CHECKPOINT = "Interpolation key 'give_a_checkpoint' not found"
_NO_FILE = re.compile(r"Could not find '(?:([^']*)/)?([^'/]+)'")


def explained(error: BaseException, verb: str, compose: Callable[[Sequence[str]], Any], given: Sequence[str]) -> str:
    """Return a one-line explanation of what is wrong with a command line.

    Args:
        error: raised by Hydra or OmegaConf.
        verb: `conf/<verb>.yaml` was composed.
        compose: composes it with overrides, for its keys.
        given: the overrides.
    """
    text = str(error)
    if not text and error.__cause__:
        return one_line(error.__cause__)
    if found := _NO_KEY.search(text):
        return _no_key(found[1], verb, compose, given)
    if found := _NO_VALUE.search(text):
        near = did_you_mean(f"experiment={found[1]}", [f"experiment={name}" for name in group_options("experiment")])
        return f"{found[1]}: settings are given as KEY=VALUE{near}"
    if (found := _NO_FILE.search(text)) and "Available options" in text:
        return _no_file(found[1] or "", found[2], text)
    return one_line(error)


def one_line(error: BaseException) -> str:
    """Return the text of one of Hydra's multi-line errors in one line that begins with the key."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    key = next((line.removeprefix("full_key: ") for line in lines if line.startswith("full_key: ")), "")
    text = "; ".join(line for line in lines if not line.startswith(("full_key:", "object_type=")))
    if found := _NOT_GIVEN.search(text):
        missing = found[1] if "interpolation" in text else key or found[1]
        return f"{missing}: not given; add {missing}=VALUE"
    if _NO_CHECKPOINT in text:
        return f"{key}: not given; add {key}=CHECKPOINT"
    return f"{key}: {text}" if key else text


def _no_key(key: str, verb: str, compose: Callable[[Sequence[str]], Any], given: Sequence[str]) -> str:
    """Return the message for a missing key, with the nearest one."""
    try:
        tree = compose([line for line in given if line.lstrip("+~").split("=")[0].split("@")[0] != key])
        known = [*_keys(tree), *groups()]
        if key in known:  # the key exists; a key inside the value is missing
            return f"{key}: conf/{verb}.yaml lacks some keys of this value; +{key}=VALUE adds them"
        hint = did_you_mean(key, known)
    except Exception:  # another override is wrong as well
        hint = ""
    return f"{key}: conf/{verb}.yaml has no such key{hint or f'; +{key}=VALUE adds one that a constructor takes'}"


def _no_file(group: str, name: str, text: str) -> str:
    """Return the message for a missing file of a group, with the nearest one and all that exist."""
    listed = text.split("Available options")[1].split("Config search path")[0].splitlines()[1:]
    names = [line.strip() for line in listed if line.strip()]
    visible = [one for one in names if not one.startswith("_")]
    return f"{group}={name}: no such file in conf/{group}{choose_from(name, visible)}"


def _keys(tree: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all keys of a configuration."""
    from omegaconf import DictConfig, OmegaConf

    if isinstance(tree, DictConfig):
        plain = OmegaConf.to_container(tree)
        assert isinstance(plain, Mapping)
        tree = {key: value for key, value in plain.items() if key != "hydra"}
    for key, value in tree.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{key}.")
