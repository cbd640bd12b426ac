import numpy as np
import pytest
import torch
import torch.nn.functional as nnf
from skimage.transform import resize as skimage_resize

from p3m_lightning.ops import crop_to, pad_to_multiple, region_means, resize_smooth

SIZES = [(30, 40), (1, 7), (65, 33), (96, 64), (5, 5)]


def random_maps(height, width, channels=2):
    return torch.rand(2, channels, height, width, generator=torch.Generator().manual_seed(height * width))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("multiple", "minimum"), [(1, 0), (32, 0), (32, 100), (8, 0)])
def test_padding_reaches_the_next_multiple_and_is_undone(size, multiple, minimum):
    maps = random_maps(*size)
    padded = pad_to_multiple(maps, multiple, minimum)
    for side, old in zip(padded.shape[-2:], size, strict=True):
        wanted = max(old, minimum)
        assert side % multiple == 0
        assert wanted <= side < wanted + multiple
    torch.testing.assert_close(crop_to(padded, *size), maps, rtol=0, atol=0)
    assert (padded[..., -1, :] == padded[..., size[0] - 1, :]).all()  # the edge is repeated


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("new", [(30, 40), (16, 64), (3, 3), (70, 21), (1, 1)])
def test_smooth_resize_is_that_of_skimage(size, new):
    maps = random_maps(*size)
    expected = np.stack([[skimage_resize(plane.numpy(), new) for plane in image] for image in maps])
    np.testing.assert_allclose(resize_smooth(maps, new).numpy(), expected, atol=2e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("regions", [1, 3, 5])
def test_region_means_are_adaptive_pooling(size, regions):
    maps = random_maps(*size)
    torch.testing.assert_close(region_means(maps, regions), nnf.adaptive_avg_pool2d(maps, regions))
