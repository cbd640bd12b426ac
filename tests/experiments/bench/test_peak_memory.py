import torch

from p3m_lightning.experiments.bench.peak_memory import PeakMemory

MEGA = 250_000  # float32 numbers in a megabyte


def peak_of(function) -> float:
    with PeakMemory() as memory:
        function()
    return memory.peak / 1e6


def test_only_what_is_alive_at_once_counts():
    def sequence():
        first = torch.zeros(MEGA)
        second = first + 1
        del first
        return second * 2

    assert peak_of(sequence) == 2


def test_views_and_what_was_there_before_are_free():
    given = torch.ones(MEGA)
    assert peak_of(lambda: given.view(500, 500).t()[:3]) == 0
    assert peak_of(lambda: given.add_(1)) == 0


def test_memory_held_for_the_backward_pass_counts():
    weight = torch.ones(MEGA, requires_grad=True)
    assert peak_of(lambda: weight.exp().exp().sum()) >= 2
