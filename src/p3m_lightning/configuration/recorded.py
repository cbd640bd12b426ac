"""Building objects from recorded configurations, which come with files that anybody may have written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
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

MOST_NODES = 1_000_000  # of a tree; the results of 10,000 images have a tenth of that
DEEPEST = 60


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


def verify_shapes(tree: Any, shapes: Mapping[str, Any], source: str) -> None:
    """Check the types of those values in a tree that are present.

    Args:
        tree: read from JSON, YAML, or a checkpoint.
        shapes: dotted key -> a type or a union such as `str | None`; `*` stands for every key or element.
        source: the file that it was read from, for messages.

    Raises:
        InputError: a value of another type, or a tree too large or too deep for a configuration, as a few lines of YAML
            with self-references can make it.
    """
    if sum(1 for _ in islice(_nodes(tree, source, 0), MOST_NODES + 1)) > MOST_NODES:
        raise InputError(f"{source}: holds more than a configuration or results")
    for key, kind in shapes.items():
        for value in _found(tree, key.split(".") if key else []):
            if not isinstance(value, kind):
                named = f"{key} is" if key else "holds"
                raise InputError(f"{source}: {named} {printable(repr(value))[:40]}, which is invalid; make it again")


def _nodes(tree: Any, source: str, depth: int) -> Iterator[None]:
    """Yield once for each node."""
    if depth > DEEPEST:
        raise InputError(f"{source}: holds more than a configuration or results")
    yield None
    children = tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, list | tuple) else ()
    for child in children:
        yield from _nodes(child, source, depth + 1)


def _found(tree: Any, keys: list[str]) -> Iterator[Any]:
    """Yield the values at a dotted key, none where it does not exist."""
    if not keys:
        yield tree
        return
    key, *rest = keys
    if isinstance(tree, Mapping):
        for child in tree.values() if key == "*" else [tree[key]] if key in tree else []:
            yield from _found(child, rest)
    elif isinstance(tree, list | tuple) and key == "*":
        for child in tree:
            yield from _found(child, rest)
