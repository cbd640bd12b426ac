"""MODNet's adaptation: the earlier outputs are provided, and normalization statistics are fixed."""

from types import SimpleNamespace

import pytest
import torch

from p3m_lightning.losses import MODNetConsistencyLoss
from p3m_lightning.models import create_model
from p3m_lightning.schema import InputError
from p3m_lightning.training.callbacks.adaptation import KeepBefore
from tiny_networks import TINY


def adapt(steps: int):
    """Train a narrow MODNet on one picture; returns it, the callback, and the batch and loss terms of every step."""
    torch.manual_seed(0)
    net = create_model("modnet", **TINY["modnet"]).train()
    module = SimpleNamespace(net=net, config={"init_from": "trained.ckpt"})
    callback, loss = KeepBefore(), MODNetConsistencyLoss()
    callback.setup(None, module, "fit")
    optimizer = torch.optim.Adam(module.net.parameters(), lr=1e-3)
    picture, history = torch.rand(1, 3, 64, 64), []
    for index in range(steps):
        batch = {"image": picture}
        callback.on_train_batch_start(None, module, batch, index)
        terms = loss(module.net(picture), batch)
        optimizer.zero_grad()
        (100 * terms["semantic"] + terms["detail"]).backward()
        optimizer.step()
        history.append((batch["before"], {name: term.item() for name, term in terms.items()}))
    return module.net, history


def test_the_copy_says_the_same_in_every_step_while_the_network_moves():
    _, history = adapt(steps=3)
    first, last = history[0][0], history[-1][0]
    assert torch.equal(first.alpha, last.alpha)
    assert not last.alpha.requires_grad
    assert history[0][1]["detail"] < 1e-6 < history[-1][1]["detail"]


def test_a_run_from_random_weights_is_refused():
    with pytest.raises(InputError, match="init_from"):
        KeepBefore().setup(None, SimpleNamespace(net=torch.nn.Identity(), config={"init_from": None}), "fit")


def test_branches_come_to_agree():
    _, history = adapt(steps=25)
    assert history[-1][1]["semantic"] < 0.5 * history[0][1]["semantic"]


def test_running_statistics_stay():
    torch.manual_seed(0)
    fresh = create_model("modnet", **TINY["modnet"])
    net, _ = adapt(steps=1)
    statistics = [key for key in net.state_dict() if "running" in key]
    assert statistics
    assert all(torch.equal(net.state_dict()[key], fresh.state_dict()[key]) for key in statistics)
