from types import SimpleNamespace

import pytest
import torch

from p3m_lightning.images import read_matte
from p3m_lightning.training.callbacks.matte_files import MatteFiles
from p3m_lightning.training.callbacks.throughput import Throughput
from p3m_lightning.training.optimization.gradient_clipping import AdaptiveGradientClipping


def clip(callback, norm):
    """Run the callback on a gradient of the given norm; returns the norm left."""
    parameter = torch.nn.Parameter(torch.zeros(4))
    parameter.grad = torch.full((4,), norm / 2)
    callback.on_before_optimizer_step(None, None, SimpleNamespace(param_groups=[{"params": [parameter]}]))
    return parameter.grad.norm().item()


def test_gradient_is_clipped_at_a_multiple_of_its_moving_average():
    callback = AdaptiveGradientClipping(momentum=0.5, factor=2.0)
    assert clip(callback, 1.0) == pytest.approx(1.0)
    assert clip(callback, 10.0) == pytest.approx(2.0, rel=1e-4)
    assert callback.average == pytest.approx(1.5)
    assert clip(callback, 2.9) == pytest.approx(2.9)


def test_an_infinite_gradient_does_not_spoil_the_average():
    callback = AdaptiveGradientClipping()
    clip(callback, 1.0)
    clip(callback, float("inf"))
    assert callback.average == pytest.approx(1.0)


def test_the_average_survives_a_resume():
    first, second = AdaptiveGradientClipping(), AdaptiveGradientClipping()
    clip(first, 3.0)
    second.load_state_dict(first.state_dict())
    assert second.average == first.average


def test_throughput_counts_on_when_a_run_is_resumed_inside_an_epoch():
    callback = Throughput()
    callback.on_train_start(None, None)
    callback.on_train_batch_end(SimpleNamespace(world_size=2), None, None, {"name": ["a", "b"]}, 5)
    assert callback.images == 4


@pytest.mark.parametrize(("side", "shape"), [(20, (20, 10)), (None, (60, 30))])
def test_mattes_of_a_test_are_written_by_set_and_name_reduced_or_whole(tmp_path, side, shape):
    trainer = SimpleNamespace(datamodule=SimpleNamespace(test_names=["other", "P"]))
    alpha = torch.full((1, 1, 60, 30), 0.6)
    MatteFiles(tmp_path, side).on_test_batch_end(trainer, None, alpha, {"name": ["photo"]}, 0, which=1)
    written = read_matte(tmp_path / "P" / "photo.png")
    assert written.shape == shape
    assert (written == 153).all()
