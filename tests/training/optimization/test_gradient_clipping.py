"""Clipping on the device, against the same rule with numbers of the host, as it was written before."""

from types import SimpleNamespace

import torch
from torch import nn

from p3m_lightning.training.optimization.gradient_clipping import AdaptiveGradientClipping


def _reference_clip(average, parameters, momentum=0.999, factor=2.0):
    limit = float("inf") if average is None else factor * average
    norm = float(nn.utils.clip_grad_norm_(parameters, limit))
    if norm != norm or norm == float("inf"):
        return average
    clipped = min(norm, limit)
    return clipped if average is None else momentum * average + (1 - momentum) * clipped


def test_clipping_is_bit_by_bit_that_of_the_reference_and_resumes():
    generator = torch.Generator().manual_seed(0)
    callback, average, clipped = AdaptiveGradientClipping(), None, 0
    for step in range(60):
        theirs, ours = ([nn.Parameter(torch.zeros(5, 7)), nn.Parameter(torch.zeros(11))] for _ in range(2))
        spoiled = {0: float("nan"), 17: float("inf")}.get(step, 1)
        for one, other in zip(theirs, ours, strict=True):
            one.grad = torch.randn(one.shape, generator=generator) * 10 ** float(step % 7 - 3) * spoiled
            other.grad = one.grad.clone()
        before = ours[0].grad.clone()
        average = _reference_clip(average, theirs)
        callback.on_before_optimizer_step(None, None, SimpleNamespace(param_groups=[{"params": ours}]))
        for one, other in zip(theirs, ours, strict=True):
            assert torch.equal(one.grad.nan_to_num(7), other.grad.nan_to_num(7))
        assert callback.state_dict() == {"average": average}
        clipped += not torch.equal(before, ours[0].grad)
        if step == 30:
            state, callback = callback.state_dict(), AdaptiveGradientClipping()
            callback.load_state_dict(state)
    assert clipped > 5
