import torch

from p3m_lightning.experiments.bench.limits.floor import floor_of

ONE_SECOND = {"operations_per_second": {"float32": 1e6, "bfloat16": 1e9}, "bytes_per_second": 1e3}


def test_a_product_is_counted_by_hand():
    a, b = torch.ones(10, 20), torch.ones(20, 30)
    found = floor_of(lambda: a @ b, ONE_SECOND)
    assert found["operations"] == 2 * 10 * 20 * 30
    assert found["bytes"] == 4 * (200 + 600 + 300)
    assert found["seconds"] == 4.4  # bytes: 4,400 at a thousand a second; arithmetic would be done in 0.012
    assert floor_of(lambda: a @ b, {**ONE_SECOND, "bytes_per_second": 1e9})["seconds"] == 12000 / 1e6


def test_views_are_free_and_writing_in_place_is_not():
    maps = torch.ones(4, 8)
    assert floor_of(lambda: maps.t()[1:].reshape(7, 2, 2)[0], ONE_SECOND)["bytes"] == 0
    assert floor_of(lambda: maps.mul_(2), ONE_SECOND)["bytes"] == 2 * 4 * 32


def test_each_operation_has_its_own_floor():
    net = torch.nn.Conv2d(3, 5, 3)
    images = torch.ones(1, 3, 8, 8)
    ceilings = {"operations_per_second": {"float32": 1e3}, "bytes_per_second": 1e3}

    def work():
        with torch.no_grad():
            net(images).clone()

    found = floor_of(work, ceilings)
    operations, copied = 2 * 5 * 3 * 9 * 36, 2 * 4 * 5 * 36
    assert found["operations"] == operations
    assert found["seconds"] == operations / 1e3 + copied / 1e3  # the convolution computes, the copy moves
