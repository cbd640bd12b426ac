"""Files that one command writes and another reads: JSON, YAML and CSV, whose content is verified when it is read."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from p3m_lightning.files import atomic_path
from p3m_lightning.messages import no_such, printable
from p3m_lightning.schema import InputError

MOST_NODES = 1_000_000  # of a tree; the results of 10,000 images have a tenth of that
DEEPEST = 60
LARGEST = int(sys.float_info.max)
AGAIN = "make it again"
TOLD = 160  # characters of a parser's message


def read_tree(path: str | Path, kind: str | None = None, cure: str = AGAIN) -> Any:
    """Read a JSON or a YAML file.

    Args:
        path: the file.
        kind: "JSON" or "YAML"; None goes by its suffix.
        cure: what to do about a damaged one.

    Raises:
        InputError: no such file, or it cannot be read.
    """
    path = Path(path)
    kind = kind or ("YAML" if path.suffix in (".yaml", ".yml") else "JSON")
    try:
        text = path.read_text(encoding="utf-8")
        return yaml.safe_load(text) if kind == "YAML" else json.loads(text)
    except FileNotFoundError:
        raise InputError(no_such(path)) from None
    except Exception as error:  # PyYAML lets any error of its constructors through, as KeyError for `!!bool x`
        raise InputError(f"{path}: cannot be read as {kind} ({_told(error)}); {cure}") from None


def read_record(
    path: str | Path, shapes: Mapping[str, Any], needed: Collection[str] = (), cure: str = AGAIN
) -> dict[str, Any]:
    """Read a mapping from a JSON or YAML file.

    Args:
        path: the file.
        shapes: as of `verify_shapes`.
        needed: dotted keys that must be in it, `*` in their middle standing for every key or element.
        cure: what to do about a damaged one.

    Raises:
        InputError: no such file, it cannot be read, it lacks a key, or a value is of another type.
    """
    content = read_tree(path, cure=cure)
    verify_shapes(content, {"": dict, **shapes}, str(path), cure)
    lacking = [key for key in needed if _lacks(content, key.split("."))]
    if lacking:
        raise InputError(f"{path}: lacks {', '.join(lacking)}; {cure}")
    return content


def read_rows(path: str | Path, needed: Collection[str] = (), cure: str = AGAIN) -> list[dict[str, str]]:
    """Read a CSV file with a line of names, as one mapping per row.

    Args:
        path: the file.
        needed: columns that must be in it.
        cure: what to do about a damaged one.

    Raises:
        InputError: no such file, it cannot be read, it lacks a column, or a row is longer or shorter than the first.
    """
    try:
        with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
            reader = csv.DictReader(file)
            names, rows = reader.fieldnames or (), list(reader)
    except FileNotFoundError:
        raise InputError(no_such(path)) from None
    except (OSError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV ({_told(error)}); {cure}") from None
    lacking = [name for name in needed if name not in names]
    if lacking:
        raise InputError(f"{path}: has no column {', '.join(lacking)}; {cure}")
    if any(None in row or None in row.values() for row in rows):
        raise InputError(f"{path}: its rows are not of one length; {cure}")
    return rows


def read_note(path: str | Path) -> str:
    """Return the one line of a text file, such as the id of a run; an empty string if there is none.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a line of text ({_told(error)}); delete it") from None


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write `content` as indented JSON, atomically."""
    with atomic_path(path) as aside:
        aside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_csv(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one line per row, `name` first; a key that a row lacks stays empty. Atomic."""
    columns = list(dict.fromkeys(["name", *(key for row in rows for key in row)]))
    with atomic_path(path) as aside, aside.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def verify_shapes(tree: Any, shapes: Mapping[str, Any], source: str, cure: str = AGAIN) -> None:
    """Check the types of those values in a tree that are present.

    Args:
        tree: read from JSON, YAML, or a checkpoint.
        shapes: dotted key -> a type or a union such as `str | None`; `*` stands for every key or element.
        source: the file that it was read from, for messages.
        cure: what to do about a wrong one.

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
                raise InputError(f"{source}: {named} {printable(repr(value))[:40]}, which is invalid; {cure}")


def _nodes(tree: Any, source: str, depth: int) -> Iterator[None]:
    """Yield once for each node, of which none may be a number that cannot be computed with."""
    if depth > DEEPEST:
        raise InputError(f"{source}: holds more than a configuration or results")
    if isinstance(tree, int) and abs(tree) > LARGEST:
        raise InputError(f"{source}: holds a number beyond the range of floats")
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


def _lacks(tree: Any, keys: list[str]) -> bool:
    """Return whether a mapping that should have the last of `keys` does not."""
    holders = list(_found(tree, keys[:-1]))
    return any(keys[-1] not in holder for holder in holders if isinstance(holder, Mapping))


def _told(error: Exception) -> str:
    return " ".join((str(error) or repr(error)).split())[:TOLD]
