"""Evaluation shared by processes over gloo; forked ones, which need not import everything again."""

import json
import os
import subprocess
import sys
from pathlib import Path

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
    code = "import json, sys, test_ddp; print(json.dumps([test_ddp.scores(*sys.argv[1:], n) for n in (1, 2, 3)]))"
    # in a process of its own: forks of one that has had threads wait for them forever
    done = subprocess.run(
        [sys.executable, "-c", code, str(portraits), str(tmp_path)],
        cwd=Path(__file__).parent,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    alone, *shared = json.loads(done.stdout.splitlines()[-1])
    assert sum(len(found) for found in alone) >= 20
    for together in shared:
        for ours, theirs in zip(together, alone, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-9)
