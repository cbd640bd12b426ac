import numpy as np
import pytest
import torch
from scipy.ndimage import convolve

from p3m_lightning.ops.pyramid import average_pyramid, binomial_pyramid
from p3m_lightning.schema import InputError


def random_map(height, width, seed=0):
    return torch.rand(1, 2, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("size", [(64, 96), (45, 37)])
def test_average_pyramid_equals_a_loop_over_scipy(size):
    maps = random_map(*size)
    bell = np.exp(-(np.arange(-2, 3) ** 2.0))
    kernel = np.add.outer(bell, bell)
    current = maps[0, 1].numpy()
    levels = average_pyramid(maps, levels=3)
    for level in levels[:-1]:
        smooth = convolve(current, kernel / kernel.sum(), mode="nearest")
        np.testing.assert_allclose(level[0, 1], current - smooth, atol=1e-12)
        h, w = (side // 2 * 2 for side in smooth.shape)
        current = smooth[:h, :w].reshape(h // 2, 2, w // 2, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(levels[-1][0, 1], current, atol=1e-12)


@pytest.mark.parametrize("size", [(64, 96), (45, 37)])
def test_binomial_pyramid_equals_a_loop_over_scipy(size):
    maps = random_map(*size)
    binomial = np.array([1, 4, 6, 4, 1]) / 16
    kernel = np.outer(binomial, binomial)
    current = maps[0, 0].numpy()
    for level in binomial_pyramid(maps, levels=3):
        current = current[: current.shape[0] // 2 * 2, : current.shape[1] // 2 * 2]
        small = convolve(current, kernel, mode="mirror")[::2, ::2]
        spread = np.zeros_like(current)
        spread[::2, ::2] = small
        np.testing.assert_allclose(level[0, 0], current - 4 * convolve(spread, kernel, mode="mirror"), atol=1e-12)
        current = small


@pytest.mark.parametrize("pyramid", [average_pyramid, binomial_pyramid])
def test_a_constant_has_no_detail(pyramid):
    details = pyramid(torch.full((1, 1, 64, 64), 0.7), 3)[:3]
    assert all(detail.abs().max() < 1e-6 for detail in details)


@pytest.mark.parametrize(("pyramid", "least"), [(average_pyramid, 8), (binomial_pyramid, 16)])
def test_the_least_side_passes_and_one_pixel_less_is_refused(pyramid, least):
    assert all(level.isfinite().all() for level in pyramid(torch.rand(1, 1, least, least + 3), 3))
    with pytest.raises(InputError, match=f"at least {least}"):
        pyramid(torch.rand(1, 1, least + 3, least - 1), 3)
