"""What messages for people share: lists that are cut short, and settings that are not those of before."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from p3m_lightning.schema import InputError

NAMED = 3
"""Differing settings that a message names."""


def shortened(items: Iterable[str], most: int | None, rest: str = "") -> list[str]:
    """Return the first items, and behind them how many more there are, if any.

    >>> shortened("abcd", 2, " in all.txt")
    ['a', 'b', 'and 2 more in all.txt']

    Args:
        items: of any number.
        most: how many of them are shown; None for all.
        rest: follows the number.
    """
    items = list(items)
    more = len(items) - most if most is not None else 0
    return [*items[:most], f"and {more} more{rest}"] if more > 0 else items


def refuse_other_settings(place: str | Path, recorded: Mapping[str, Any], wanted: Mapping[str, Any], cure: str) -> None:
    """Refuse to go on with what was made with other settings.

    Args:
        place: what was made, the subject of the message.
        recorded: settings with which it was made; nested mappings are compared key by key.
        wanted: settings of now, as plain values that JSON holds; others are compared as texts.
        cure: what to do about it.

    Raises:
        InputError: the message names the settings that differ, with both values.
    """
    before, now = _flat(_plain(recorded)), _flat(_plain(wanted))
    differing = [key for key in {**now, **before} if before.get(key) != now.get(key)]
    if differing:
        texts = shortened([f"{key} {before.get(key)} instead of {now.get(key)}" for key in differing], NAMED)
        raise InputError(f"{place}: made with {', '.join(texts)}; {cure}")


def _plain(settings: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(settings, default=str))


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        leaves |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return leaves
