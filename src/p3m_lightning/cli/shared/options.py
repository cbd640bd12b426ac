"""Kinds of options that several verbs have."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from p3m_lightning.schema import InputError


class AtLeast(argparse.Action):
    """A whole number, or several, not below `least`; used as `add_argument("--count", action=AtLeast, least=1)`."""

    def __init__(self, option_strings: Sequence[str], dest: str, least: int = 1, **keys: Any) -> None:
        super().__init__(option_strings, dest, type=int, **keys)
        self.least = least

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Take the value in.

        Raises:
            InputError: it is too small; a type could only raise errors that argparse rewords.
        """
        smallest = min(values) if isinstance(values, list) else values
        if smallest < self.least:
            raise InputError(f"{option_string} {smallest}: give {self.least} or more")
        setattr(namespace, self.dest, values)
