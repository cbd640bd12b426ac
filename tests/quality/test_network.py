import numpy as np
import pytest
import torch

from p3m_lightning.models import create_model
from p3m_lightning.quality.network import create_head, opinion_of, true_errors
from tiny_networks import TINY


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return create_model("p3mnet", **TINY["p3mnet"]).eval()


def test_the_opinion_is_what_the_network_says(net):
    images = torch.rand(2, 3, 64, 96)
    opinion = opinion_of(net, images)
    with torch.no_grad():
        output = net(images)
    torch.testing.assert_close(opinion.alpha, output.alpha)
    torch.testing.assert_close(opinion.detail, output.detail)
    torch.testing.assert_close(opinion.semantic, output.semantic.softmax(1))
    assert not opinion.alpha.requires_grad


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (96, 32)])
def test_the_head_gives_a_map_at_a_quarter_of_the_size(net, size):
    images, mattes = torch.rand(2, 3, *size), torch.rand(2, 1, *size)
    head = create_head(net, width=8).eval()
    logits = head(images, mattes, opinion_of(net, images))
    assert logits.shape == (2, 1, size[0] // 4, size[1] // 4)


def test_every_parameter_of_the_head_learns(net):
    head = create_head(net, width=8)
    images = torch.rand(2, 3, 64, 64)
    head(images, torch.rand(2, 1, 64, 64), opinion_of(net, images)).square().mean().backward()
    assert all(p.grad is not None for p in head.parameters())


def test_an_untrained_head_finds_little_wrong(net):
    images = torch.rand(1, 3, 64, 64)
    head = create_head(net).eval()
    assert head(images, torch.rand(1, 1, 64, 64), opinion_of(net, images)).sigmoid().mean() < 0.2


def test_true_errors_are_means_of_blocks():
    mattes, alpha = (np.random.default_rng(seed).random((1, 1, 8, 12)) for seed in (0, 1))
    expected = np.abs(mattes - alpha).reshape(1, 1, 2, 4, 3, 4).mean((3, 5))
    found = true_errors(torch.from_numpy(mattes), torch.from_numpy(alpha))
    np.testing.assert_allclose(found, expected)
