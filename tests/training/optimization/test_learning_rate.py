import pytest
import torch

from p3m_lightning.schema import InputError
from p3m_lightning.training.optimization.learning_rate import EffectiveBatch, scale_rate


def scaled(rule, reference=None, batch=(8, 2, 4)):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    line = scale_rate(optimizer, EffectiveBatch(*batch), {"rule": rule, "reference": reference})
    return optimizer.param_groups[0]["lr"], line


@pytest.mark.parametrize(
    ("rule", "reference", "rate"),
    [("none", None, 1e-3), ("linear", None, 8e-3), ("sqrt", None, 8**0.5 * 1e-3), ("linear", 32, 2e-3)],
)
def test_the_rate_follows_the_effective_batch(rule, reference, rate):
    assert scaled(rule, reference)[0] == pytest.approx(rate)


def test_the_line_states_batch_rate_and_rule():
    assert scaled("linear")[1] == (
        "effective batch 8 x 2 processes x 4 accumulation = 64; lr 0.001 x 8 (linear, from batch 8) = 0.008"
    )
    assert scaled("none", batch=(8, 1, 1))[1] == ("effective batch 8 x 1 process x 1 accumulation = 8; lr 0.001")


def test_the_rate_of_a_recipe_is_the_same_on_one_machine_and_on_many():
    """Sixteen images a step are sixteen images, however they come together."""
    rates = {scaled("linear", 8, parts)[0] for parts in ((16, 1, 1), (8, 2, 1), (4, 2, 2))}
    assert rates == {2e-3}


@pytest.mark.parametrize(("rule", "reference"), [("cubic", None), ("linear", -8)])
def test_a_wrong_rule_or_reference_is_named(rule, reference):
    with pytest.raises(InputError, match="lr_scaling"):
        scaled(rule, reference)
