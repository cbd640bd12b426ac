import json
from types import SimpleNamespace

import pytest
import torch

from p3m_lightning.schema import InputError
from p3m_lightning.training.callbacks.gradient_shares import GradientShares, gradient_shares

TRAINER = SimpleNamespace(is_global_zero=True, strategy=SimpleNamespace())


def terms_of(parameter, **weights):
    """Terms whose gradients are known: weight times the parameter's sum, or its half square."""
    return {
        "sum": weights.get("sum", 1) * parameter.sum(),
        "square": weights.get("square", 1) * parameter.dot(parameter) / 2,
    }


def test_shares_are_gradient_norms_over_their_sum():
    parameter = torch.nn.Parameter(torch.tensor([3.0, 4.0]))  # gradients: (1, 1) and (3, 4)
    shares = gradient_shares(terms_of(parameter, sum=2, square=3), [parameter])
    assert shares["square"] == pytest.approx(15 / (15 + 2 * 2**0.5), rel=1e-6)
    assert sum(shares.values()) == pytest.approx(1)


def test_a_constant_term_and_one_of_weight_zero_have_no_share():
    parameter = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    terms = {**terms_of(parameter, sum=0), "constant": torch.zeros(())}
    assert gradient_shares(terms, [parameter]) == {"sum": 0.0, "square": 1.0, "constant": 0.0}


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_no_or_infinite_gradients_have_no_shares(value):
    parameter = torch.nn.Parameter(torch.tensor([value, 0.0]))
    assert gradient_shares({"square": parameter.dot(parameter)}, [parameter]) is None


def test_the_graph_is_kept_and_gradients_are_left_alone():
    parameter = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    terms = terms_of(parameter)
    gradient_shares(terms, [parameter])
    assert parameter.grad is None
    sum(terms.values()).backward()
    assert parameter.grad.tolist() == [4.0, 5.0]


def test_a_resumed_run_writes_the_means_of_the_whole_run(tmp_path):
    logged = []
    net = torch.nn.Linear(2, 1, bias=False)
    module = SimpleNamespace(net=net, log_dict=lambda values, **_: logged.append(values))
    first, second = (GradientShares(tmp_path, every_n_batches=2) for _ in range(2))
    for callback, weights in ((first, (1, 1, 3)), (second, (1, 1, 1))):
        if callback is second:
            callback.load_state_dict(first.state_dict())
        for weight in weights:
            module.weighted_terms = {"a": weight * net.weight.sum(), "b": net.weight.sum()}
            callback.on_before_backward(TRAINER, module, None)
    second.on_train_epoch_end(TRAINER, module)
    second.on_train_end(TRAINER, module)
    mean = pytest.approx((1 / 2 + 3 / 4 + 1 / 2) / 3)  # batches 0, 2, 4
    assert [values["train/gradient_share/a"] for values in logged] == [mean]
    assert json.loads((tmp_path / "gradient_shares.json").read_text())["a"] == mean


def test_sharded_parameters_are_refused(tmp_path):
    trainer = SimpleNamespace(strategy=SimpleNamespace(device_mesh=None))
    with pytest.raises(InputError, match="fsdp"):
        GradientShares(tmp_path, every_n_batches=1).setup(trainer, None, "fit")
