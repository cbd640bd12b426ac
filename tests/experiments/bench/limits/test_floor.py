import pytest
import torch

from p3m_lightning.experiments.bench.limits.floor import floor_of

ONE_SECOND = {"operations_per_second": {"float32": 1e6, "bfloat16": 1e9}, "bytes_per_second": 1e3}


def test_a_product_is_counted_by_hand():
    a, b = torch.ones(10, 20), torch.ones(20, 30)
    found = floor_of(lambda: a @ b, ONE_SECOND)
    assert found["operations"] == 2 * 10 * 20 * 30
    assert found["bytes"] == 4 * (200 + 600 + 300)
    assert found["roofline_seconds"] == 4.4  # bytes: 4,400 at a thousand a second
    assert found["seconds"] == 12000 / 1e6  # arithmetic alone
    assert floor_of(lambda: a @ b, {**ONE_SECOND, "bytes_per_second": 1e9})["roofline_seconds"] == 12000 / 1e6
    assert floor_of(lambda: a @ b, ONE_SECOND, "bfloat16")["seconds"] == 12000 / 1e9


def test_views_are_free_and_writing_in_place_is_not():
    maps = torch.ones(4, 8)
    assert floor_of(lambda: maps.t()[1:].reshape(7, 2, 2)[0], ONE_SECOND)["bytes"] == 0
    assert floor_of(lambda: maps.mul_(2), ONE_SECOND)["bytes"] == 2 * 4 * 32


def test_the_roofline_adds_up_operations():
    net = torch.nn.Conv2d(3, 5, 3)
    images = torch.ones(1, 3, 8, 8)
    ceilings = {"operations_per_second": {"float32": 1e3}, "bytes_per_second": 1e3}

    def work():
        with torch.no_grad():
            net(images).clone()

    found = floor_of(work, ceilings)
    operations, copied = 2 * 5 * 3 * 9 * 36, 2 * 4 * 5 * 36
    assert found["operations"] == operations
    assert found["seconds"] == operations / 1e3
    assert found["roofline_seconds"] == operations / 1e3 + copied / 1e3  # the convolution computes, the copy moves


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("kind", [torch.nn.Conv2d, torch.nn.ConvTranspose2d])
def test_a_backward_pass_through_a_convolution_costs_twice_the_forward_pass(kind, groups):
    net = kind(8, 8, 3, stride=2, groups=groups, bias=False)
    images = torch.rand(2, 8, 9, 9, requires_grad=True)
    forward = floor_of(lambda: net(images), ONE_SECOND)["operations"]
    both = floor_of(lambda: net(images).sum().backward(), ONE_SECOND)["operations"]
    places = 2 * 8 * (81 if kind is torch.nn.ConvTranspose2d else 16)
    assert forward == 2 * places * 9 * 8 // groups
    assert both == 3 * forward
