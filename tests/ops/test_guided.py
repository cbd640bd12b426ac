import json

import numpy as np
import pytest
import torch
from scipy import ndimage

from p3m_lightning.ops.guided import box_mean, fast_guided_filter, guided_filter


@pytest.fixture(scope="module")
def recorded(golden):
    folder = golden / "guided_filter"
    return json.loads((folder / "guided_filter.json").read_text()), dict(np.load(folder / "guided_filter.npz"))


def filters(outputs: dict) -> list[str]:
    return [name for name in outputs if "guided_filter" in name]


@pytest.mark.parametrize(("dtype", "least"), [(torch.float64, 2e-6), (torch.float32, 1e-4)])
def test_filters_equal_the_recorded_ones(recorded, dtype, least):
    spec, data = recorded
    assert len(filters(spec["outputs"])) == 5
    for name in filters(spec["outputs"]):
        entry = spec["outputs"][name]
        arguments = [torch.from_numpy(data[f"inputs/{key}"]).to(dtype) for key in entry["arguments"]]
        function = guided_filter if len(arguments) == 2 else fast_guided_filter
        output = function(*arguments, entry["r"], entry["eps"])
        expected = torch.from_numpy(data[name]).to(dtype)
        height, width = expected.shape[-2:]  # of one only a corner is stored
        torch.testing.assert_close(output[..., :height, :width], expected, atol=least, rtol=0)


@pytest.mark.parametrize("radius", [1, 4, 60])
def test_box_mean_counts_only_pixels_inside(radius):
    maps = torch.rand(2, 3, 17, 30, dtype=torch.float64)
    size = (0, 0, 2 * radius + 1, 2 * radius + 1)
    total, count = (ndimage.uniform_filter(x, size=size, mode="constant") for x in (maps.numpy(), np.ones(maps.shape)))
    np.testing.assert_allclose(box_mean(maps, radius).numpy(), total / count, atol=1e-12)


def test_a_linear_function_of_the_guide_comes_back_at_full_size():
    guide = torch.rand(1, 1, 40, 56, dtype=torch.float64)
    small = guide[..., ::4, ::4]
    for target in (
        guided_filter(guide, 3 * guide - 1, 2, 1e-12),
        fast_guided_filter(small, 3 * small - 1, guide, 1, 1e-12),
    ):
        torch.testing.assert_close(target, 3 * guide - 1, atol=1e-6, rtol=0)


def test_a_flat_guide_gives_the_mean():
    target = torch.rand(1, 1, 9, 9)
    guide = torch.full_like(target, 0.3)
    torch.testing.assert_close(guided_filter(guide, target, 2, 1e-4), box_mean(box_mean(target, 2), 2))


def test_half_precision_is_computed_in_single():
    guide, target = (torch.rand(1, 1, 32, 32).to(torch.bfloat16) for _ in range(2))
    filtered = guided_filter(guide, target, 1, 1e-4)
    assert filtered.dtype == torch.bfloat16
    assert torch.equal(filtered, guided_filter(guide.float(), target.float(), 1, 1e-4).to(torch.bfloat16))


def test_gradients_are_those_of_the_function():
    guide, small, target = (
        torch.rand(1, 1, *size, dtype=torch.float64, requires_grad=True) for size in ((6, 6), (3, 3), (3, 3))
    )
    assert torch.autograd.gradcheck(lambda *x: fast_guided_filter(*x, 1, 1e-2), (small, target, guide))
    assert torch.autograd.gradcheck(lambda *x: guided_filter(*x, 1, 1e-2), (small, target))
