"""Words to the user about files: on stderr, once each, and with names that cannot do anything to a terminal."""

from __future__ import annotations

import logging
from functools import lru_cache

LOG = logging.getLogger("p3m_lightning")


@lru_cache(maxsize=10_000)
def tell(message: str) -> None:
    """Log a warning, the first time it comes up in this process; without any logging set up it goes to stderr."""
    LOG.warning("p3m: %s", printable(message))


def printable(text: str) -> str:
    r"""Return `text` in one line with what a terminal would act on, or cannot show, written as an escape (\x1b)."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text
    )
