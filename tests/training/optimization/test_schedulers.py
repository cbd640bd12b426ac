import pytest
import torch

from p3m_lightning.training.optimization.schedulers import warmup_cosine, warmup_steps


def rates(total_steps, schedule=warmup_cosine, **keys):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = schedule(optimizer, total_steps, **keys)
    seen = []
    for _ in range(total_steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_rate_rises_linearly_to_the_peak_then_falls():
    seen = rates(100, warmup=0.1, final=0.01)
    assert seen[:10] == pytest.approx([2.0 * (k + 1) / 10 for k in range(10)])
    assert max(seen) == pytest.approx(2.0)
    assert seen[10:] == sorted(seen[10:], reverse=True)


def test_middle_of_the_fall_is_the_mean_of_peak_and_final():
    seen = rates(110, warmup=10 / 110, final=0.2)
    assert seen[60] == pytest.approx(2.0 * (1 + 0.2) / 2)


def test_rate_stays_at_the_end_when_stepped_further():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = warmup_cosine(optimizer, total_steps=5, final=0.1)
    for _ in range(9):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1)


def test_steps_rise_to_the_peak_and_fall_at_their_milestones():
    seen = rates(20, warmup_steps, warmup=0.1, milestones=[0.3, 0.9], factors=[0.1, 0.05])
    assert seen == pytest.approx([1.0, 2.0, *[2.0] * 4, *[0.2] * 12, *[0.1] * 2])


def test_steps_without_anything_keep_the_rate_and_want_a_factor_for_each_milestone():
    assert rates(5, warmup_steps) == [2.0] * 5
    with pytest.raises(ValueError, match="shorter"):
        rates(5, warmup_steps, milestones=[0.5])
