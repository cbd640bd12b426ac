"""Origin of a request: the host it is addressed to, and the page that sent it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

Scope = MutableMapping[str, Any]

DECIDING = ("host", "origin", "referer", "sec-fetch-site", "content-length", "content-type", "transfer-encoding")
"""Headers that decide about a request; each is given once, or it says two things."""


def headers_of(scope: Scope) -> dict[str, str]:
    """Return the headers by name in lower case."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope.get("headers", ())}


def is_contradictory(scope: Scope) -> bool:
    """Return whether a header that decides about a request is given more than once."""
    counts = Counter(name.decode("latin-1").lower() for name, _ in scope.get("headers", ()))
    return any(counts[name] > 1 for name in DECIDING)


def is_for(headers: Mapping[str, str], hosts: Sequence[str]) -> bool:
    """Return whether a request is for one of some names of this machine, with or without the number of a port."""
    host, colon, port = headers.get("host", "").partition(":")
    return host in hosts and (not colon or (port.isascii() and port.isdigit()))


def is_from_own_page(headers: Mapping[str, str]) -> bool:
    """Return whether a request comes from the page itself, by all headers that say so; programs send none."""
    own = f"http://{headers.get('host', '')}"
    site, origin, referer = (headers.get(name) for name in ("sec-fetch-site", "origin", "referer"))
    return (
        site in (None, "same-origin", "none")
        and origin in (None, own)
        and (referer is None or referer == own or referer.startswith(f"{own}/"))
    )


def is_read_by_own_page(headers: Mapping[str, str], path: str) -> bool:
    """Return whether what is read stays with the page: another may link to it, and read nothing."""
    if path == "/":
        return headers.get("origin") in (None, f"http://{headers.get('host', '')}")
    return is_from_own_page({name: value for name, value in headers.items() if name != "referer"})
