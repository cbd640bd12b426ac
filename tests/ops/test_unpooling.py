import pytest
import torch
import torch.nn.functional as nnf

from p3m_lightning.ops import unpool


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("count", [1, 2])
def test_maps_that_lie_channels_last_give_the_same(kernel, count):
    """Also where overlapping pools name a place twice: the last value in row-major order stays."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(count, 5, 16, 24, generator=generator)
    values = torch.rand(count, 5, 8, 12, generator=generator)
    _, indices = nnf.max_pool2d(maps, kernel, stride=2, padding=kernel // 2 if kernel == 3 else 0, return_indices=True)
    expected = nnf.max_unpool2d(values, indices, 2)
    gradients = []
    for layout in (torch.contiguous_format, torch.channels_last):
        leaf = values.clone(memory_format=layout).requires_grad_()
        found = unpool(leaf, indices.contiguous(memory_format=layout))
        assert torch.equal(found, expected)
        assert found.is_contiguous(memory_format=layout)
        (found * torch.arange(found.numel()).view_as(found)).sum().backward()
        gradients.append(leaf.grad)
    assert torch.equal(*gradients)
