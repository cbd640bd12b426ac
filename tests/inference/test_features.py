import numpy as np
import pytest
import torch

from p3m_lightning import create_model
from p3m_lightning.inference.features import feature_picture, watch
from p3m_lightning.schema import InputError


def test_the_last_call_of_each_watched_module_is_recorded_until_the_context_ends():
    first, second, never = torch.nn.Linear(2, 3), torch.nn.Linear(3, 1), torch.nn.Linear(1, 1)
    net = torch.nn.Sequential(first, second)
    with watch(second, never) as calls:
        net(torch.zeros(1, 2))
        images = torch.ones(1, 2)
        output = net(images)
    net(torch.zeros(1, 2))
    assert list(calls) == [second]
    assert torch.equal(calls[second].inputs[0], first(images))
    assert torch.equal(calls[second].output, output)


def test_the_hooks_go_when_the_network_fails():
    net = torch.nn.Linear(2, 3)
    with pytest.raises(RuntimeError), watch(net):
        net(torch.zeros(1, 5))
    assert not net._forward_hooks


def test_the_three_inputs_of_tfi_have_one_shape():
    net = create_model("p3mnet_r34", width=0.125).eval()
    with torch.no_grad(), watch(*net.matting.tfi) as calls:
        net(torch.rand(1, 3, 64, 96))
    for k, tfi in enumerate(net.matting.tfi):
        shapes = {tuple(maps.shape[-2:]) for maps in calls[tfi].inputs}
        assert shapes == {(32 // 2**k, 48 // 2**k)}


def test_a_feature_picture_shows_the_components_in_the_order_of_their_spread():
    generator = np.random.default_rng(0)
    spread = np.array([9.0, 4.0, 1.0])
    maps = generator.uniform(-1, 1, (3, 20, 30)) * spread[:, None, None]
    axes = np.linalg.svd(maps.reshape(3, -1) - maps.reshape(3, -1).mean(1, keepdims=True))[0]
    picture = feature_picture(torch.from_numpy(maps))
    assert picture.shape == (20, 30, 3)
    assert picture.dtype == np.uint8
    for k in range(3):
        component = np.tensordot(axes[:, k], maps, 1)
        assert abs(np.corrcoef(component.ravel(), picture[..., k].ravel())[0, 1]) > 0.99


def test_a_feature_picture_does_not_depend_on_the_order_of_the_channels_or_their_scale():
    maps = torch.rand(8, 10, 12, generator=torch.Generator().manual_seed(1))
    apart = np.abs(feature_picture(maps).astype(int) - feature_picture(5 * maps.flip(0) + 2))
    assert apart.max() <= 1


def test_constant_features_are_drawn_without_numbers_that_are_none():
    assert np.ptp(feature_picture(torch.ones(4, 5, 6))) == 0


def test_a_batch_is_refused():
    with pytest.raises(InputError, match=r"\(1, 8, 4, 4\)"):
        feature_picture(torch.rand(1, 8, 4, 4))
