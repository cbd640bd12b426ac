"""Writing overrides whose values may hold any characters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from p3m_lightning.schema import InputError


def quoted(value: object) -> str:
    """Return a text as the value of an override, whatever characters it has.

    Raises:
        InputError: it contains ${, which a configuration always reads as a reference.
    """
    text = str(value)
    if "${" in text:
        raise InputError(f"{text}: ${{ in a name is a reference to Hydra; rename it")
    # Hydra takes backslashes literally except before a quote
    return "'" + re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + (found[2] and "\\'"), text) + "'"


def with_quoted_paths(overrides: Sequence[str]) -> list[str]:
    """Quote values that name an existing file or folder, or a path inside one, where Hydra would misread them.

    `ckpt=runs/lr=0.1,a(2)/last.ckpt` is a syntax error to Hydra, and `paths.data=a,b` a sweep.
    """
    return [_with_quoted_path(override) for override in overrides]


def _with_quoted_path(override: str) -> str:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key, _, value = override.partition("=")
    path = Path(value)
    try:
        there = bool(value) and (path.exists() or ("/" in value and path.parent.is_dir()))
    except OSError:  # too long for a path
        return override
    if not there:
        return override
    try:
        taken = not OverridesParser.create().parse_override(override).is_sweep_override()
    except HydraException:
        taken = False
    return override if taken else f"{key}={quoted(value)}"
