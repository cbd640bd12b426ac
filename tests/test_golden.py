"""The recorded numbers in the repository are a small subset of the whole, without photographs."""

import importlib.util
from pathlib import Path

import numpy as np

REDUCED = Path(__file__).parent / "golden"
LIMIT = 6_000_000  # bytes


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as content:
        return dict(content)


def test_the_reduced_set_is_small_and_holds_no_pictures():
    files = [path for path in REDUCED.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sum(path.stat().st_size for path in files) < LIMIT
    assert {path.suffix for path in files} <= {".npz", ".json", ".py", ".md"}


def test_the_reduced_set_is_what_its_script_makes_of_the_whole_one(golden_portraits, tmp_path):
    spec = importlib.util.spec_from_file_location("reduce", REDUCED / "reduce.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.reduce_golden(golden_portraits, tmp_path)
    made = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    kept = {path.relative_to(REDUCED) for path in REDUCED.rglob("*") if path.suffix in (".npz", ".json")}
    assert made - {Path("fill.py")} == kept
    for name in kept:
        if name.suffix == ".json":
            assert (tmp_path / name).read_text() == (REDUCED / name).read_text()
            continue
        again, before = arrays(tmp_path / name), arrays(REDUCED / name)
        assert again.keys() == before.keys()
        assert all(np.array_equal(again[key], before[key]) for key in before)
