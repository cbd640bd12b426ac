"""Keys that a command line adds to a configuration (`+key=value`), and whether anything reads them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pydoc import ErrorDuringImport, locate
from typing import Any

from p3m_lightning.messages import did_you_mean
from p3m_lightning.schema import InputError

OPEN = (
    "lr_factors",
    "callbacks",
    "logger",
    "loss.weights",
    "published",
    "model",
    "checkpoints",
    "rivals",
    "styles",
    "prepare",
    "mattes.passes",
)
"""Mappings whose keys the user chooses, or that are verified where they are read."""
Path = tuple[str, ...]


def refuse_unread(overrides: Sequence[str], tree: Mapping[str, Any], declared: Callable[[], Mapping[str, Any]]) -> None:
    """Check that keys added by `+key=value` are read: by a constructor, by an interpolation, or by the code.

    Args:
        overrides: the command line, which composes without an error.
        tree: the configuration composed from it, unresolved, plain containers, without Hydra's own keys.
        declared: returns the same tree without the added keys; called when needed.

    Raises:
        InputError: a key that nothing reads; the message names it.
    """
    for path in added_paths(overrides):
        taken = taken_by_constructor(tree, path)
        if taken is None:
            read = _is_open(path) or is_interpolated(tree, path) or _holds(declared(), path)
            siblings = list(_node(tree, path[:-1]) or ())
        else:
            key, siblings = taken
            read = not siblings or key.startswith("_") or key in siblings
        if not read:
            key = taken[0] if taken else path[-1]
            hint = did_you_mean(key, [name for name in siblings if name != key])
            raise InputError(f"+{'.'.join(path)}: nothing reads a key of this name{hint}")


def added_paths(overrides: Sequence[str]) -> Iterator[Path]:
    """Yield the keys that `+` and `++` add, those inside given mappings one by one, without Hydra's own and groups."""
    return (path for path in _added(overrides) if path[0] != "hydra")


def paths_below_hydra(overrides: Sequence[str]) -> Iterator[Path]:
    """Yield the keys that `+` and `++` add below `hydra`, without it; groups are left out."""
    return (path[1:] for path in _added(overrides) if path[0] == "hydra" and len(path) > 1)


def _added(overrides: Sequence[str]) -> Iterator[Path]:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    for line in overrides:
        if not line.startswith("+"):
            continue
        override = OverridesParser.create().parse_override(line)
        key = override.key_or_group
        if override.package is None and "/" not in key and "[" not in key:
            yield from (tuple(key.split(".")) + rest for rest in _leaves(override.value()))


def taken_by_constructor(tree: Mapping[str, Any], path: Path) -> tuple[str, list[str]] | None:
    """Return the key that the innermost `_target_` around a path would receive, and the keys that it takes.

    An empty list means that it takes any; None that there is no `_target_` around it. Keys of a stage are those of a
    whole configuration.
    """
    if path[0] == "stages" and len(path) > 2:
        tree, path = _merged(tree, _node(tree, path[:2])), path[2:]
    found = None
    for depth, key in enumerate(path):
        node = _node(tree, path[:depth])
        if isinstance(node, Mapping) and "_target_" in node:
            found = key, parameters(node["_target_"])
    return found


def parameters(target: str) -> list[str]:
    """Return the names of the arguments that a `_target_` takes; none if it takes any, or has no signature."""
    try:
        signature = inspect.signature(locate(target))  # type: ignore[arg-type]  # None is a TypeError
    except (TypeError, ValueError, ErrorDuringImport):  # a target that cannot be built is reported when it is built
        return []
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    return [] if inspect.Parameter.VAR_KEYWORD in kinds else list(signature.parameters)


def is_interpolated(tree: Mapping[str, Any], path: Path) -> bool:
    """Return whether some value of the tree refers to a key, or to a mapping that it lies in."""
    names = [re.escape(".".join(path)) + r"[}.,\[]"]
    names += [re.escape(".".join(path[:depth])) + "[},]" for depth in range(1, len(path))]
    return re.search(rf"\$\{{(?:[\w.]+:)?(?:{'|'.join(names)})", repr(tree)) is not None


def _is_open(path: Path) -> bool:
    return any(".".join(path[:depth]) in OPEN for depth in range(1, len(path) + 1)) or path[0] == "stages"


def _holds(tree: Mapping[str, Any], path: Path) -> bool:
    parent = _node(tree, path[:-1])
    return isinstance(parent, Mapping) and path[-1] in parent


def _node(tree: Any, path: Path) -> Any:
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _leaves(value: Any) -> Iterator[Path]:
    if not isinstance(value, Mapping) or not value or "_target_" in value:
        yield ()
        return
    for key, child in value.items():
        yield from ((str(key), *rest) for rest in _leaves(child))


def _merged(tree: Any, changes: Any) -> Any:
    if not isinstance(tree, Mapping) or not isinstance(changes, Mapping):
        return changes
    return {**tree, **{key: _merged(tree.get(key), child) for key, child in changes.items()}}
