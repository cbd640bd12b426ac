"""The recipes of CONTRIBUTING.md work."""

import doctest
import re
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hydra.utils import instantiate

from p3m_lightning import compose_run, create_model
from p3m_lightning.data.cards import DATASETS
from p3m_lightning.metrics.functional import CONVENTIONS
from p3m_lightning.models import MODELS, ModelCard
from p3m_lightning.schema import MattingOutput

PAGE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text()
RECIPES = dict(re.findall(r"<!-- run: ([\w ]+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture
def module(monkeypatch):
    """Run a recipe as the module that the page says it is, and forget afterwards what it registers."""
    monkeypatch.setitem(MODELS, "toy", None)
    monkeypatch.setitem(CONVENTIONS, "overlap", None)
    monkeypatch.setitem(DATASETS, "heads", None)

    def run(recipe: str, name: str) -> types.ModuleType:
        made = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, made)
        exec(compile(RECIPES[recipe], recipe, "exec"), made.__dict__)
        return made

    return run


@pytest.fixture
def composed(tmp_path):
    """Compose a training with one of the page's configuration files in a folder of the user's."""

    def compose(recipe: str, group: str, name: str, *overrides: str) -> dict:
        folder = tmp_path / "conf" / group
        folder.mkdir(parents=True)
        (folder / f"{name}.yaml").write_text(RECIPES[recipe])
        search = f"hydra.searchpath=[file://{tmp_path}/conf]"
        return compose_run("train", [search, f"{group}={name}", *overrides], tmp_path / "run")[group]

    return compose


def test_a_network_is_a_file_a_line_and_a_config(module, composed):
    module("network", "p3m_lightning.models.toy")
    exec(RECIPES["network line"], {"MODELS": MODELS, "ModelCard": ModelCard})
    net = instantiate(composed("network config", "model", "toy")).train()
    assert type(net) is type(create_model("toy"))
    alpha = net(torch.rand(2, 3, 33, 20)).alpha
    alpha.mean().backward()
    assert alpha.shape == (2, 1, 33, 20)
    assert all(p.grad is not None for p in net.parameters())


def test_a_loss_is_a_class_and_its_weights(module, composed):
    module("loss", "p3m_lightning.losses.squared")
    config = composed("loss config", "loss", "squared")
    terms = instantiate(config["function"])(
        MattingOutput(torch.zeros(1, 1, 4, 4)), {"alpha": torch.full((1, 1, 4, 4), 0.5)}
    )
    assert terms.keys() == config["weights"].keys()
    assert float(terms["squared"]) == 0.25


def test_a_metric_is_a_convention(module):
    made = module("metric", "p3m_lightning.metrics.overlap")
    result = doctest.testmod(made)
    assert (result.attempted, result.failed) == (1, 0)
    values = CONVENTIONS["overlap"].measure(np.ones((2, 2)), np.ones((2, 2)), None)
    assert values.keys() == CONVENTIONS["overlap"].definitions.keys()


def test_a_data_set_is_a_card_and_a_config(module, composed, tmp_path):
    for split in ("train", "test"):
        for folder, shape in (("photo", (600, 600, 3)), ("matte", (600, 600))):
            place = tmp_path / "heads" / split / folder
            place.mkdir(parents=True)
            for name in "ab":
                cv2.imwrite(str(place / f"{name}.png"), np.full(shape, 255, np.uint8))
    module("data set", "p3m_lightning.data.heads")
    config = composed("data set config", "data", "heads", f"paths.data={tmp_path / 'heads'}", "data.num_workers=0")
    data = instantiate(config, _convert_="all")
    data.setup("fit")
    assert len(data.train_set) == 1  # the other is held out
    assert [len(one) for one in data.test_sets.values()] == [2]
