import subprocess
import sys

import pytest

from p3m_lightning.experiments.bench.limits import workers
from p3m_lightning.images import read_matte


def test_the_workers_of_a_loader_share_the_crops(tmp_path):
    make_pairs(tmp_path)
    alone, shared = (workers._load(tmp_path, count, crops=16) for count in (0, 1))
    assert alone["images"] == shared["images"] == 16
    assert min(alone["cpu_seconds"], shared["cpu_seconds"]) > 0
    assert alone["cores"] >= 1
    if sys.platform.startswith("linux"):
        assert min(alone["memory_bytes"], shared["memory_bytes"]) > 1e7


@pytest.mark.slow
def test_every_number_of_workers_has_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "render_pairs", lambda root, count: make_pairs(root))
    rows = workers.loader_workers([0, 1], tmp_path)
    assert [(row["workers"], row["images"]) for row in rows] == [(0, workers.CROPS), (1, workers.CROPS)]


def make_pairs(root):
    from p3m_lightning.data.prepare.foreground_cache import cache_foregrounds
    from p3m_lightning.data.prepare.pack_folder import pack_dataset
    from p3m_lightning.images import write_image
    from p3m_lightning.synthetic import render_portrait

    for seed in (0, 1):
        portrait = render_portrait(seed, 128)
        write_image(root / f"train/blurred_image/{seed}.jpg", portrait.image, quality=90)
        write_image(root / f"train/mask/{seed}.png", portrait.alpha)
    cache_foregrounds(root, announce=lambda line: None)
    pack_dataset(root, announce=lambda line: None)


def test_processes_predict_every_photograph(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "SIDE", 64)
    monkeypatch.setattr(workers, "PHOTOGRAPHS", 3)
    (row,) = workers.predicting_processes([1], tmp_path)
    assert (row["processes"], row["images"]) == (1, 3)
    assert row["cpu_seconds"] > 0
    assert sorted(path.name for path in (tmp_path / "mattes_1").glob("*.png")) == ["0.png", "1.png", "2.png"]
    assert read_matte(tmp_path / "mattes_1/0.png").shape == (64, 64)


HOLD = """
import subprocess, sys
held = bytearray(b"1") * int(sys.argv[1])
if sys.argv[2:]:
    child = subprocess.Popen([sys.executable, "-c", *sys.argv[2:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
print(flush=True)
sys.stdin.read()
"""


def memory_of(*arguments: str) -> int:
    """Measure a process of its own: the one of the tests may take new memory from what it has freed."""
    command = [sys.executable, "-c", HOLD, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        return workers._memory(process.pid)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells the memory of processes")
def test_the_memory_of_a_process_and_its_children_is_added_up():
    small, large = memory_of("0"), memory_of(str(10**8))
    with_child = memory_of(str(10**8), HOLD, str(5 * 10**7))
    assert small > 1e6
    assert large - small == pytest.approx(10**8, rel=0.1)
    assert with_child - large > 5e7


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells the memory of processes")
def test_a_process_that_has_ended_takes_no_memory():
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    assert workers._memory(ended.pid) == 0
