"""Checkpoints that kills, signals and full disks do not break."""

import csv
import errno
import json
import os
import resource
import shutil
import signal
from types import SimpleNamespace

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from brief_training import train
from p3m_lightning.inference import infer
from p3m_lightning.models import create_model
from p3m_lightning.schema import InputError
from p3m_lightning.training import MattingModule
from p3m_lightning.training.checkpointing import AtomicCheckpointIO, LastCheckpoint, chosen_checkpoint

VARYING = "train/images_per_second"


class Kill(BaseException):
    """What a SIGKILL looks like from inside: nothing is saved any more."""


@pytest.fixture(scope="module")
def unbroken(portraits, tmp_path_factory):
    """The run folder of two epochs without a break."""
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    assert train(portraits, folder, "trainer.max_epochs=2") == 0
    return folder


def at_batch(monkeypatch, epoch, index, act):
    """Let `act()` happen before a batch of the next training, after the callbacks."""

    def begin(module, batch, number):
        if (module.current_epoch, number) == (epoch, index):
            act()

    monkeypatch.setattr(MattingModule, "on_train_batch_start", begin)


def last(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def rows(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if v and k != VARYING} for row in csv.DictReader(file)]


def expect_equal(folder, unbroken):
    ours, theirs = last(folder), last(unbroken)
    assert all(torch.equal(value, theirs["state_dict"][key]) for key, value in ours["state_dict"].items())
    moments = [run["optimizer_states"][0]["state"] for run in (ours, theirs)]
    assert all(torch.equal(moments[0][k]["exp_avg_sq"], moments[1][k]["exp_avg_sq"]) for k in moments[1])
    assert rows(folder) == rows(unbroken)


@pytest.mark.parametrize("place", [(0, 1), (1, 1)])
def test_a_kill_inside_an_epoch_costs_what_came_after_the_last_save(place, unbroken, portraits, tmp_path, monkeypatch):
    folder = tmp_path / "run"

    def die():
        raise Kill

    with monkeypatch.context() as patch:
        at_batch(patch, *place, die)
        patch.setattr(LastCheckpoint, "on_exception", lambda *_: None)
        with pytest.raises(Kill):
            train(portraits, folder, "trainer.max_epochs=2", "callbacks.last.every_n_minutes=0")
    for half in (
        "checkpoints/.part-killed.ckpt",
        "report/.part-killed.png",
        "report/mattes/.part-a.png",
        ".part-x.yaml",
    ):
        (folder / half).parent.mkdir(parents=True, exist_ok=True)
        (folder / half).write_bytes(b"half")
    with (folder / "metrics.csv").open("a") as file:
        file.write("7,1")  # a row that the kill cut
    assert train(portraits, folder, "trainer.max_epochs=2", f"ckpt={folder}/checkpoints/last.ckpt") == 0
    expect_equal(folder, unbroken)
    assert not list(folder.rglob(".part-*"))


def test_a_kill_in_the_epoch_after_one_that_was_resumed_costs_no_row(unbroken, portraits, tmp_path, monkeypatch):
    folder, resumed = tmp_path / "run", []

    def die():
        raise Kill

    for place, minutes in (((0, 1), 0), ((1, 0), "null")):  # the second goes on from the end of the epoch
        with monkeypatch.context() as patch:
            at_batch(patch, *place, die)
            patch.setattr(LastCheckpoint, "on_exception", lambda *_: None)
            with pytest.raises(Kill):
                train(portraits, folder, "trainer.max_epochs=2", f"callbacks.last.every_n_minutes={minutes}", *resumed)
        resumed = [f"ckpt={folder}/checkpoints/last.ckpt"]
    assert train(portraits, folder, "trainer.max_epochs=2", *resumed) == 0
    expect_equal(folder, unbroken)


@pytest.mark.parametrize("moment", ["inside an epoch", "behind its checkpoint"])
def test_a_kill_costs_nothing_of_what_an_epoch_logs_at_its_end(moment, portraits, tmp_path, monkeypatch):
    options = ["trainer.max_epochs=2", "callbacks.gradient_shares.every_n_batches=2", "~data.tests"]
    assert train(portraits, tmp_path / "whole", *options) == 0
    folder, save = tmp_path / "run", LastCheckpoint.on_train_epoch_end

    def die(callback=None, trainer=None, module=None):
        if trainer is not None:
            save(callback, trainer, module)
        raise Kill

    with monkeypatch.context() as patch:
        if moment == "inside an epoch":
            at_batch(patch, 0, 1, die)
        else:
            patch.setattr(LastCheckpoint, "on_train_epoch_end", die)
        patch.setattr(LastCheckpoint, "on_exception", lambda *_: None)
        with pytest.raises(Kill):
            train(portraits, folder, *options, "callbacks.last.every_n_minutes=0")
    assert train(portraits, folder, *options, f"ckpt={folder}/checkpoints/last.ckpt") == 0
    expect_equal(folder, tmp_path / "whole")
    assert sum(any("gradient_share" in key for key in row) for row in rows(folder)) == 2


