"""Messages of the page: calls of its functions, and cancellations of calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MOST_TEXT = 10_000
"""Characters of a value; names of visits and events are much shorter."""

FILE_KEYS = {"path": str, "url": str, "orig_name": str, "mime_type": str, "size": int, "is_stream": bool, "meta": dict}
"""What describes a file, with the kinds that Gradio accepts."""

Kinds = Mapping[int, Sequence[bool]]
"""Index of each function of the page -> for each of its arguments, whether it is a file."""


def is_call(content: Any, kinds: Kinds) -> bool:
    """Return whether a message calls a function of the page with arguments of its kinds; batches never do."""
    if not isinstance(content, dict) or content.get("batched") or content.get("simple_format"):
        return False
    number, data = content.get("fn_index"), content.get("data")
    if type(number) is not int or not isinstance(data, list) or len(data) != len(kinds.get(number, ())):
        return False
    if number not in kinds or not all(_is_text(content.get(key)) for key in ("session_hash", "event_id")):
        return False
    if type(content.get("trigger_id")) not in (int, type(None)):
        return False
    return all((_is_file if file else _is_plain)(value) for file, value in zip(kinds[number], data, strict=True))


def cancels(content: Any) -> bool:
    """Return whether a message cancels a call; it names the visit, the function and the event."""
    if not isinstance(content, dict) or type(content.get("fn_index")) is not int:
        return False
    return all(content.get(key) is not None and _is_text(content[key]) for key in ("session_hash", "event_id"))


def _is_text(value: object) -> bool:
    """Return whether a value is absent, or a text that can be written down."""
    if not isinstance(value, str):
        return value is None
    try:
        return len(value.encode()) <= MOST_TEXT
    except UnicodeEncodeError:
        return False


def _is_plain(value: object) -> bool:
    return isinstance(value, int | float) or _is_text(value)


def _is_file(value: object) -> bool:
    """Return whether a value is absent, or describes a file; where it lies is not looked at."""
    if not isinstance(value, dict):
        return value is None
    kept = {key: part for key, part in value.items() if part is not None}
    if (
        "path" not in kept
        or kept.get("is_stream")
        or not all(type(kept[k]) is FILE_KEYS[k] for k in FILE_KEYS if k in kept)
    ):
        return False
    return all(_is_plain(part) for key, part in kept.items() if key != "meta")
