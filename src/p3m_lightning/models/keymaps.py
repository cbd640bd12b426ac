"""How the weight files of others name what we name differently: one visible, strict table per network.

A map is an ordered list of (pattern, replacement): the first pattern that matches the whole key of the file decides,
its replacement is our key, `None` drops the entry. A key that no pattern matches is an error, and so is an entry of
ours that nothing filled. Two keys of a file may lead to one of ours: then their values must be equal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class KeyMap:
    """Names of one layout of weights."""

    rules: tuple[tuple[str, str | None], ...]  # regular expression of a whole foreign key -> our key
    optional: str | None = None  # regular expression of our keys that the file may lack

    def rename(self, key: str) -> tuple[bool, str | None]:
        """Return whether `key` is known, and our name for it, `None` for an entry to drop."""
        for pattern, replacement in self.rules:
            match = re.fullmatch(pattern, key)
            if match:
                return True, None if replacement is None else match.expand(replacement)
        return False, None

    def may_lack(self, key: str) -> bool:
        """Return whether the file may do without our `key`."""
        return self.optional is not None and re.fullmatch(self.optional, key) is not None


KEY_MAPS: dict[str, KeyMap] = {}
"""Registry name -> layout in which the authors publish their checkpoints."""

ENCODER_MAPS: dict[str, KeyMap] = {}
"""Registry name -> layout of ImageNet weights for its encoder."""
