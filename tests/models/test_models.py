"""The contract of every network: one test per promise, over all registered names."""

import inspect
import pickle
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from p3m_lightning.models import MODELS, create_model, list_models, load_model
from p3m_lightning.models.weights import save_weights
from p3m_lightning.schema import InputError, MattingOutput
from tiny_networks import TINY

CONF = Path(__file__).resolve().parents[2] / "conf" / "model"

LEARNING = [name for name, card in MODELS.items() if not card.builder.startswith("classical:")]
# Tracing is slow, and the two left out are a part and a size of others.
TRACED = [
    pytest.param(name, marks=[] if name == "p3mnet_r34" else pytest.mark.slow)
    for name in LEARNING
    if name not in ("basic", "vitmatte_base")
]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads cost such small networks more than they give."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=list(MODELS))
def name(request) -> str:
    return request.param


@pytest.fixture
def net(name) -> nn.Module:
    return tiny(name)


@pytest.fixture(params=LEARNING)
def learner(request) -> nn.Module:
    return tiny(request.param)


def tiny(name: str) -> nn.Module:
    torch.manual_seed(0)
    return create_model(name, **TINY.get(name, {})).eval()


def inputs_of(net: nn.Module, height: int, width: int, batch: int = 1) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(batch, 3, height, width, generator=generator)
    if not net.needs_trimap:
        return (images,)
    trimap = torch.arange(width).mul(3).div(width, rounding_mode="floor").expand(batch, 1, height, width)
    return images, trimap.clone()


def test_names_and_papers_are_listed():
    assert list(list_models()) == list(MODELS)
    assert all(paper for paper in list_models().values())


def test_the_card_says_whether_a_trimap_is_needed(net, name):
    assert net.needs_trimap == MODELS[name].needs_trimap


@pytest.mark.parametrize(("size", "batch"), [((1, 1), 1), ((17, 33), 2), ((64, 96), 1)])
def test_alpha_has_the_size_of_the_image(net, size, batch):
    with torch.no_grad():
        output = net(*inputs_of(net, *size, batch=batch))
    assert isinstance(output, MattingOutput)
    assert output.alpha.shape == (batch, 1, *size)
    assert output.alpha.dtype == torch.float32
    assert 0 <= output.alpha.min() <= output.alpha.max() <= 1


def test_runs_in_bfloat16(learner):
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        alpha = learner(*inputs_of(learner, 64, 64)).alpha
    assert alpha.isfinite().all()
    assert 0 <= alpha.min() <= alpha.max() <= 1


def test_gradients_reach_every_parameter(learner):
    output = learner.train()(*inputs_of(learner, 64, 64, batch=2))
    maps = [output.alpha, output.semantic, output.detail, *output.sides]
    sum(m.square().sum() for m in maps if m is not None).backward()
    without = [key for key, p in learner.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_a_checkpoint_rebuilds_the_network(learner, suffix, tmp_path):
    path = tmp_path / f"net{suffix}"
    config = {
        "model": {"_target_": "p3m_lightning.models.create_model", "name": learner.name, **TINY.get(learner.name, {})}
    }
    if suffix == ".ckpt":
        state = {f"net.{key}": value for key, value in learner.state_dict().items()}
        torch.save({"config": config, "state_dict": state}, path)
    else:
        save_weights(learner, config, path)
    again = load_model(path)
    assert not again.training
    inputs = inputs_of(learner, 64, 64)
    with torch.no_grad():
        assert torch.equal(again(*inputs).alpha, learner(*inputs).alpha)


@pytest.mark.parametrize("name", TRACED)
def test_compiles_in_one_piece(name):
    net = tiny(name)
    inputs = inputs_of(net, 64, 64)
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    with torch.no_grad():
        assert torch.allclose(compiled(*inputs).alpha, net(*inputs).alpha, atol=1e-5)


@pytest.mark.parametrize("name", TRACED)
def test_exports(name):
    net = tiny(name)
    inputs = inputs_of(net, 64, 64)
    program = torch.export.export(AlphaOnly(net), inputs)
    with torch.no_grad():
        assert torch.allclose(program.module()(*inputs), net(*inputs).alpha, atol=1e-5)


class AlphaOnly(nn.Module):
    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.net(*inputs).alpha


def test_its_config_names_arguments_that_it_has(name):
    config = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    assert config.pop("_target_") == "p3m_lightning.models.create_model"
    assert config.pop("name") == name
    card = MODELS[name]
    accepted = set(inspect.signature(card.load_builder()).parameters) - set(card.fixed) | {"encoder_weights"}
    assert set(config) <= accepted


def test_unknown_arguments_are_refused_with_the_choice(name):
    with pytest.raises(InputError, match="unknown argument widht"):
        create_model(name, widht=1)


def test_unknown_names_are_refused_with_the_choice():
    with pytest.raises(InputError, match="p3mnet_r34"):
        create_model("p3mnet_r43")


@pytest.mark.parametrize("width", [0, -1, "half", True, None, float("nan"), float("inf")])
def test_a_width_that_is_none_is_refused(width):
    with pytest.raises(InputError, match="model=p3mnet_r34: width="):
        create_model("p3mnet_r34", width=width)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
def test_a_width_may_be_a_number_of_numpy(kind):
    shapes = [[p.shape for p in create_model("p3mnet_r34", width=w).parameters()] for w in (0.125, kind(0.125))]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("gfm_r34_tt", {"depths": (1,)}),
        ("gfm_d121_tt", {"depths": (1, 2, 3, 0)}),
        ("stylematte", {"depths": (2, 2, 6, 2.5)}),
        ("stylematte", {"num_heads": 3}),
        ("p3mnet_swin_t", {"drop_path": 2}),
        ("p3mnet_swin_t", {"drop_path": float("nan")}),
        ("vitmatte_small", {"drop_path": -0.1}),
        ("stylematte", {"drop_path": "0.1"}),
    ],
)
def test_settings_that_no_network_can_have_are_refused_by_name(name, wrong):
    (key,) = wrong
    with pytest.raises(InputError, match=f"^model={name}: {key}=.*; give "):
        create_model(name, **wrong)


@pytest.mark.parametrize("other", [None, 3, ["p3mnet_r34"]])
def test_a_name_that_is_no_text_is_refused_with_the_choice(other):
    with pytest.raises(InputError, match=r"no such network.*p3mnet_r34"):
        create_model(other)


def test_copies_and_pickles_compute_the_same(net, name):
    made = [deepcopy(net)]
    if name != "stylematte":  # transformers hooks local functions into it
        made.append(pickle.loads(pickle.dumps(net)))
    inputs = inputs_of(net, 48, 64)
    with torch.no_grad():
        assert all(torch.equal(one(*inputs).alpha, net(*inputs).alpha) for one in made)


def test_loading_draws_no_random_numbers(learner, tmp_path):
    config = {"model": {"name": learner.name, **TINY.get(learner.name, {})}}
    save_weights(learner, config, tmp_path / "net.safetensors")
    before = torch.get_rng_state()
    load_model(tmp_path / "net.safetensors")
    assert torch.equal(torch.get_rng_state(), before)
