"""Writes docs/reference/configuration.md: every key of conf/ with its default, type, meaning and source.

A key's meaning is its comment; where it has none, the `Args` of the constructor that takes it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pydoc import locate
from typing import Any, NamedTuple

import yaml

from p3m_lightning.files import atomic_path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/reference/configuration.md"
ARGUMENT = re.compile(r"^    (\w+)(?:, (\w+))*: (.*(?:\n {8,}.*)*)", re.MULTILINE)
KEY = re.compile(r"^(\s*)(?:- )?[\"']?([\w.*{}-]+)[\"']?:")


SHARED = {
    "loss.weights": "weight of this loss term",
    "weights": "weight of this loss term, or share of this data set in a mixture",
    "hydra.sweeper.params": "values to try",
    "cg_kwargs": "of the conjugate gradients: stop at this residual, or after so many iterations",
    "folders": "folder of the images of a condition",
    "paths": "folder",
    "stages": "what this stage changes",
    "styles": "argument of `p3m_lightning.ops.faces.obfuscate`",
    "sampling": "of `p3m gan sample`, see there",
    "transform": "transform of the training samples",
    "checkpoints": "a checkpoint that is taken in place of a training, for this method and condition",
    "methods": "recipe of this method",
    "needs_total_steps": "whether the schedule has to know how long the training is",
    "strategy": "Lightning's name of how processes share the work",
    "output": "folder of all runs",
    "trials": "number of jobs",
    "train_on": "conditions",
    "test_on": "conditions",
    "sampler": "Optuna's, which chooses the values; null: every combination",
    "pruner": "Optuna's, which stops bad jobs early; null: none does",
    "output_subdir": "Hydra's own copies of the configuration; null: none",
    "job": "of Hydra: whether a job changes into its folder",
    "callbacks": "a callback; null: none of this name",
    "run": "folder of a run",
    "sweep": "folder of a sweep, and of its jobs",
}
"""Meanings of keys that stand below a name, for those that nothing else explains."""


class Key(NamedTuple):
    """Row of the reference."""

    path: str
    default: str
    type: str
    meaning: str
    source: str


def keys_of(file: Path) -> list[Key]:
    """Return the keys of one YAML file, in their order; `defaults` lists are left out."""
    tree = yaml.safe_load(file.read_text()) or {}
    comments = comments_of(file.read_text())
    return [_key(path, value, comments, tree) for path, value in _leaves(tree) if path[0] != "defaults"]


def comments_of(text: str) -> dict[tuple[str, ...], str]:
    """Return the comment behind each key."""
    comments: dict[tuple[str, ...], str] = {}
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        if not (found := KEY.match(line)):
            continue
        depth = len(found[1])
        above = [*(one for one in above if one[0] < depth), (depth, found[2])]
        _, mark, comment = line.partition("  # ")
        if mark:
            comments[tuple(name for _, name in above)] = comment.strip()
    return comments


def _key(path: tuple[str, ...], value: Any, comments: Mapping[tuple[str, ...], str], tree: Any) -> Key:
    meaning, source = comments.get(path, ""), "comment"
    if not meaning:
        owner, meaning = _argument(tree, path)
        source = f"`{owner}`" if owner else ""
    return Key(".".join(path), _shown(value), _type(value), meaning, source if meaning else "")


def _argument(tree: Any, path: tuple[str, ...]) -> tuple[str, str]:
    """Return the constructor around a key, and what its docstring says of it."""
    node = tree
    for name in path[:-1]:
        node = node[name]
    target = node.get("_target_", "") if isinstance(node, Mapping) else ""
    if path[-1] == "_target_":
        return target, "what is built"
    if path[-1] == "_partial_":
        return target, "the rest of its arguments come later"
    built = locate(target) if target else None
    documentation = inspect.getdoc(built) or ""
    if inspect.isclass(built):
        documentation += "\n" + (inspect.getdoc(built.__init__) or "")
    for found in ARGUMENT.finditer(documentation):
        names = [found[1], *re.findall(r"\w+", found[0].split(":")[0])]
        if path[-1] in names:
            return target, " ".join(found[3].split())
    return (target, f"see `{target}`") if built is not None else ("", "")


def _leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*path, str(key)))
        else:
            yield (*path, str(key)), value


def _shown(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
    return f"`{text[:80]}`"


def _type(value: Any) -> str:
    names = {type(None): "null or a value", bool: "boolean", int: "number", float: "number", str: "text", list: "list"}
    return names.get(type(value), "table")


def page() -> str:
    """Return the reference as Markdown: a section for each file, grouped by folder."""
    parts = [
        "# Configuration reference",
        "Every key of `conf/`, with its default. Written by `make docs` from the files and from the docstrings of what"
        " they build. `p3m train --cfg job` prints what a command line composes to.",
    ]
    files = sorted((ROOT / "conf").rglob("*.yaml"), key=lambda f: (len(f.parts), str(f)))
    known = meanings(files)
    for file in files:
        keys = keys_of(file)
        name = file.relative_to(ROOT / "conf").with_suffix("")
        group, choice = (str(name.parent), name.name) if name.parent != Path(".") else ("", str(name))
        parts.append(f"## {f'{group}={choice}' if group else f'{choice}.yaml'}")
        head = [line.lstrip("# ") for line in file.read_text().splitlines() if line.startswith("#")]
        parts.append(" ".join(line for line in head if not line.startswith(("@package", "p3m "))) or "")
        if keys:
            parts.append(_table([elsewhere(one, known) for one in keys]))
    return "\n\n".join(part for part in parts if part) + "\n"


def meanings(files: Sequence[Path]) -> dict[str, Key]:
    """Return the first explained key of each name; files of groups come before the experiments that set their keys."""
    known: dict[str, Key] = {}
    for file in sorted(files, key=lambda f: f.parent.name == "experiment"):
        group = "" if file.parent.name == "conf" else f"{file.parent.name}."
        for one in keys_of(file):
            if one.meaning:
                known.setdefault(group + one.path, one)
                known.setdefault(one.path.rpartition(".")[2], one)
    return known


def elsewhere(one: Key, known: Mapping[str, Key]) -> Key:
    """Explain a key by the file that introduces it."""
    found = known.get(one.path) or known.get(one.path.rpartition(".")[2])
    if one.meaning or found is not None:
        return one if one.meaning else one._replace(meaning=found.meaning, source=found.source)
    shared = next((text for name, text in SHARED.items() if f".{name}." in f".{one.path}."), "")
    return one._replace(meaning=shared, source="its place" if shared else "")


def _table(keys: Sequence[Key]) -> str:
    rows = [[f"`{one.path}`", one.default, one.type, one.meaning, one.source] for one in keys]
    lines = [["key", "default", "type", "meaning", "from"], ["---"] * 5, *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def main() -> None:
    """Write the page."""
    PAGE.parent.mkdir(exist_ok=True)
    with atomic_path(PAGE) as aside:
        aside.write_text(page())
    print(PAGE.relative_to(ROOT))


if __name__ == "__main__":
    main()