def test_a_run_that_was_killed_while_it_was_tested_is_tested_again_in_its_rows(unbroken, portraits, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(unbroken, folder)
    (folder / "results.json").unlink()
    assert train(portraits, folder, "trainer.max_epochs=2", f"ckpt={folder}/checkpoints/last.ckpt") == 0
    expect_equal(folder, unbroken)


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1"])
def test_a_signal_saves_and_says_which_it_was(name, unbroken, portraits, tmp_path, monkeypatch):
    folder, number = tmp_path / "run", getattr(signal, name)
    with monkeypatch.context() as patch:
        at_batch(patch, 1, 0, lambda: os.kill(os.getpid(), number))
        assert train(portraits, folder, "trainer.max_epochs=2") == 128 + number
    assert train(portraits, folder, "trainer.max_epochs=2", f"ckpt={folder}/checkpoints/last.ckpt") == 0
    expect_equal(folder, unbroken)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG, errno.EROFS])
def test_what_cannot_be_written_is_told_and_leaves_the_last_checkpoint(code, tmp_path, monkeypatch):
    path, save = tmp_path / "last.ckpt", torch.save
    AtomicCheckpointIO().save_checkpoint({"a": torch.ones(3)}, path)
    before = path.read_bytes()

    def fail(content, file):
        save({"half": 1}, file)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(InputError, match=r"last\.ckpt: cannot be written"):
        AtomicCheckpointIO().save_checkpoint({"a": torch.zeros(3)}, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_file_that_breaks_off_under_the_writer_is_told_as_lack_of_room(tmp_path):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, limit[1]))  # the writer finds out as on a full disk
    try:
        with pytest.raises(InputError, match=r"last\.ckpt: cannot be written .*; free some disk space"):
            AtomicCheckpointIO().save_checkpoint({"a": torch.zeros(2_000_000)}, tmp_path / "last.ckpt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_ends_a_training_in_one_line(portraits, tmp_path, monkeypatch, capsys):
    def fail(content, file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(torch, "save", fail)
    assert train(portraits, tmp_path / "run", "trainer.max_epochs=1") == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("p3m: ")]
    assert said == [said[0]]
    assert "No space left on device" in said[0]
    assert "free some disk space" in said[0]


def test_temporary_files_lie_beside_the_checkpoint_and_not_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    AtomicCheckpointIO().save_checkpoint({"a": 1}, tmp_path / "run" / "last.ckpt")
    assert torch.load(tmp_path / "run" / "last.ckpt") == {"a": 1}


def test_a_copied_run_goes_on_in_its_own_folder(portraits, tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    assert train(portraits, old, "trainer.max_epochs=1") == 0
    shutil.copytree(old, new)
    (old / "checkpoints/best.ckpt").write_bytes(b"read by mistake")
    before = {path: path.read_bytes() for path in sorted(old.rglob("*")) if path.is_file()}
    resume = f"ckpt={new}/checkpoints/last.ckpt"
    assert train(portraits, new, "trainer.max_epochs=1", resume) == 0
    assert json.loads((new / "results.json").read_text())["checkpoint"] == "best.ckpt"
    assert train(portraits, new, "trainer.max_epochs=2", resume) == 0
    assert {path: path.read_bytes() for path in sorted(old.rglob("*")) if path.is_file()} == before
    states = last(new)["callbacks"]
    assert str(old) not in str(states)
    best = next(state for key, state in states.items() if "val/sad" in key)
    assert best["best_model_path"] == "<run>/checkpoints/best.ckpt"


def test_of_a_best_checkpoint_that_was_not_copied_along_nothing_is_known(tmp_path):
    old, place = str(tmp_path / "old"), tmp_path / "new"
    state = {"dirpath": old, "best_model_path": f"{old}/best.ckpt", "best_k_models": {f"{old}/best.ckpt": 1.0}}
    trainer = SimpleNamespace(ckpt_path=str(place / "last.ckpt"))
    checkpoint = {"callbacks": {"best": dict(state)}}
    LastCheckpoint(place).on_load_checkpoint(trainer, None, checkpoint)
    assert checkpoint["callbacks"]["best"]["best_model_path"] == ""
    assert old not in str(checkpoint)
    checkpoint = {"callbacks": {"best": dict(state)}}
    LastCheckpoint(old).on_load_checkpoint(trainer, None, checkpoint)  # the file alone was elsewhere for a while
    assert checkpoint["callbacks"]["best"] == state


def test_a_best_checkpoint_that_was_deleted_is_passed_over(tmp_path):
    best, last = ModelCheckpoint(dirpath=tmp_path), ModelCheckpoint(dirpath=tmp_path)
    best.best_model_path, last.best_model_path = str(tmp_path / "best.ckpt"), str(tmp_path / "last.ckpt")
    trainer = SimpleNamespace(checkpoint_callbacks=[best, last])
    (tmp_path / "last.ckpt").touch()
    with pytest.warns(UserWarning, match=r"best\.ckpt: has been deleted"):
        assert chosen_checkpoint(trainer) == str(tmp_path / "last.ckpt")
    (tmp_path / "best.ckpt").touch()
    assert chosen_checkpoint(trainer) == str(tmp_path / "best.ckpt")


def test_lightning_loads_a_checkpoint_without_a_trainer(unbroken):
    net = create_model("p3mnet_r34", width=0.125)
    path = unbroken / "checkpoints/last.ckpt"
    module = MattingModule.load_from_checkpoint(path, net=net, infer=infer)
    assert module.net is net
    saved = torch.load(path, weights_only=True)["state_dict"]
    assert all(torch.equal(value, saved[f"net.{key}"]) for key, value in net.state_dict().items())
