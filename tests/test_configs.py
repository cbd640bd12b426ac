"""Every configuration file composes, with keys that its constructor accepts."""

import inspect
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_module
from hydra.utils import get_object, instantiate
from omegaconf import OmegaConf

from p3m_lightning.cli import VERBS
from p3m_lightning.losses import P3MLoss
from p3m_lightning.models import MODELS

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
EXPERIMENTS = sorted(p.stem for p in (CONF / "experiment").glob("*.yaml"))
GROUPS = dict.fromkeys(("data", "model", "loss", "optimizer", "scheduler", "trainer", "logger", "callbacks"), "train")
GROUPS |= dict.fromkeys(("generator", "discriminator", "vision", "distance"), "gan")
OPTIONS = [
    (group, path.stem)
    for group in GROUPS
    for path in sorted((CONF / group).glob("*.yaml"))
    if not path.stem.startswith("_")
]


def composed(*overrides, name="train"):
    with initialize_config_module("p3m_lightning.conf", version_base="1.3"):
        return compose(name, overrides=list(overrides), return_hydra_config=True)


def targets(node):
    """All `_target_` dictionaries of a tree."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield node
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from targets(value)


def resolved(config) -> dict:
    """The tree without Hydra's own part, whose run folder is known only in a run."""
    config.hydra.runtime.output_dir = "outputs/run"
    whole = OmegaConf.to_container(config, resolve=False)
    del whole["hydra"]
    return whole


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_key_is_an_argument_of_its_constructor(group, option):
    tree = resolved(composed(f"{group}={option}", name=GROUPS[group]))
    for node in targets(tree):
        parameters = inspect.signature(get_object(node["_target_"])).parameters
        if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            continue
        keys = {key for key in node if key not in ("_target_", "_partial_", "_convert_", "_recursive_")}
        assert keys <= parameters.keys(), node["_target_"]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_says_its_command_first(experiment):
    command = (CONF / "experiment" / f"{experiment}.yaml").read_text().splitlines()[1]
    verb = re.match(rf"# p3m (\w+) (train )?(-m )?experiment={experiment}\b", command)[1]
    config = composed(f"experiment={experiment}", name=verb)
    named_by_checkpoint = verb == "train" and config.get("model") is None and config.init_from
    assert verb != "train" or named_by_checkpoint or config.model.name in MODELS


def test_released_weights_add_up_as_the_authors_wrote_them():
    weights = composed("experiment=p3m_released").loss.weights
    assert weights.semantic == pytest.approx(3 / 6)
    assert weights.side0 == pytest.approx(1 / 6)
    assert (weights.detail_alpha, weights.fusion_alpha) == (2, 3)
    assert composed("experiment=p3m_paper").loss.weights.fusion_alpha == 2


def test_a_partial_optimizer_is_a_factory():
    import torch

    factory = instantiate(resolved(composed("optimizer=adam"))["optimizer"], _convert_="all")
    assert isinstance(factory([torch.nn.Parameter(torch.zeros(1))]), torch.optim.Adam)


def test_loss_of_a_configuration_is_built_from_its_function():
    config = resolved(composed("loss=released"))
    assert isinstance(instantiate(config["loss"]["function"]), P3MLoss)


def test_yaml_files_hold_no_tabs_and_parse():
    for path in CONF.rglob("*.yaml"):
        text = path.read_text()
        assert "\t" not in text, path
        yaml.safe_load(text)


@pytest.mark.parametrize("verb", VERBS)
def test_help_answers_without_torch_and_shows_an_example(verb):
    code = f"import sys; from p3m_lightning.cli import main; sys.argv = ['p3m', {verb!r}, '--help']; main()"
    command = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    assert not re.search(r"\| +torch$", done.stderr, re.MULTILINE)
    assert f"p3m {verb}" in done.stdout


def test_wheel_brings_its_configuration_and_runs_from_an_empty_folder(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    wheel = next(tmp_path.glob("p3m_lightning-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if name.endswith(".yaml")}
        archive.extractall(tmp_path / "site")
    assert {f"p3m_lightning/conf/{p.relative_to(CONF).as_posix()}" for p in CONF.rglob("*.yaml")} == shipped
    empty = tmp_path / "empty"
    empty.mkdir()
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop()); import p3m_lightning;"
        "from p3m_lightning.configuration import compose;"
        "print(p3m_lightning.__file__, compose('train', ['experiment=p3m_released']).trainer.max_epochs)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "site")], cwd=empty, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "site" / "p3m_lightning" / "__init__.py"), "150"]
