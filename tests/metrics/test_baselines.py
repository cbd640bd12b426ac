import numpy as np
import pytest
import torch

from p3m_lightning.metrics.baselines import TrivialPredictors


@pytest.fixture
def mattes():
    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(0, 256, (4, 1, 128, 256), generator=generator)
    return (levels * (torch.rand(4, 1, 1, 1, generator=generator) > 0.4)).float() / 255


def test_constant_is_the_best_of_all_constants(mattes):
    metric = TrivialPredictors()
    for matte in mattes:
        metric.update(matte[None])
    levels = np.rint(mattes.double().numpy() * 255) / 255
    brute = [np.abs(levels - c / 255).sum() / 1000 / 4 for c in range(256)]
    scores = metric.compute()
    assert float(scores["constant"]) == pytest.approx(min(brute), rel=1e-9)
    assert float(scores["constant_value"]) == pytest.approx(int(np.argmin(brute)) / 255)


def test_mean_matte_of_equal_mattes_is_perfect_and_never_looks_worse_than_it_is(mattes):
    same, different = TrivialPredictors(), TrivialPredictors()
    for matte in mattes:
        same.update(mattes[:1])
        different.update(matte[None])
    assert float(same.compute()["mean_matte"]) <= 128 * 256 / 510 / 1000
    exact = (mattes.double() - mattes.double().mean(0)).abs().sum().item() / 1000 / 4
    assert 0 < float(different.compute()["mean_matte"]) <= exact


def test_mean_matte_of_smooth_mattes_is_as_bad_as_it_is():
    ramps = [torch.linspace(0, top, 512).expand(1, 1, 256, 512) for top in (0.2, 0.6, 1.0)]
    metric = TrivialPredictors()
    for ramp in ramps:
        metric.update(ramp)
    stack = torch.cat(ramps).double()
    exact = (stack - stack.mean(0)).abs().sum().item() / 1000 / 3
    assert float(metric.compute()["mean_matte"]) == pytest.approx(exact, rel=0.01)


def test_sets_merge_over_processes_even_when_one_has_nothing(mattes):
    whole, parts = TrivialPredictors(), [TrivialPredictors() for _ in range(3)]
    for k, matte in enumerate(mattes):
        whole.update(matte[None])
        parts[k % 2].update(matte[None])
    for name in ("histogram", "cells", "total", "images"):
        setattr(parts[0], name, sum(getattr(part, name) for part in parts))
    for key, value in whole.compute().items():
        assert float(parts[0].compute()[key]) == pytest.approx(float(value), rel=1e-12)
