"""Removing folders of this machine from shared files: a checkpoint must not tell whose it was or where it lay."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from p3m_lightning.configuration import relocated

ELSEWHERE = "..."


def without_places(tree: Any, paths: Mapping[str, Any]) -> Any:
    """Return a tree without absolute paths.

    Those below a folder of `paths` begin with its name, as in `<data>/train`; any other keeps only its last part, as in
    `.../best.ckpt`. Applying this twice changes nothing.

    Args:
        tree: plain containers; keys are treated like values.
        paths: folders by name: the group `paths` of a configuration.
    """
    folders = {str(place): f"<{name}>" for name, place in paths.items() if place and Path(str(place)).is_absolute()}
    return _without(tree, dict(sorted(folders.items(), key=lambda pair: -len(pair[0]))))


def with_places(tree: Any, paths: Mapping[str, Any]) -> Any:
    """Return a tree with the folders of `paths` instead of their names."""
    for name, place in paths.items():
        tree = relocated(tree, f"<{name}>", str(place))
    return tree


def _without(node: Any, folders: Mapping[str, str]) -> Any:
    if isinstance(node, Mapping):
        return {_without(key, folders): _without(value, folders) for key, value in node.items()}
    if isinstance(node, list):
        return [_without(value, folders) for value in node]
    if not isinstance(node, str):
        return node
    for place, name in folders.items():
        if node == place or node.startswith(f"{place}/"):
            return name + node[len(place) :]
    return f"{ELSEWHERE}/{Path(node).name}" if node.startswith("/") and len(node) > 1 and "\n" not in node else node
