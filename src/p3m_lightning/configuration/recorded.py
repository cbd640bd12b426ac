"""Building objects from recorded configurations, which come with files that anybody may have written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from p3m_lightning.messages import printable
from p3m_lightning.schema import InputError

BUILDABLE = {
    "p3m_lightning.inference.infer",
    "p3m_lightning.data.datasets.MattingDataset",
}
"""Targets that the configuration of a checkpoint or a run folder may build: how a network is applied, and the images it
was tested on. Add the names of your own functions if you record them."""

EXPLANATION = "checkpoints and run folders are data, and only what configuration.recorded.BUILDABLE lists is built"


def build_recorded(node: Any, source: str) -> Any:
    """Build a part of a recorded configuration, if all of its targets are `BUILDABLE`.

    Args:
        node: plain containers, with `_target_`s in them.
        source: the file that records it, for messages.

    Raises:
        InputError: it names something else, or its arguments do not fit.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    verify_recorded(node, source)
    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        raise InputError(f"{source}: its configuration cannot be built ({error.__cause__ or error})") from None


def verify_recorded(node: Any, source: str) -> None:
    """Refuse a part of a recorded configuration that would build a target not allowed, or look up values.

    Args:
        node: plain containers.
        source: the file that records it, for messages.

    Raises:
        InputError: a `_target_` that is not `BUILDABLE`, or an interpolation, which a resolved configuration never
            contains, and which could hide a target or read the environment.
    """
    for key, value in _leaves(node):
        told = printable(str(value))[:80]
        if key == "_target_" and not (isinstance(value, str) and value in BUILDABLE):
            raise InputError(f"{source}: its configuration would build {told}; {EXPLANATION}")
        if isinstance(value, str) and "${" in value:
            raise InputError(f"{source}: its configuration looks up {told}; {EXPLANATION}")


def _leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield key and value of every leaf; a `_target_` counts as a leaf whatever it holds."""
    if isinstance(node, Mapping) and key != "_target_":
        for name, child in node.items():
            yield "", name
            yield from _leaves(child, str(name))
    elif isinstance(node, list | tuple) and key != "_target_":
        for child in node:
            yield from _leaves(child)
    else:
        yield key, node
