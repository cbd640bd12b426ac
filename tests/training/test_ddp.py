"""Evaluation and training shared by processes over gloo; forked ones, which need not import everything again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback, seed_everything

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


def run_apart(code, *arguments):
    """Run code in a process of its own: forks of one that has had threads wait for them forever."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=Path(__file__).parent,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_metrics_of_two_and_three_processes_are_those_of_one(portraits, tmp_path):
    code = "import json, sys, test_ddp; print(json.dumps([test_ddp.scores(*sys.argv[1:], n) for n in (1, 2, 3)]))"
    alone, *shared = json.loads(run_apart(code, portraits, tmp_path).splitlines()[-1])
    assert sum(len(found) for found in alone) >= 20
    for together in shared:
        for ours, theirs in zip(together, alone, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-9)


class Keep(Callback):
    """Write the gradients of the first step, averaged over the processes, into a file."""

    def __init__(self, path):
        self.path = path

    def on_before_optimizer_step(self, trainer, module, optimizer):
        if trainer.is_global_zero:
            torch.save({name: p.grad.clone() for name, p in module.net.named_parameters()}, self.path)


def gradients(portraits, folder, processes):
    """Gradients of one step over two images: beside each other in two processes, or one after the other in one."""
    shared = ["+trainer.strategy=ddp_fork"] if processes > 1 else ["++trainer.accumulate_grad_batches=2"]
    crops = ["data.train.transform.crop.size=64", "data.train.transform.crop.sides=[96]", "data.batch_size=1"]
    where = [f"trainer.devices={processes}", f"paths.data={portraits}", "++trainer.max_steps=1"]
    config = compose_run("train", [*TINY, *crops, *shared, *where, "~data.tests"], Path(folder))
    seed_everything(0, verbose=False)
    net = build(config["model"])
    config = with_mode(config, net)
    trainer = build_trainer(config)
    trainer.callbacks.append(Keep(Path(folder) / f"{processes}.pt"))
    trainer.fit(build_module(config, net), build(config["data"]))


def test_gradients_of_two_processes_are_those_of_one(portraits, tmp_path):
    for processes in (1, 2):
        code = f"import sys, test_ddp; test_ddp.gradients(*sys.argv[1:], {processes})"
        run_apart(code, portraits, tmp_path)
    alone, shared = (torch.load(tmp_path / f"{processes}.pt") for processes in (1, 2))
    assert alone.keys() == shared.keys()
    assert any(gradient.abs().max() > 1e-3 for gradient in alone.values())
    for name, gradient in alone.items():
        torch.testing.assert_close(shared[name], gradient, rtol=1e-4, atol=1e-6 + 1e-5 * float(gradient.abs().max()))
