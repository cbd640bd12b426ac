"""Every experiment: its network learns from its loss, and its quoted figures are comparable with a run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from p3m_lightning.configuration import compose, compose_run
from p3m_lightning.data.cards import DATASETS
from p3m_lightning.metrics.definitions import P3M
from p3m_lightning.models import create_model
from p3m_lightning.models.box import load_box
from p3m_lightning.training.quoted_figures import figures_of_recipe
from tiny_networks import TINY

FILES = sorted((Path(__file__).parents[2] / "conf" / "experiment").glob("*.yaml"))
EXPERIMENTS = [path.stem for path in FILES if path.read_text().splitlines()[1].startswith("# p3m train ")]
SIDE = 64


@pytest.fixture(params=EXPERIMENTS, scope="module")
def recipe(request) -> dict:
    """The whole configuration, with something in the place of paths that a person must give."""
    chosen = f"experiment={request.param}"
    tree = OmegaConf.to_container(compose("train", [chosen]), resolve=False)
    tree.pop("hydra")
    return compose_run("train", [chosen, *(f"{key}=somewhere" for key in missing_keys(tree))], "outputs/run")


def missing_keys(tree: dict, above: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from missing_keys(value, f"{above}{key}.")
        elif value in ("???", "${give_a_checkpoint}"):
            yield above + key


def a_batch() -> dict:
    generator = torch.Generator().manual_seed(0)
    colors = {k: torch.rand(2, 3, SIDE, SIDE, generator=generator) for k in ("image", "foreground", "background")}
    alpha = torch.rand(2, 1, SIDE, SIDE, generator=generator)
    trimap = torch.randint(0, 3, (2, 1, SIDE, SIDE), generator=generator)
    return colors | {"alpha": alpha, "trimap": trimap, "name": ["a", "b"]}


def test_its_network_learns_from_its_loss_with_its_optimizer(recipe):
    torch.manual_seed(0)
    model = recipe.get("model") or load_box()[1]["model"]  # a fine-tuning takes that of its checkpoint
    settings = {k: v for k, v in model.items() if k not in ("_target_", "pretrained")} | TINY[model["name"]]
    net = create_model(**settings).train()
    optimizer = instantiate(recipe["optimizer"])(net.parameters())
    schedule = recipe["scheduler"]
    if schedule["factory"]:
        steps = {"total_steps": 10} if schedule["needs_total_steps"] else {}
        instantiate(schedule["factory"])(optimizer, **steps)
    before = [p.detach().clone() for p in net.parameters()]
    stages = [stage for stage in (recipe["stages"] or {}).values() if stage and "loss" in stage]
    for loss in (recipe["loss"], *(stage["loss"] for stage in stages)):
        batch = a_batch()
        output = net(batch["image"], batch["trimap"]) if net.needs_trimap else net(batch["image"])
        batch["before"] = type(output)(*(p if p is None else (p + 0.1).detach() for p in output[:3]))
        function = instantiate(loss["function"])
        terms = function(output, batch)
        assert set(function.names) == terms.keys() == loss["weights"].keys()
        optimizer.zero_grad()
        sum(loss["weights"][name] * value for name, value in terms.items()).backward()
        optimizer.step()
    assert all(p.isfinite().all() for p in net.parameters())
    assert any(not torch.equal(p, q) for p, q in zip(net.parameters(), before, strict=True))


def test_what_it_quotes_is_of_a_known_set_by_known_metrics(recipe):
    for entry in recipe.get("published") or []:
        assert entry.keys() - {"ppt"} == {"source", "data", "inference", "sets"}
        assert entry["inference"] in (None, "resize", "hybrid", "native")
        splits = DATASETS[entry["data"]].splits
        for split, figures in entry["sets"].items():
            assert splits[split].count
            assert figures.keys() <= P3M.keys()
        ppt = entry.get("ppt", {})
        assert ppt.keys() <= {"B:B", "B:N", "N:B", "N:N"}
        assert all(figures.keys() <= P3M.keys() for figures in ppt.values())
        if ppt:
            assert ppt["B:B"].items() <= entry["sets"]["P3M-500-P"].items()


def test_every_row_of_the_published_table_has_its_recipe():
    quoted = {}
    for name in EXPERIMENTS:
        for entry in figures_of_recipe(name):
            for split, figures in entry["sets"].items():
                quoted.setdefault(split, set()).add(figures.get("sad"))
    assert {13.31, 8.73, 6.24, 7.57, 13.20, 15.13} <= quoted["P3M-500-P"]
    assert {16.70, 11.23, 7.59, 8.55} <= quoted["P3M-500-NP"]
