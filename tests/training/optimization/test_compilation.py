"""Networks that compile themselves while they train; `eager` traces as every backend does and computes as before."""

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from brief_training import BRIEF, train
from p3m_lightning import create_model
from p3m_lightning.cli import main
from p3m_lightning.schema import InputError
from p3m_lightning.training.optimization.compilation import as_input_error, as_it_is, compile_in_place, is_compiled


@pytest.fixture
def traced(monkeypatch):
    """A backend called `counting` that runs what it is given as it is; returns the list of what it was given."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setitem(torch._dynamo.backends.registry._COMPILER_FNS, "counting", backend)
    monkeypatch.setitem(torch._dynamo.backends.registry._BACKENDS, "counting", None)
    return graphs


def last(folder: Path) -> dict:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in one.items())


def test_a_network_compiles_itself_and_keeps_its_names(traced):
    net, images = create_model("p3mnet_r34", width=0.125).eval(), torch.rand(1, 3, 64, 64)
    names, expected = list(net.state_dict()), net(images).alpha
    compile_in_place(net, "counting")
    assert torch.equal(net(images).alpha, expected)
    assert len(traced) == 1
    assert list(net.state_dict()) == names
    assert is_compiled(net)
    assert not is_compiled(copy.deepcopy(net))


def test_whole_pictures_are_not_compiled_for(traced):
    net = create_model("p3mnet_r34", width=0.125).eval()
    compile_in_place(net, "counting")
    with as_it_is(net):
        assert net(torch.rand(1, 3, 40, 70)).alpha.shape == (1, 1, 40, 70)
    assert not traced


def test_a_backend_that_is_not_there_is_named():
    with pytest.raises(InputError, match=r"compile_backend=inducter: choose from .*inductor.* did you mean inductor"):
        compile_in_place(create_model("p3mnet_r34", width=0.125), "inducter")


@pytest.mark.slow
def test_a_compiled_training_ends_where_a_plain_one_ends_and_either_resumes_the_other(portraits, tmp_path, traced):
    plain, mixed = tmp_path / "plain", tmp_path / "mixed"
    brief = ["scheduler=constant", "~data.tests", "callbacks.gradient_shares.every_n_batches=1", "callbacks.best=null"]
    assert train(portraits, plain, "trainer.max_epochs=2", *brief) == 0
    assert train(portraits, mixed, "trainer.max_epochs=1", "compile=true", "compile_backend=counting", *brief) == 0
    assert traced  # several backward passes through one graph: the shares of the terms
    resumed = [f"ckpt={mixed / 'checkpoints' / 'last.ckpt'}", "trainer.max_epochs=2"]
    assert train(portraits, mixed, *resumed, *brief) == 0
    assert same(last(mixed)["state_dict"], last(plain)["state_dict"])


def test_what_cannot_be_compiled_is_one_line():
    def backend(graph, inputs):
        raise ValueError("no compiler\nin this machine")

    net = create_model("p3mnet_r34", width=0.125)
    net.compile(backend=backend)
    with pytest.raises(RuntimeError) as caught:
        net(torch.rand(2, 3, 64, 64))
    error = str(as_input_error(caught.value))
    assert error.startswith("compile: this network cannot be compiled here (")
    assert "no compiler" in error
    assert "\n" not in error
    assert as_input_error(RuntimeError("out of memory")) is None


@pytest.mark.parametrize("verb", ["train", "gan train"])
def test_an_unknown_backend_is_refused_by_the_commands(portraits, tmp_path, capsys, verb):
    where = [f"paths.data={portraits}", f"hydra.run.dir={tmp_path / 'run'}", "compile=true", "compile_backend=none"]
    gan = ["experiment=gan_synthetic", "data.prepare=null", f"paths.backgrounds={portraits}", "trainer=cpu"]
    code = train(portraits, tmp_path / "run", *where[2:]) if verb == "train" else main([*verb.split(), *gan, *where])
    assert code == 2
    assert "compile_backend=none: choose from" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="no compiler")
def test_kernels_of_the_compiler_give_the_gradients_of_several_losses():
    torch.manual_seed(0)
    plain = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Conv2d(8, 1, 3))
    compiled, images = copy.deepcopy(plain), torch.rand(2, 3, 32, 32)
    compile_in_place(compiled)
    found = []
    for net in (plain, compiled):
        maps = net(images)
        losses, parameters = (maps.mean(), maps.square().mean()), list(net.parameters())
        found.append([torch.autograd.grad(loss, parameters, retain_graph=True) for loss in losses])
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_two_processes_compile_and_stay_alike(portraits, tmp_path):
    """Graphs are split where DDP gathers gradients; several backward passes go through each."""
    compiled = ["compile=true", "compile_backend=eager"]  # aot_eager rounds otherwise: 0.003 after an epoch of Adam
    runs = {"plain": [], "compiled": [*compiled, "callbacks.gradient_shares.every_n_batches=1"]}
    found = {}
    for name, overrides in runs.items():
        arguments = [*BRIEF, f"paths.data={portraits}", f"hydra.run.dir={tmp_path / name}", "trainer=ddp_sim"]
        done = subprocess.run(
            [sys.executable, "-m", "p3m_lightning", "train", *arguments, "trainer.max_epochs=1", *overrides],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        found[name] = last(tmp_path / name)["state_dict"]
    for key, value in found["plain"].items():
        torch.testing.assert_close(found["compiled"][key], value, rtol=1e-2, atol=1e-3)
    assert json.loads((tmp_path / "compiled" / "gradient_shares.json").read_text())
