"""Evaluation shared by processes over gloo; forked ones, which need not import everything again."""

import pytest
from pytorch_lightning import seed_everything

from p3m_lightning.configuration import compose_run
from p3m_lightning.training.run import build, build_module, build_trainer, with_mode

TINY = ["experiment=p3m_synthetic", "data=synthetic", "trainer=cpu", "logger=none", "model.width=0.125"]
TINY += ["data.num_workers=0", "data.prepare=null", "data.tests.P3M-500-P.limit=3"]
TINY += [f"callbacks.{name}=null" for name in ("best", "last", "pictures", "mattes", "learning_rate", "progress")]


def scores(portraits, folder, processes):
    """All test metrics of an untrained network, by set: 3 and 4 images."""
    strategy = ["+trainer.strategy=ddp_fork"] if processes > 1 else []
    overrides = [*TINY, *strategy, f"trainer.devices={processes}", f"paths.data={portraits}"]
    config = compose_run("train", overrides, folder)
    seed_everything(0, verbose=False)
    net = build(config["model"])
    config = with_mode(config, net)
    return build_trainer(config).test(build_module(config, net), build(config["data"]), verbose=False)


def test_metrics_of_two_and_three_processes_are_those_of_one(portraits, tmp_path):
    alone = scores(portraits, tmp_path, 1)
    assert sum(len(found) for found in alone) >= 20
    for processes in (2, 3):
        for ours, theirs in zip(scores(portraits, tmp_path, processes), alone, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-9)
