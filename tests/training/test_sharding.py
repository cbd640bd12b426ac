"""FSDP2 in one process over gloo: a sharded and gathered network computes the same as the plain one."""

import copy

import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule

from p3m_lightning.schema import InputError
from p3m_lightning.training.sharding import parts_to_shard, reshard, shard, unshard


@pytest.fixture
def mesh():
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.ModuleDict({"a": nn.Linear(8, 8)})["a"], nn.ReLU(), nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 1))
    )


def test_parts_are_the_innermost_large_ones_and_no_bare_lists():
    block = nn.Linear(8, 8)  # 72 parameters
    net = nn.Sequential(nn.ModuleList([block, nn.Linear(2, 2)]), nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 4)))
    assert parts_to_shard(net, smallest=70) == [block, net[1]]
    assert parts_to_shard(net, smallest=1000) == []


def test_a_sharded_network_learns_and_evaluates_like_the_plain_one(mesh):
    plain = network()
    sharded = copy.deepcopy(plain)
    shard(sharded, mesh, smallest=70)
    shard(sharded, mesh, smallest=70)  # once more changes nothing
    assert isinstance(sharded, FSDPModule)
    x = torch.randn(4, 8)
    for net in (plain, sharded):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(2):
            unshard(net)
            with torch.no_grad():
                net(x)
            reshard(net)
            net(x).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    with torch.no_grad():
        torch.testing.assert_close(sharded(x), plain(x))


def test_gathered_parameters_are_whole_through_a_forward_pass(mesh):
    net = network()
    shard(net, mesh, smallest=70)
    kinds = [type(net[0].weight).__name__]
    unshard(net)
    with torch.no_grad():
        net(torch.randn(2, 8))
    kinds.append(type(net[0].weight).__name__)
    reshard(net)
    kinds.append(type(net[0].weight).__name__)
    assert kinds == ["DTensor", "Parameter", "DTensor"]


def test_another_memory_layout_is_refused(mesh):
    with pytest.raises(InputError, match="channels_last"):
        shard(nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last), mesh)
