"""The README's snippets, pasted in their order into one shell's folder; trainings are made brief, nothing else is."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from p3m_lightning.synthetic import synthesize

README = (Path(__file__).parents[1] / "README.md").read_text()
TASKS = README.split("## Six tasks")[1].split("## Ten lines")[0]
SNIPPETS = re.findall(r"\*\*([^*]+)\.\*\*.*?```sh\n(.*?)```", TASKS, re.DOTALL)

BRIEF = "trainer=cpu trainer.max_epochs=1 trainer.check_val_every_n_epoch=1 data.num_workers=0 data.batch_size=2"
BRIEF += " data.holdout=2"
QUICK = (
    "data.prepare.train=6 data.prepare.test=2 data.prepare.size=128 data.train.datasets.blurred.transform.crop.size=64"
)
SHIM = f"""#!/bin/bash
# p3m, but trainings take seconds
case " $* " in
    *" --cfg "*) ;;
    *" experiment=p3m_quick "*) set -- "$@" {BRIEF} {QUICK} ;;
    *" experiment=p3m_released "*) set -- "$@" {BRIEF} data.train.transform.crop.size=64 model.width=0.125 ;;
    " ppt ") set -- ppt models=[closed_form] test_on=[B,N] --cfg job ;;
esac
exec {sys.executable} -m p3m_lightning "$@"
"""


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A folder with the commands on the path."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "bin").mkdir()
    for name, script in {"p3m": SHIM, "python": f'#!/bin/sh\nexec {sys.executable} "$@"\n'}.items():
        (folder / "bin" / name).write_text(script)
        (folder / "bin" / name).chmod(0o755)
    synthesize(folder / "P3M-10k", train=6, test=2, size=128, seed=1, workers=1)
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "P3M": str(folder / "P3M-10k"), "OMP_NUM_THREADS": "1"}

    def run(commands: str) -> str:
        done = subprocess.run(
            ["bash", "-e", "-c", commands], cwd=folder, env=environment, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, done.stderr[-1500:]
        return done.stdout

    return run


def test_there_are_six_tasks_of_three_lines():
    assert len(SNIPPETS) == 6
    assert all(len(commands.strip().splitlines()) <= 3 for _, commands in SNIPPETS)


def test_a_photograph_and_its_matte(shell):
    title, commands = SNIPPETS[0]
    assert "photograph" in title
    assert shell(commands).count("photo.png") == 3


@pytest.mark.slow
@pytest.mark.parametrize(("title", "commands"), SNIPPETS, ids=[title for title, _ in SNIPPETS])
def test_every_task_runs_when_pasted_in_order(shell, title, commands):
    if "Blur" in title:
        pytest.importorskip("dlib")
    shell(commands)


def test_the_python_snippet_runs(tmp_path, monkeypatch):
    import torch
    from matplotlib.cbook import get_sample_data

    monkeypatch.chdir(tmp_path)
    shutil.copy(get_sample_data("grace_hopper.jpg", asfileobj=False), "photo.jpg")
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    code = code.replace('"p3mnet_r34")', '"p3mnet_r34", width=0.125)')  # the same network, narrow
    known = {"images": torch.rand(1, 3, 64, 64)}
    exec(code, known)
    assert known["matte"].alpha.shape == known["matte"].image.shape[:2]
    assert known["out"].alpha.shape == (1, 1, 64, 64)


def test_every_extra_of_the_table_is_declared():
    from configparser import ConfigParser

    setup = ConfigParser(interpolation=None)
    setup.read(Path(__file__).parents[1] / "setup.cfg")
    table = README.split("| extra | for |")[1].split("\n\n")[0]
    named = {name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert named == set(setup["options.extras_require"]) - {"test", "docs"}
