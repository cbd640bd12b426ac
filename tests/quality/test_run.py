import json

import pytest
import torch

from p3m_lightning import compose_run
from p3m_lightning.configuration.quoting import quoted
from p3m_lightning.quality import Judge
from p3m_lightning.quality.run import train_quality
from p3m_lightning.schema import InputError

SMALL = [
    "data.prepare.train=6",
    "data.prepare.test=2",
    "data.prepare.size=128",
    "data.holdout=2",
    "data.batch_size=2",
    "data.num_workers=0",
    "data.train.transform.count=2",
    "data.eval_transform.count=2",
    "model.width=8",
    "model.short_side=64",
    "trainer.accelerator=cpu",
    "callbacks.progress=null",
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("quality")


def run(root, name, *overrides):
    return train_quality(compose_run("quality", [f"paths.data={root / 'data'}", *SMALL, *overrides], root / name))


def state(root, name):
    return torch.load(root / name / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def test_a_run_goes_on_where_it_stopped_and_leaves_a_head(root):
    constant = "scheduler=constant"
    results = run(root, "whole", constant, "trainer.max_epochs=2")
    run(root, "parts", constant, "trainer.max_epochs=1")
    run(root, "parts", constant, "trainer.max_epochs=2", f"ckpt={root / 'parts/checkpoints/last.ckpt'}")
    whole, parts = state(root, "whole"), state(root, "parts")
    assert all((whole[key] == parts[key]).all() for key in whole)
    assert -1 <= results["spearman"] <= 1
    assert json.loads((root / "whole/results.json").read_text())["spearman"] == results["spearman"]
    assert Judge(root / "whole/head.safetensors", "cpu").short_side == 64


def test_a_checkpoint_of_something_else_is_refused(root, checkpoint):
    with pytest.raises(InputError, match="holds a network called p3mnet_r34; give a checkpoint of p3m quality train"):
        run(root, "other", f"ckpt={checkpoint}")
    with pytest.raises(InputError, match="ckpt=: no file is named"):
        run(root, "other", "ckpt=''")
    assert not (root / "other").exists()


def test_a_resume_with_other_settings_is_refused_and_writes_nothing(root):
    run(root, "begun", "trainer.max_epochs=1")
    written = {path: path.read_bytes() for path in (root / "begun").rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=r"a run keeps its settings, but optimizer\.lr was"):
        run(root, "begun", f"ckpt={root / 'begun/checkpoints/last.ckpt'}", "trainer.max_epochs=2", "optimizer.lr=1e-5")
    assert written == {path: path.read_bytes() for path in (root / "begun").rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.width=abc", "model.width"),
        ("recipe.own=2", "recipe.own=2: give a number from 0 to 1"),
        ("recipe.ranking=-1", "recipe.ranking=-1: give a number from 0 up"),
        ("model.short_side=100", "size=100: give a multiple of 32"),
        ("data.train.transform.kinds=[halo]", "halo: choose from binary"),
        ("seed=-1", "seed"),
    ],
)
def test_wrong_values_are_named(root, override, message):
    with pytest.raises(InputError, match=message):
        run(root, "wrong", override)


def test_the_newest_run_is_resumed_by_its_name(root):
    from p3m_lightning.cli.shared.resuming import resume_last

    checkpoint = root / "out/mine/2026/checkpoints/last.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    overrides = resume_last(["ckpt=last", f"paths.output={root / 'out'}", "experiment_name=mine"], "quality")
    assert overrides[-2:] == [f"ckpt={quoted(checkpoint)}", f"hydra.run.dir={quoted(checkpoint.parents[1])}"]
