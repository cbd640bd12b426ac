import pytest
import torch
import torch.nn.functional as nnf

from p3m_lightning.experiments.bench.published import network as published_network
from p3m_lightning.experiments.bench.published.network import as_published
from p3m_lightning.models import create_model


@pytest.mark.parametrize("name", ["p3mnet_r34", "basic"])
def test_it_computes_the_same_the_published_way(name, monkeypatch):
    torch.manual_seed(0)
    net = create_model(name, width=0.125).eval()
    images = torch.rand(1, 3, 64, 96)
    strides, pool = [], nnf.max_pool2d
    monkeypatch.setattr(
        published_network.nnf, "max_pool2d", lambda *a, **k: strides.append(k.get("stride")) or pool(*a, **k)
    )
    with torch.no_grad():
        found = as_published(net)(images)
        assert [stride for stride in strides if stride in (4, 8)] == ([8, 4] if name == "p3mnet_r34" else [])
        strides.clear()
        expected = net(images)
        assert not {4, 8} & set(strides)
    torch.testing.assert_close(found.detail, expected.detail, rtol=0, atol=1e-6)
    assert torch.equal(found.semantic, expected.semantic)


def test_what_is_no_p3m_net_is_copied():
    net = torch.nn.Conv2d(3, 1, 1)
    copy = as_published(net)
    assert copy is not net
    assert torch.equal(copy.weight, net.weight)
