import torch

from p3m_lightning.experiments.bench.limits import ceilings as module
from p3m_lightning.experiments.bench.limits.ceilings import ceilings


def test_ceilings_are_work_by_time(monkeypatch):
    monkeypatch.setattr(module, "_seconds", lambda work, device, repeats: work() is not None and 0.5)
    found = ceilings(torch.device("cpu"), side=64, megabytes=1)
    assert found["operations_per_second"] == {"float32": 2 * 2 * 64**3, "bfloat16": 2 * 2 * 64**3}
    assert found["bytes_per_second"] == 2 * 2 * 2**20


def test_what_is_measured_is_more_than_nothing():
    found = ceilings(torch.device("cpu"), side=128, megabytes=1, repeats=1)
    assert found["operations_per_second"]["float32"] > 1e6
    assert found["bytes_per_second"] > 1e6
