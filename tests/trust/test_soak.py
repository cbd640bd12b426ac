"""Long runs in minutes: memory, open files, threads and temporary files do not grow with the amount of work."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from verbs import LONG

from p3m_lightning import Predictor
from p3m_lightning.synthetic import render_portrait

pytestmark = pytest.mark.slow  # not in make test before all of it has been seen green

MEGABYTE = 2**20
SLACK = 40 * MEGABYTE  # allocators keep some of what they were lent
ROUNDS = 10


def state(folder: Path) -> dict[str, float]:
    """Return the resources that this process holds."""
    return {
        "memory": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
        "open files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "temporary files": sum(1 for _ in folder.rglob("*")),
    }


def slopes(work: Callable[[int], object], folder: Path) -> dict[str, float]:
    """Do the work in rounds; return the growth of each resource from the second round to the last, by a linear fit."""
    work(0)
    states = []
    for number in range(1, ROUNDS + 1):
        work(number)
        states.append(state(folder))
    rounds = np.arange(ROUNDS)
    return {key: float(np.polyfit(rounds, [s[key] for s in states], 1)[0]) * ROUNDS for key in states[0]}


def judged(found: dict[str, float]) -> list[str]:
    limits = {"memory": SLACK, "open files": 2, "threads": 1, "temporary files": 2}
    print({key: round(value, 2) for key, value in found.items()})
    return [f"{key} grew by {found[key]:.4g}" for key, limit in limits.items() if found[key] > limit]


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    if not Path("/proc/self/statm").exists():
        pytest.skip("no /proc")
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def test_photographs_through_predict(checkpoint, temporary, tally):
    predict = Predictor.from_checkpoint(checkpoint, device="cpu")
    images = [render_portrait(seed, 96 + 16 * seed).image for seed in range(3)]
    each = 200 if LONG else 6

    def work(number: int) -> None:
        for k in range(each):
            predict(images[k % 3]).rgba()

    tally(f"growth over {each * ROUNDS} photographs", 4, judged(slopes(work, temporary)))


@pytest.mark.slow
def test_epochs_of_a_training(portraits, tmp_path, temporary, tally):
    from brief_training import train

    folder = tmp_path / "run"

    def work(number: int) -> None:
        last = folder / "checkpoints" / "last.ckpt"
        resumed = [f"ckpt={last}"] if last.is_file() else []
        assert train(portraits, folder, f"trainer.max_epochs={2 * number + 2}", "~data.tests", *resumed) == 0

    tally(f"growth over {2 * ROUNDS + 2} epochs", 4, judged(slopes(work, temporary)))


def test_requests_to_the_page(temporary, tally):
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("gradio")
    from p3m_lightning.web import serve
    from page_visits import encoded, predictors, scene

    each = 50 if LONG else 10
    with serve(predictors()) as address, httpx.Client(base_url=address.rstrip("/"), trust_env=False) as client:

        def work(number: int) -> None:
            for k in range(each):
                assert client.get("/").status_code == 200
                if k == 0:  # uploads are kept until the page ends, and counted against its quota
                    client.post("/gradio_api/upload", files={"files": ("a.png", encoded(scene()))})

        found = slopes(work, temporary)
    found["temporary files"] = sum(1 for _ in temporary.rglob("*"))  # all are gone when the page ends
    tally(f"growth over {each * ROUNDS} requests", 4, judged(found))
