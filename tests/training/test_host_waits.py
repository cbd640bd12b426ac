"""Training steps that never wait for the device: nothing is fetched from it, no constant is copied to it."""

import sys
import traceback
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import brief_training
from p3m_lightning import create_model
from p3m_lightning.experiments.bench.step import random_batch
from p3m_lightning.gan.host_values import HostValue
from p3m_lightning.losses import AlphaLoss, GFMLoss, P3MLoss
from p3m_lightning.losses.modnet import MODNetLoss
from p3m_lightning.training.callbacks.finite_numbers import FiniteNumbers
from tiny_networks import TINY

FETCHES = ("_local_scalar_dense", "equal", "nonzero", "is_nonzero", "masked_select")


class Waits(TorchDispatchMode):
    """Notes the operations for which a host would wait for a GPU."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name, result = function.overloadpacket.__name__, function(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
        devices = {tensor.device.type for tensor in tensors}
        indices = tree_leaves(args[1]) if name in ("index", "index_put_") else []
        by_mask = any(index is not None and index.dtype == torch.bool for index in indices)
        copied = name in ("copy_", "_to_copy") and devices == {"cpu", "meta"}
        constant = name == "lift_fresh" and devices == {"meta"}
        if name in FETCHES or by_mask or copied or constant:
            self.found.append(f"{function} {traceback.extract_stack()[-8:-1]}")
        return result


def test_what_waits_is_seen():
    with Waits() as waits:
        float(torch.ones(3).sum())
        torch.ones(3)[torch.ones(3) > 2]
        torch.zeros(1, device="meta").new_tensor([1.0])
        torch.zeros(1).to("meta")
    assert len(waits.found) == 4


LOSSES = {"p3mnet_r34": P3MLoss, "basic": P3MLoss, "gfm_r34_tt": GFMLoss, "modnet": MODNetLoss, "p3mnet": AlphaLoss}


@pytest.mark.parametrize("name", LOSSES)
def test_forward_and_backward_pass_wait_for_nothing(name, monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # meta has none
    net = create_model(name, **TINY.get(name, {})).to("meta")
    batch = {key: v.to("meta") if isinstance(v, torch.Tensor) else v for key, v in random_batch(2, 64).items()}
    with Waits() as waits:
        terms = LOSSES[name]()(net(batch["image"]), batch)
        torch.stack(list(terms.values())).sum().backward()
    assert not waits.found
    assert sum(parameter.grad is not None for parameter in net.parameters()) > 10


class Watch(Callback):
    """Watches the steps of a training but the first; what Lightning does at the end of an epoch is not one."""

    waits = Waits()
    steps = 0

    def on_train_batch_start(self, trainer, module, batch, index):
        if index == 1:
            Watch.steps += 1
            self.waits.__enter__()

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        if index == 1:
            self.waits.__exit__(None, None, None)


def test_a_step_with_its_callbacks_waits_for_nothing(portraits, tmp_path, monkeypatch):
    monkeypatch.setattr(FiniteNumbers, "setup", lambda self, *_, **__: setattr(self, "lags", True))  # as on a GPU
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    options = ["callbacks.progress=null", "trainer.log_every_n_steps=50", "trainer.max_epochs=1"]
    options += [
        "+callbacks.clipping._target_=p3m_lightning.training.optimization.gradient_clipping.AdaptiveGradientClipping"
    ]
    options += ["+callbacks.watch._target_=test_host_waits.Watch", "optimizer.fused=true", "~data.tests"]
    options += ["data.holdout=1", "trainer.check_val_every_n_epoch=9", "callbacks.best=null"]
    assert brief_training.train(portraits, tmp_path, *options) == 0
    assert sys.modules["test_host_waits"].Watch.steps == 1
    assert not sys.modules["test_host_waits"].Watch.waits.found  # imported by its name, a module of its own


def test_a_value_is_fetched_only_after_somebody_else_wrote_it():
    value, tensor = HostValue(), torch.zeros((), dtype=torch.int64)
    assert value.of(tensor) == 0
    with Waits() as waits:
        assert value.add(tensor, 3) == 3
        assert value.of(tensor) == 3
    assert not waits.found
    assert tensor == 3
    tensor.fill_(7)
    assert value.of(tensor) == 7
    assert value.of(torch.tensor(5)) == 5
