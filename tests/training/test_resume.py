"""Settings that may differ in a resumed run, and files that a refused one leaves unchanged."""

import shutil

import pytest
import torch

from brief_training import train
from p3m_lightning.configuration import current_targets
from p3m_lightning.schema import InputError
from p3m_lightning.training.resume import changed_keys, verify_resume


@pytest.fixture(scope="module")
def trained(portraits, tmp_path_factory):
    """The run folder of two epochs."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert train(portraits, folder, "trainer.max_epochs=2") == 0
    return folder


@pytest.fixture
def resume(trained, portraits, tmp_path, capsys):
    """Resume a copy of the run; returns the exit code, what was said, and the copy."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)

    def call(*overrides):
        capsys.readouterr()
        code = train(portraits, folder, f"ckpt={folder}/checkpoints/last.ckpt", "trainer.max_epochs=3", *overrides)
        return code, capsys.readouterr().err, folder

    return call


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("frozen=[encoder.*]", "frozen was [], is now ['encoder.*']"),
        ("optimizer=sgd", "optimizer._target_ was 'torch.optim.AdamW', is now 'torch.optim.SGD'"),
        ("optimizer.lr=1e-5", "optimizer.lr was 0.002, is now 1e-05"),
        ("+optimizer.amsgrad=true", "optimizer.amsgrad was None, is now True"),
        ("scheduler=constant", "scheduler.factory"),
        ("loss.weights.semantic=9", "loss.weights.semantic was 3"),
        ("data.batch_size=3", "data.batch_size was 2, is now 3"),
        ("seed=5", "seed was 0, is now 5"),
        ("trainer.precision=bf16-mixed", "trainer.precision was '32-true'"),
        ("model.width=0.25", "is made for another network"),
        ("trainer.max_epochs=1", "its training is in epoch 2, beyond trainer.max_epochs=1"),
        ("trainer.max_steps=2", "its training is in step 4, beyond trainer.max_steps=2"),
    ],
)
def test_a_change_that_would_not_take_effect_is_refused_and_nothing_is_written(resume, trained, override, named):
    code, said, folder = resume(override)
    assert code == 2
    assert said.count("\n") == 1
    assert named in said
    assert contents(folder) == contents(trained)


def test_a_longer_training_goes_on_with_its_moments(resume, trained):
    before = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    code, _, folder = resume("data.num_workers=1", "data.tests={}")
    after = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    assert code == 0
    assert after["global_step"] == before["global_step"] * 3 // 2
    steps = [int(state["step"]) for state in after["optimizer_states"][0]["state"].values()]
    assert set(steps) == {after["global_step"]}


def test_a_checkpoint_without_optimizer_is_not_resumed(resume, trained, tmp_path):
    content = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    torch.save({**content, "optimizer_states": []}, tmp_path / "bare.ckpt")
    code, said, _ = resume(f"ckpt={tmp_path}/bare.ckpt")
    assert code == 2
    assert "holds no optimizer state" in said
    assert "init_from=" in said


DAMAGE = {
    "an optimizer that is no mapping": ("optimizer_states", 0, [1]),
    "moments that are missing": ("optimizer_states", 0, "state", None),
    "parameters of another number": ("optimizer_states", 0, "param_groups", []),
    "a step that is no number": ("global_step", "x"),
    "progress that is no mapping": ("loops", "fit_loop", "epoch_progress", 3),
    "progress that is missing": ("loops", {}),
    "callbacks that are a text": ("callbacks", "x"),
    "a version that is none": ("pytorch-lightning_version", "x.y"),
    "a scheduler without its rates": ("lr_schedulers", 0, "base_lrs", [None]),
}
"""Keys of a checkpoint that lead to a value, and what stands there instead."""


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_state_that_cannot_be_restored_is_named_with_what_to_do(resume, trained, tmp_path, damage):
    content = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    *keys, last, value = damage
    part = content
    for key in keys:
        part = part[key]
    part[last] = value
    torch.save(content, tmp_path / "damaged.ckpt")
    code, said, _ = resume(f"ckpt={tmp_path}/damaged.ckpt")
    assert code == 2
    assert said.count("\n") == 1
    assert f"init_from={tmp_path}/damaged.ckpt starts a new run" in said


def test_moved_folders_and_younger_keys_are_no_change():
    old = {"paths": {"data": "/old"}, "data": {"train": {"root": "/old/set"}, "batch_size": 8}, "optimizer": {"lr": 1}}
    new = {
        "paths": {"data": "/new"},
        "data": {"train": {"root": "/new/set", "labels": "matte"}, "batch_size": 8},
        "optimizer": {"lr": 1},
    }
    assert list(changed_keys(new, old)) == []
    assert list(changed_keys({**new, "optimizer": {"lr": 1, "decay": 2}}, old)) == [("optimizer.decay", None, 2)]


def test_without_a_checkpoint_there_is_nothing_to_verify():
    verify_resume({"ckpt": None})
    with pytest.raises(InputError, match="no such file"):
        verify_resume({"ckpt": "gone.ckpt"})


def test_recorded_targets_have_the_names_of_today():
    old = {
        "a": {"_target_": "p3m_lightning.training.callbacks.PictureSheet"},
        "b": [{"_target_": "p3m_lightning.data.synthetic.synthesize", "root": "p3m_lightning.data.synthetic"}],
        "c": {"_target_": "p3m_lightning.inference.infer"},
    }
    new = current_targets(old)
    assert new["a"]["_target_"] == "p3m_lightning.training.callbacks.picture_sheet.PictureSheet"
    assert new["b"][0] == {"_target_": "p3m_lightning.synthetic.synthesize", "root": "p3m_lightning.data.synthetic"}
    assert new["c"] == old["c"]
