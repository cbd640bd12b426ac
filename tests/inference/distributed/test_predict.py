"""`p3m predict --devices`: processes over gloo that share a folder."""

import os
import re
import signal
import subprocess
import sys
import time
from threading import Thread

import numpy as np
import pytest
import torch
from PIL import Image
from torch.distributed import HashStore

from p3m_lightning.cli import main
from p3m_lightning.inference.distributed.ledger import Ledger
from p3m_lightning.inference.distributed.predict import make_trainer
from p3m_lightning.inference.folder import Outcome
from p3m_lightning.schema import InputError

RNG = np.random.default_rng(0)


def save_photo(path, side=64):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path)


def start(checkpoint, *arguments, launcher=("-m",)):
    command = [sys.executable, *launcher, "p3m_lightning", "predict", "--ckpt", checkpoint, "--device", "cpu"]
    return subprocess.Popen(
        [*map(str, command), *map(str, arguments)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_three_processes_write_what_one_writes(checkpoint, tmp_path, capfd):
    photos, alone, together = (tmp_path / name for name in ("photos", "alone", "together"))
    for name in ("a.png", "b.png", "c.png", "deep/d.png", "deep/e.png", "deep/f.png"):
        save_photo(photos / name)
    for name in ("bad.jpg", "deep/bad.png"):
        (photos / name).write_text("hello")
    arguments = [photos, "--recursive"]
    torch.set_num_threads(1)
    assert main(["predict", "--ckpt", str(checkpoint), *map(str, arguments), "-o", str(alone)]) == 2
    capfd.readouterr()

    process = start(checkpoint, *arguments, "-o", together, "--devices", 3)
    said, complaints = process.communicate()
    assert (process.returncode, said) == (2, f"6 of 8 photographs done, in {together}\n"), complaints
    assert [line for line in complaints.splitlines() if line and "predicting" not in line] == [
        f"p3m: {photos / name}: not an image file" for name in ("bad.jpg", "deep/bad.png")
    ]
    assert contents(together) == contents(alone)


@pytest.mark.slow
def test_resume_does_what_is_left_though_one_process_has_nothing_to_do(checkpoint, tmp_path):
    photos, out = tmp_path / "photos", tmp_path / "out"
    for name in ("a.png", "b.png"):
        save_photo(photos / name)
    out.mkdir()
    (out / "a.png").write_bytes(b"finished")
    (out / "failures.json").write_text("[]")
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m")
    process = start(checkpoint, photos, "-o", out, "--devices", 2, "--resume", launcher=torchrun)
    said, complaints = process.communicate()
    assert (process.returncode, said) == (0, f"1 of 1 photographs done, in {out}\n"), complaints
    assert sorted(contents(out)) == ["a.png", "b.png"]
    assert (out / "a.png").read_bytes() == b"finished"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGKILL, -signal.SIGKILL, marks=pytest.mark.slow)]
)
def test_when_the_first_process_ends_all_do_and_files_are_whole(checkpoint, tmp_path, number, code):
    photos, out = tmp_path / "photos", tmp_path / "out"
    for i in range(60):
        save_photo(photos / f"{i}.png", side=256)
    process = start(checkpoint, photos, "-o", out, "--devices", 2)
    drain = Thread(target=process.communicate)
    drain.start()
    while process.poll() is None and len(list(out.glob("[0-9]*.png"))) < 2:
        time.sleep(0.02)
    os.kill(process.pid, number)
    drain.join()  # until no process of the run holds the other end
    assert process.returncode == code
    done = list(out.glob("[0-9]*.png"))
    assert 2 <= len(done) < 60
    assert all(Image.open(path).size == (256, 256) for path in done)
    assert number == signal.SIGKILL or len(done) == len(list(out.iterdir()))  # no leftovers


def test_the_ledger_counts_and_tells_the_failures_of_all():
    store = HashStore()
    mine, yours = Ledger(store), Ledger(store)
    mine.expect(2)
    yours.expect(1)
    for ledger, reason in ((mine, None), (mine, "x.jpg: a\u2028b"), (yours, "y.jpg: c")):
        ledger.note(Outcome(f"{reason or 'w.jpg'}"[:5], reason))
    assert (mine.expected, yours.done, mine.stopped) == (3, 3, False)
    assert [(str(o.source), o.reason) for o in mine.failures()] == [("x.jpg", "x.jpg: a\u2028b"), ("y.jpg", "y.jpg: c")]
    yours.stop()
    assert mine.stopped


def test_other_numbers_than_torchrun_has_started_are_refused(monkeypatch):
    monkeypatch.setattr("torch.distributed.is_torchelastic_launched", lambda: True)
    for name, value in {"WORLD_SIZE": 3, "RANK": 0, "LOCAL_RANK": 0, "GROUP_RANK": 0}.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(InputError, match=r"--devices 2: .* does not match the world size"):
        make_trainer(2, device="cpu")
    assert make_trainer(3, device="cpu").world_size == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--devices", "0"], "--devices 0: give 1 or more"),
        (["--devices", "2", "--device", "cpu:0"], "--device cpu:0: with --devices"),
        (["--devices", "2", "--device", "abacus"], "--devices 2: .*abacus"),
    ],
)
def test_wrong_calls_are_one_line(checkpoint, tmp_path, capsys, arguments, message):
    save_photo(tmp_path / "photo.png")
    out = tmp_path / "out"
    assert main(["predict", str(tmp_path / "photo.png"), "-o", str(out), "--ckpt", str(checkpoint), *arguments]) == 2
    said = capsys.readouterr().err
    assert re.search(message, said)
    assert said.count("\n") == 1
