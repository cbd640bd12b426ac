"""Imports point down the floors of docs/architecture.md, and heavy packages are imported where they are used."""

import ast
from pathlib import Path

import pytest

import p3m_lightning

PACKAGE = Path(p3m_lightning.__file__).parent

FLOORS = [
    {"schema"},
    {"files", "markdown", "messages", "progress", "silence"},
    {"file_kinds", "images", "records", "tables"},
    {"ops", "landmarks", "parallel", "configuration", "sheets"},
    {"losses", "metrics", "models", "synthetic"},
    {"data"},
    {"training", "inference", "privacy"},
    {"gan", "quality"},
    {"experiments", "web"},
    {"cli"},
]
FLOOR = {unit: level for level, units in enumerate(FLOORS) for unit in units}
OUTSIDE = {"__init__", "__main__"}  # lazy front doors
LIGHTNING_ONLY_IN = {
    "training",
    "data/datamodule.py",
    "inference/distributed/predict.py",
    "gan",
    "quality",
    "experiments",
    "cli",
}
HEAVY = {"transformers", "timm", "wandb", "gradio", "dlib", "onnx", "onnxruntime", "av", "optuna", "numba"}

FILES = sorted(PACKAGE.rglob("*.py"))


def unit_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(tree: ast.AST) -> list[str]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the floor"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def floor_faults(source: str, unit: str) -> list[str]:
    """Imports of `source`, a module of `unit`, that do not point down."""
    faults = []
    for name in imported_modules(ast.parse(source)):
        parts = name.split(".")
        if parts[0] != "p3m_lightning" or len(parts) < 2 or parts[1] == unit or parts[1] not in FLOOR:
            continue
        if FLOOR[parts[1]] >= FLOOR[unit]:
            faults.append(name)
    return faults


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_file_stands_on_a_floor_and_imports_downward(path):
    unit = unit_of(path)
    if unit in OUTSIDE:
        return
    assert unit in FLOOR, f"{path.name}: no floor lists {unit!r}"
    assert not floor_faults(path.read_text(), unit)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_packages_are_imported_inside_functions(path):
    top_level = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = imported_modules(ast.Module(body=top_level, type_ignores=[]))
    assert not {n.split(".")[0] for n in names} & HEAVY


ROOMS = sorted(path.parent for path in PACKAGE.rglob("__init__.py"))
LARGEST = 12  # modules of a room, beside __init__.py and the rooms inside


def modules_of(room: Path) -> list[str]:
    return [path.name for path in room.glob("*.py") if path.name != "__init__.py"]


@pytest.mark.parametrize("room", ROOMS, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_room_is_overcrowded(room):
    assert len(modules_of(room)) <= LARGEST


def test_no_file_is_longer_than_300_lines():
    assert not [path for path in FILES if len(path.read_text().splitlines()) > 300]


def test_lightning_is_imported_only_where_it_belongs():
    for path in FILES:
        names = imported_modules(ast.parse(path.read_text()))
        place = path.relative_to(PACKAGE).as_posix()
        if any(n.startswith(("pytorch_lightning", "lightning.")) for n in names):
            assert place in LIGHTNING_ONLY_IN or unit_of(path) in LIGHTNING_ONLY_IN, place


def test_the_floors_test_sees_an_upward_import():
    assert floor_faults("from p3m_lightning.training import train", "models") == ["p3m_lightning.training.train"]
    assert floor_faults("import p3m_lightning.losses", "models") == ["p3m_lightning.losses"]
    assert floor_faults("from p3m_lightning.ops import fuse", "models") == []
