"""Every network refuses inputs of another kind by name, and does not hide NaN."""

import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from p3m_lightning.models import MODELS, create_model
from p3m_lightning.schema import InputError
from tiny_networks import TINY

SIZE = (40, 48)
TRIMAP_NETWORKS = [name for name, card in MODELS.items() if card.needs_trimap]
CLASSICAL = [name for name, card in MODELS.items() if card.builder.startswith("classical:")]
LEARNING = [name for name in MODELS if name not in CLASSICAL]


@pytest.fixture(scope="module")
def networks():
    """Networks by name, each built once."""
    built: dict[str, nn.Module] = {}

    def network(name: str) -> nn.Module:
        if name not in built:
            built[name] = create_model(name, **TINY.get(name, {})).eval()
        return built[name]

    return network


def images(batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, *SIZE)


def trimap(batch: int = 1) -> Tensor:
    return (torch.arange(SIZE[1]) * 3 // SIZE[1]).expand(batch, 1, *SIZE).clone()


def call(net: nn.Module, images: object, batch: int = 1) -> Tensor:
    with torch.no_grad():
        return net(images, trimap(batch)).alpha if net.needs_trimap else net(images).alpha


WRONG_IMAGES = {
    "uint8 (1, 3, 40, 48)": lambda x: (x * 255).byte(),
    "int64 (1, 3, 40, 48)": lambda x: (x * 255).long(),
    "bool (1, 3, 40, 48)": lambda x: x > 0.5,
    "float32 (1, 1, 40, 48)": lambda x: x[:, :1],
    "float32 (1, 4, 40, 48)": lambda x: x.new_zeros(1, 4, *SIZE),
    "float32 (1, 40, 48, 3)": lambda x: x.permute(0, 2, 3, 1),
    "float32 (3, 40, 48)": lambda x: x[0],
    "float32 (0, 3, 40, 48)": lambda x: x[:0],
    "float32 (1, 3, 0, 48)": lambda x: x[:, :, :0],
    "ndarray": lambda x: x.numpy(),
    "NoneType": lambda x: None,
}


@pytest.mark.parametrize("name", MODELS)
def test_images_of_another_kind_are_refused_by_name(networks, name):
    for found, change in WRONG_IMAGES.items():
        with pytest.raises(InputError, match=rf"^images: {re.escape(found)}; give float RGB in \[0, 1\]"):
            call(networks(name), change(images()))


@pytest.mark.parametrize("name", ["p3mnet_r34", "basic", "gfm_r34_tt"])
def test_a_branch_alone_refuses_them_too(networks, name):
    with pytest.raises(InputError, match=r"^images: uint8"):
        networks(name).branches(images().byte(), detail=False)


@pytest.mark.parametrize("name", LEARNING)
def test_images_of_another_precision_are_refused_by_name(networks, name):
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        with pytest.raises(InputError, match=r"^images: .*, but the network is float32; use images.to\(torch.float32"):
            call(networks(name), images().to(dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert call(networks(name), images().bfloat16()).isfinite().all()
        with pytest.raises(InputError, match=r"^images: float64"):
            call(networks(name), images().double())


WRONG_TRIMAPS = {
    "trimap: holds codes from 0 to 255": lambda t: torch.tensor([0, 128, 255])[t],
    "trimap: holds codes from 3 to 5": lambda t: t + 3,
    "trimap: holds codes from -1 to 1": lambda t: t - 1,
    "trimap: float32 (1, 1, 40, 48)": lambda t: t / 2,
    "trimap: bool (1, 1, 40, 48)": lambda t: t > 0,
    "trimap: int64 (1, 3, 40, 48)": lambda t: t.expand(1, 3, *SIZE),
    "trimap: int64 (1, 40, 48)": lambda t: t[0],
    "trimap: int64 (1, 1, 20, 48)": lambda t: t[:, :, :20],
    "trimap: int64 (2, 1, 40, 48)": lambda t: t.expand(2, 1, *SIZE),
    "trimap: ndarray": lambda t: t.numpy(),
    "trimap: this network needs one": lambda t: None,
}


@pytest.mark.parametrize("name", TRIMAP_NETWORKS)
def test_trimaps_of_another_kind_are_refused_by_name(networks, name):
    for found, change in WRONG_TRIMAPS.items():
        with pytest.raises(InputError, match=rf"^{re.escape(found)}.*; give int64 \(N, 1, H, W\)"):
            networks(name)(images(), change(trimap()))


@pytest.mark.parametrize("name", TRIMAP_NETWORKS)
def test_a_trimap_of_other_whole_numbers_is_the_same(networks, name):
    pixels = images()
    with torch.no_grad():
        expected, alpha = (networks(name)(pixels, t).alpha for t in (trimap(), trimap().to(torch.uint8)))
    assert torch.equal(expected, alpha)


@pytest.mark.parametrize("name", CLASSICAL)
def test_images_that_are_not_finite_are_refused_by_methods_that_would_not_return(networks, name):
    pixels = images()
    for value in (np.nan, np.inf):
        pixels[0, 1, 5, 5] = value
        with pytest.raises(InputError, match=r"^images: not finite"):
            call(networks(name), pixels)


@pytest.mark.parametrize("name", LEARNING)
def test_a_diverged_network_has_no_matte(name):
    net = create_model(name, **TINY.get(name, {})).eval()
    for parameter in net.parameters():
        nn.init.constant_(parameter, torch.nan)
    unknown = trimap() == 1 if net.needs_trimap else torch.ones(1, 1, *SIZE, dtype=torch.bool)
    assert call(net, images())[unknown].isnan().all()


@pytest.mark.parametrize("name", LEARNING)
def test_a_pixel_that_is_not_a_number_leaves_a_trace(networks, name):
    pixels = images()
    pixels[0, 1, 20, 24] = torch.nan
    assert call(networks(name), pixels).isnan().any()
