import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn

from brief_training import train
from p3m_lightning.losses import P3MLoss
from p3m_lightning.models.weights import read_weights
from p3m_lightning.schema import InputError
from p3m_lightning.training.optimization.dual_cone import RIDGE, project
from p3m_lightning.training.optimization.weighting import GradNorm, Uncertainty, UPGrad, build_weighting

NAMES = ("a", "b", "c")


class Net(nn.Module):
    """Two weights that three terms share, and a bias that one has for itself."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(2, 1, bias=False)
        self.head = nn.Parameter(torch.tensor(0.5))
        nn.init.constant_(self.encoder.weight, 0.3)

    def terms(self, pulls=((1.0, 0.0), (-0.8, 0.6), (0.2, 2.0))):
        """Terms whose gradients with respect to the encoder are `pulls`; the first one also feels the head."""
        values = [(self.encoder.weight * torch.tensor([pull])).sum() + 2 for pull in pulls]
        return dict(zip(NAMES, [values[0] + self.head, *values[1:]], strict=True))


def test_uncertainty_is_kendalls_total_and_its_gradient():
    weighting, net = Uncertainty(NAMES, cross_entropies=("a",)), Net()
    with torch.no_grad():
        weighting.log_variances.copy_(torch.tensor([0.2, -0.4, 1.0]))
    terms = net.terms()
    total, factors = weighting(terms, net)
    values, s = [float(v) for v in terms.values()], [0.2, -0.4, 1.0]
    scale = [1, 0.5, 0.5]
    assert float(total) == pytest.approx(
        sum(c * math.exp(-x) * v + x / 2 for c, x, v in zip(scale, s, values, strict=True))
    )
    total.backward()
    expected = [0.5 - c * math.exp(-x) * v for c, x, v in zip(scale, s, values, strict=True)]
    assert weighting.log_variances.grad.tolist() == pytest.approx(expected, rel=1e-5)
    assert [float(f) for f in factors.values()] == pytest.approx(
        [c * math.exp(-x) for c, x in zip(scale, s, strict=True)]
    )


def test_uncertainty_starts_at_the_fixed_weights_and_leaves_terms_of_zero_alone():
    weighting, net = Uncertainty(NAMES, cross_entropies=("a",)), Net()
    terms = {**net.terms(), "b": torch.zeros(())}
    total, factors = weighting(terms, net)
    assert [float(f) for f in factors.values()] == pytest.approx([1, 1, 1])
    total.backward()
    assert float(weighting.log_variances.grad[1]) == 0
    assert float(weighting.log_variances.grad[0]) != 0


def test_gradnorm_follows_the_gradient_of_its_own_loss():
    net, weighting = Net(), GradNorm(NAMES, alpha=1.5, lr=0.1)
    weighting(net.terms(), net)  # the first values
    with torch.no_grad():
        weighting.factors.copy_(torch.tensor([0.5, 1.0, 1.5]))
        net.encoder.weight.copy_(torch.tensor([[0.1, 0.9]]))
    first = [float(v) for v in weighting.initial]
    terms = net.terms()
    total, _ = weighting(terms, net)
    total.backward()
    w = np.array([0.5, 1.0, 1.5])
    norms = np.array([1.0, 1.0, math.hypot(0.2, 2.0)])
    ratio = np.array([float(v) for v in terms.values()]) / first
    pulls = w * norms
    target = pulls.mean() * (ratio / ratio.mean()) ** 1.5

    def grad_loss(factors):
        return np.abs(factors * norms - target).sum()

    step = 1e-5
    expected = [(grad_loss(w + step * e) - grad_loss(w - step * e)) / (2 * step) for e in np.eye(3)]
    assert weighting.factors.grad.tolist() == pytest.approx(expected, rel=1e-3)
    assert float(total) == pytest.approx(float(sum(f * v for f, v in zip(w, terms.values(), strict=True))))
    assert net.head.grad == pytest.approx(0.5)  # the network feels the factors alone


def test_gradnorm_brings_gradients_of_equal_progress_to_one_size():
    net, weighting = Net(), GradNorm(NAMES, alpha=0.0, lr=0.02)
    optimizer = torch.optim.SGD(weighting.parameters(), lr=0.02)
    for _ in range(400):
        optimizer.zero_grad()
        weighting(net.terms(), net)[0].backward()
        optimizer.step()
    pulls = weighting.factors.detach() * torch.tensor([1.0, 1.0, math.hypot(0.2, 2.0)])
    assert float(pulls.max() / pulls.min()) < 1.1
    weighting(net.terms(), net)
    assert float(weighting.factors.mean()) == pytest.approx(1)


def test_terms_that_a_network_lacks_keep_their_weight():
    net = Net()
    terms = {**net.terms(), "c": torch.zeros(())}
    for weighting in (Uncertainty(NAMES), GradNorm(NAMES)):
        total, factors = weighting(terms, net)
        assert torch.isfinite(total)
        assert float(factors["c"]) == pytest.approx(1)


def test_projections_solve_their_quadratic_program():
    rows = np.random.default_rng(0).normal(size=(3, 5))
    gramian = rows @ rows.T
    found = project(np.eye(3), gramian)
    normal = gramian / np.trace(gramian) + RIDGE * np.eye(3)
    for u, v in zip(np.eye(3), found, strict=True):
        constraint = {"type": "ineq", "fun": lambda x, u=u: x - u}
        best = minimize(
            lambda x: x @ normal @ x, u + 1, jac=lambda x: 2 * normal @ x, constraints=constraint, tol=1e-12
        )
        np.testing.assert_allclose(v, best.x, atol=1e-4)


def test_upgrad_worsens_no_term_and_leaves_what_does_not_conflict():
    pytest.importorskip("torchjd")
    net, weighting = Net(), UPGrad(NAMES, shared=["encoder.*"])
    for pulls in (((1.0, 0.0), (-0.8, 0.6), (0.2, 2.0)), ((1.0, 0.0), (-0.95, 0.31), (0.0, 1.0))):
        net.zero_grad()
        weighting(net.terms(pulls), net)[0].backward()
        step = net.encoder.weight.grad[0]
        assert all(float(step @ torch.tensor(pull)) > -1e-3 for pull in pulls)
    _, factors = weighting(net.terms(((1.0, 0.0), (0.5, 0.5), (0.0, 1.0))), net)
    assert [float(f) for f in factors.values()] == pytest.approx([1, 1, 1])


def test_upgrad_without_its_package_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torchjd.aggregation", None)
    with pytest.raises(InputError, match=r"pip install 'p3m_lightning\[torchjd\]'"):
        UPGrad(NAMES)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weighting": "equal"}, "loss.weighting=equal: choose from fixed, uncertainty, gradnorm, upgrad"),
        ({"weighting": "gradnorm", "gradnorm": {"lr": 0}}, "loss.gradnorm"),
    ],
)
def test_what_means_nothing_is_named(settings, message):
    with pytest.raises(InputError, match=message):
        build_weighting(P3MLoss(), settings)


@pytest.mark.parametrize("method", ["uncertainty", "gradnorm"])
def test_what_was_learned_is_in_the_checkpoint_and_goes_on_from_there(portraits, tmp_path, method):
    common = [f"loss.weighting={method}", "loss.function.composition=false", "~data.tests", "scheduler=constant"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(portraits, whole, *common, "trainer.max_epochs=2") == 0
    assert train(portraits, parts, *common, "trainer.max_epochs=1") == 0
    last = parts / "checkpoints" / "last.ckpt"
    key = {"uncertainty": "weighting.log_variances", "gradnorm": "weighting.factors"}[method]
    middle = read_weights(last)["state_dict"][key]
    assert len(middle.unique()) > 2
    assert train(portraits, parts, *common, "trainer.max_epochs=2", f"ckpt={last}") == 0
    one, other = (read_weights(folder / "checkpoints" / "last.ckpt")["state_dict"] for folder in (whole, parts))
    assert not torch.equal(other[key], middle)
    if method == "gradnorm":
        torch.testing.assert_close(one["weighting.initial"], other["weighting.initial"], equal_nan=True)
    assert other[key].tolist() == pytest.approx(one[key].tolist(), rel=1e-4)
    header = (whole / "metrics.csv").read_text().splitlines()[0]
    assert "train/weight/semantic" in header
