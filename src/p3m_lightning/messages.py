"""Helpers for messages: repeated ones suppressed, names escaped, lists shortened, changed settings named."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice
from numbers import Integral
from pathlib import Path
from typing import Any

from p3m_lightning.schema import InputError

LOG = logging.getLogger("p3m_lightning")

MOST_NAMES = 2000
"""Number of files of a folder that are compared with a missing name."""

NAMED = 3
"""Number of differing settings that a message names."""


@lru_cache(maxsize=10_000)
def tell(message: str) -> None:
    """Log a warning the first time it occurs in this process; without logging set up, it goes to stderr."""
    LOG.warning("p3m: %s", printable(message))


def printable(text: str) -> str:
    r"""Return `text` on one line, with control and unprintable characters as escapes (\x1b)."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text
    )


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return `; did you mean NAME?` with the nearest of some names, or an empty text if none is near."""
    near = get_close_matches(name, list(names), n=1)
    return f"; did you mean {printable(near[0])}?" if near else ""


def choose_from(name: str, names: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the nearest of `names`, if one is near, and all of them."""
    names = list(names)
    hint = did_you_mean(name, names)
    return f"{hint} Choose from {', '.join(names)}" if hint else f"; choose from {', '.join(names)}"


def no_such(path: str | Path, what: str = "file") -> str:
    """Return the message for a missing file, with the most similar name beside it, or the target of a broken link."""
    path = Path(path)
    if address := re.match(r"([A-Za-z][\w+.-]+):/+(?=\w)", str(path)):  # a Path holds one of the two slashes
        shown = f"{address[1]}://{str(path)[address.end() :]}"
        return f"{shown}: an address, not a {what} here; download it, and give the path of the {what}"
    if path.is_file() and what == "folder":
        return f"{path}: a file; give a folder"
    if path.is_symlink():
        return f"{path}: a link to {path.readlink()}, where no {what} is"
    try:
        beside = sorted(entry.name for entry in islice(path.parent.iterdir(), MOST_NAMES))
    except OSError:
        beside = []
    return f"{path}: no such {what}{did_you_mean(path.name, beside)}"


def whole_number(key: str, value: object, least: int, most: int | None = None) -> int:
    """Return `value`, from a configuration, after checking that it is a whole number.

    Raises:
        InputError: it is something else, or outside `least` to `most`.
    """
    number = int(value) if isinstance(value, Integral) and not isinstance(value, bool) else None
    if number is not None and number >= least and (most is None or number <= most):
        return number
    span = f"from {least} up" if most is None else f"from {least} to {most}"
    raise InputError(f"{key}={value}: give a whole number {span}")


def shortened(items: Iterable[str], most: int | None, rest: str = "") -> list[str]:
    """Return the first items, made `printable`, followed by the number of further ones, if any.

    >>> shortened("abcd", 2, " in all.txt")
    ['a', 'b', 'and 2 more in all.txt']

    Args:
        items: of any number.
        most: number of items to show; None for all.
        rest: text after the number.
    """
    items = list(items)
    more = len(items) - most if most is not None else 0
    shown = [printable(item) for item in items[:most]]
    return [*shown, f"and {more} more{rest}"] if more > 0 else shown


def refuse_other_settings(place: str | Path, recorded: Mapping[str, Any], wanted: Mapping[str, Any], cure: str) -> None:
    """Refuse to continue with results that were made with other settings.

    Args:
        place: the results, the subject of the message.
        recorded: settings they were made with; nested mappings are compared key by key.
        wanted: current settings, as plain JSON values; others are compared as strings.
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
