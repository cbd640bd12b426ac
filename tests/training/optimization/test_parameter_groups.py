import pytest
import torch
from torch import nn

from p3m_lightning.schema import InputError
from p3m_lightning.training.optimization.learning_rate import EffectiveBatch, scale_rate
from p3m_lightning.training.optimization.parameter_groups import build_optimizer
from p3m_lightning.training.optimization.schedulers import warmup_cosine


@pytest.fixture
def net() -> nn.Module:
    layers = {"encoder": nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 3)), "head": nn.Linear(3, 1)}
    return nn.ModuleDict(layers)


def adamw(parameters):
    return torch.optim.AdamW(parameters, lr=2e-3)


def rates(net: nn.Module, optimizer) -> dict[str, float]:
    names = {id(p): name for name, p in net.named_parameters()}
    return {names[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}


def test_parts_learn_at_a_share_of_the_rate_and_the_first_pattern_wins(net):
    optimizer = build_optimizer(adamw, net, {"encoder.0.*": 0.1, "encoder.*": 0.25})
    found = rates(net, optimizer)
    assert found.keys() == dict(net.named_parameters()).keys()
    assert found["encoder.0.weight"] == pytest.approx(2e-4)
    assert found["encoder.1.bias"] == pytest.approx(5e-4)
    assert found["head.weight"] == 2e-3


def test_without_factors_there_is_one_group_as_ever(net):
    net["head"].requires_grad_(False)
    optimizer = build_optimizer(adamw, net, {})
    assert len(optimizer.param_groups) == 1
    assert rates(net, optimizer).keys() == {name for name, _ in net.named_parameters() if name.startswith("encoder")}


def test_scaling_and_schedules_keep_the_ratio(net):
    optimizer = build_optimizer(adamw, net, {"encoder.*": 0.25})
    line = scale_rate(optimizer, EffectiveBatch(8, 2, 1), {"rule": "linear", "reference": 8})
    assert "lr 0.002 x 2" in line  # that of the rest
    scheduler = warmup_cosine(optimizer, total_steps=10, warmup=0.2)
    seen = []
    for _ in range(6):
        optimizer.step()
        scheduler.step()
        found = rates(net, optimizer)
        seen.append(found["head.weight"])
        assert found["encoder.0.weight"] == pytest.approx(0.25 * found["head.weight"])
    assert max(seen) == pytest.approx(4e-3)
    assert min(seen) < 3e-3


def test_frozen_parameters_are_in_no_group(net):
    net["encoder"].requires_grad_(False)
    assert rates(net, build_optimizer(adamw, net, {"encoder.*": 0.25})).keys() == {"head.weight", "head.bias"}


@pytest.mark.parametrize(
    ("factors", "said"),
    [
        ({"enc.*": 0.5}, "no parameter is called 'enc.*'; the parts are encoder, head"),
        ({"head.*": 0}, "head.*: 0 is no"),
    ],
)
def test_a_pattern_or_factor_that_means_nothing_is_refused(net, factors, said):
    with pytest.raises(InputError) as caught:
        build_optimizer(adamw, net, factors)
    assert str(caught.value).startswith("lr_factors: ")
    assert said in str(caught.value)
