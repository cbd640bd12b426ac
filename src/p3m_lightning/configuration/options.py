"""Groups of `conf/`, the options of a group and the keys of a file, read without Hydra, for completion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any


def groups() -> list[str]:
    """Return the names of the groups, nested ones as hydra/launcher."""
    return sorted(_groups(_root(), ""))


def group_options(group: str) -> list[str]:
    """Return the options of a group: its files, except those that only other files include (`_base`)."""
    folder = _root().joinpath(*group.split("/"))
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml") and name[0] != "_")


def file_keys(name: str, prefix: str = "") -> list[str]:
    """Return the dotted keys of `conf/<name>.yaml` and of the files that it includes from its own folder.

    Args:
        name: such as train or trainer/auto; one that does not exist has no keys.
        prefix: goes before every key.
    """
    tree = _read(name)
    around = name.rpartition("/")[0]
    keys: dict[str, None] = {}
    for entry in tree.get("defaults", ()):
        if isinstance(entry, str) and entry != "_self_" and around:
            keys |= dict.fromkeys(file_keys(f"{around}/{entry}", prefix))
    keys |= dict.fromkeys(_leaves({k: v for k, v in tree.items() if k != "defaults"}, prefix))
    return list(keys)


def default_options(verb: str) -> dict[str, str]:
    """Return the option that `conf/<verb>.yaml` takes of each group, as its list of defaults says."""
    entries = _read(verb).get("defaults", ())
    pairs = [pair for entry in entries if isinstance(entry, Mapping) for pair in entry.items()]
    return {str(group).split()[-1].split("@")[0]: str(option) for group, option in pairs if option}


def _root() -> Traversable:
    return files("p3m_lightning.conf")


def _groups(folder: Traversable, prefix: str) -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name[0] not in "_.":
            yield f"{prefix}{entry.name}"
            yield from _groups(entry, f"{prefix}{entry.name}/")


def _read(name: str) -> Mapping[str, Any]:
    import yaml

    file = _root().joinpath(*f"{name}.yaml".split("/"))
    tree = (
        yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        if file.is_file()
        else {}
    )
    return tree if isinstance(tree, Mapping) else {}


def _leaves(tree: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key, value in tree.items():
        if str(key).startswith("_"):
            continue
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
