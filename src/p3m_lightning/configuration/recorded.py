"""Building what a recorded configuration describes: it came with a file that anybody may have written."""

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
"""What a checkpoint's or a run folder's configuration may build: how a network is applied, and which images it was
tested on. Whoever records functions of their own adds their names."""

EXPLANATION = "checkpoints and run folders are data, and only what configuration.recorded.BUILDABLE lists is built"

MOST_NODES = 1_000_000  # of a tree: the results of 10,000 images are a tenth of that
DEEPEST = 60


def build_recorded(node: Any, source: str) -> Any:
    """Build what a part of a recorded configuration describes, if all that it names is `BUILDABLE`.

    Args:
        node: plain containers, with `_target_`s in them.
        source: what it was recorded in, for messages.

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
    """Refuse a part of a recorded configuration that would build, or look up, what it has no business with.

    Args:
        node: plain containers.
        source: what it was recorded in, for messages.

    Raises:
        InputError: a `_target_` that is not `BUILDABLE`, or an interpolation, which a resolved configuration has none
            of, and which could hide one or read the environment.
    """
    for key, value in _leaves(node):
        told = printable(str(value))[:80]
        if key == "_target_" and not (isinstance(value, str) and value in BUILDABLE):
            raise InputError(f"{source}: its configuration would build {told}; {EXPLANATION}")
        if isinstance(value, str) and "${" in value:
            raise InputError(f"{source}: its configuration looks up {told}; {EXPLANATION}")


def _leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield key and value of every leaf; a `_target_` is one whatever it holds."""
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
    """Compare what was read with what is expected of it, as far as it is there.

    Args:
        tree: of JSON, YAML, or a checkpoint.
        shapes: dotted key -> a type, or several as `str | None`; `*` stands for every key or element.
        source: what it was read from, for messages.

    Raises:
        InputError: something of another type, or a tree that is too large or too deep for a configuration: a few lines
            can say that by references to themselves.
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
    """Yield what is at a dotted key, nothing where it is not there."""
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
