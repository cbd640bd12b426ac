"""Quota of the page's visitors: requests a minute, and bytes and files at a time."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from p3m_lightning.web.session import Limits

FULL = "the page holds as many pictures as it may; they are deleted after an hour"

Refusal = tuple[int, str]
"""Status and text of an answer."""


class Quota:
    """Counts requests, and the files in the folder of uploads and results.

    Args:
        folder: of uploads and results.
        limits: the allowed amounts.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self._posts: deque[float] = deque()
        self._arriving = 0  # bytes

    def count_post(self) -> Refusal | None:
        """Count one message or upload; return why it is refused, if so."""
        now = time.monotonic()
        while self._posts and self._posts[0] < now - 60:
            self._posts.popleft()
        if len(self._posts) >= self._limits.posts:
            return 429, "too many requests; wait a minute"
        self._posts.append(now)
        return None

    def reserve(self, headers: Mapping[str, str]) -> Refusal | int:
        """Reserve space for an upload with a declared length; return its bytes, or the reason for refusal.

        One that comes in chunks has any length, whatever else it declares.
        """
        length = headers.get("content-length", "")
        if "transfer-encoding" in headers or not length.isascii() or not length.isdigit() or len(length) > 15:
            return 411, "an upload says how long it is"
        sizes = list(_sizes(self._folder))
        full = sum(sizes) + self._arriving + int(length) > self._limits.total_megabytes * 1e6
        if full or len(sizes) >= self._limits.files:
            return 507, FULL
        self._arriving += int(length)
        return int(length)

    def has_too_many_files(self) -> bool:
        """Return whether there are more files than allowed: how many an upload brings is known only afterwards."""
        return sum(1 for _ in _sizes(self._folder)) > self._limits.files

    def release(self, reserved: int) -> None:
        """Release reserved space after the upload has arrived or failed."""
        self._arriving -= reserved


def _sizes(folder: Path) -> Iterator[int]:
    """Yield the bytes of every file in a folder, where files may be renamed or deleted meanwhile."""
    for place, _, names in os.walk(folder):  # unlike `rglob`, ignores files that disappear
        for name in names:
            with suppress(FileNotFoundError):
                yield os.stat(os.path.join(place, name)).st_size
