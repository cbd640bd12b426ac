"""What P3M-Net asks of an encoder, of eight families of timm."""

import pytest
import torch
import torch.nn.functional as nnf
from torch import nn

from p3m_lightning.models import create_model
from p3m_lightning.models.encoders.hierarchical import HierarchicalEncoder
from p3m_lightning.ops import unpool
from p3m_lightning.schema import InputError

pytest.importorskip("timm")

FAMILIES = {  # name: mean of its training images, and whether its own maps begin at stride 2
    "resnet50": (0.485, True),
    "tf_efficientnet_lite0": (0.5, True),
    "mobilenetv3_large_100": (0.485, True),
    "convnext_tiny": (0.485, False),
    "regnety_008": (0.485, True),
    "swinv2_tiny_window8_256": (0.485, False),
    "hrnet_w18_small": (0.485, True),
    "convnext_tiny.dinov3_lvd1689m": (0.485, False),
}
MODULES = [(True, True, True), (False, False, False), (True, False, True), (False, True, False)]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads cost such small images more than they give."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=list(FAMILIES))
def net(request) -> nn.Module:
    torch.manual_seed(0)
    return create_model("p3mnet", encoder=request.param, decoder_width=0.25).eval()


@pytest.fixture(scope="module")
def small() -> nn.Module:
    torch.manual_seed(0)
    return create_model("p3mnet", encoder="mobilenetv3_small_050").eval()


def images(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_maps_have_the_strides_and_channels_that_are_announced(net):
    deepest, skips, indices = net.encoder(images(1, 3, 96, 64))
    for k, maps in enumerate((*skips, deepest)):
        assert maps.shape == (1, net.encoder.channels[k], 96 // 2**k, 64 // 2**k)
    for skip, index in zip(skips, indices, strict=True):
        pooled = nnf.max_pool2d(skip, 2)
        assert torch.equal(skip.flatten(2).gather(2, index.flatten(2)).view_as(pooled), pooled)
        assert unpool(pooled, index).shape == skip.shape


@torch.no_grad()
def test_a_matte_is_between_0_and_1_at_any_size_whatever_else_is_in_the_batch(net):
    batch = images(2, 3, 70, 41)
    alone, together = net(batch[:1]).alpha, net(batch).alpha
    assert together.shape == (2, 1, 70, 41)
    assert 0 <= together.min() <= together.max() <= 1
    assert torch.allclose(together[:1], alone, atol=1e-4)


@pytest.mark.parametrize("modules", MODULES[:2], ids=["all", "basic"])
def test_gradients_reach_all_that_learns(net, modules):
    tfi, sbfi, dbfi = modules
    name = net.encoder.name
    torch.manual_seed(0)
    one = net if all(modules) else create_model("p3mnet", encoder=name, tfi=tfi, sbfi=sbfi, dbfi=dbfi)
    gradients_of(one.train())
    assert [key for key, p in one.named_parameters() if p.requires_grad and p.grad is None] == []
    assert all(p.grad is not None for p in next(one.encoder.backbone.children()).parameters())
    assert all((p.grad is not None) == all(modules) for p in one.encoder.stem.parameters())
    net.zero_grad()
    net.eval()


@pytest.mark.parametrize(("tfi", "sbfi", "dbfi"), MODULES)
@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "convnext_atto"])  # maps from stride 2, and from 4
def test_what_learns_gets_gradients_whichever_modules_there_are(name, tfi, sbfi, dbfi):
    net = create_model("p3mnet", encoder=name, tfi=tfi, sbfi=sbfi, dbfi=dbfi, decoder_width=0.25).train()
    gradients_of(net)
    assert [key for key, p in net.named_parameters() if p.requires_grad == (p.grad is None)] == []


def gradients_of(net: nn.Module) -> None:
    output = net(images(2, 3, 64, 64))
    maps = (output.alpha, output.semantic, output.detail, *output.sides)
    sum(m.square().mean() for m in maps).backward()


def test_images_are_normalized_as_the_encoder_was_trained(net):
    mean = net.encoder.mean
    seen = []
    hook = net.encoder.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        net(torch.tensor(mean).view(1, 3, 1, 1).expand(1, 3, 32, 32))
    hook.remove()
    assert mean[0] == FAMILIES[net.encoder.name][0]
    assert seen[0].abs().max() < 1e-6


def test_decoders_are_no_wider_than_the_published_one():
    published = sum(p.numel() for p in create_model("p3mnet_r34").parameters())
    wide = create_model("p3mnet", encoder="resnet50")
    decoders = sum(p.numel() for part in (wide.semantic, wide.matting) for p in part.parameters())
    assert wide.encoder.channels == (32, 64, 64, 128, 256, 512)
    assert decoders < published / 2
    half = create_model("p3mnet", encoder="resnet50", decoder_width=0.5)
    assert half.encoder.channels == (32, 32, 32, 64, 128, 256)


def test_basic_takes_the_same_encoders():
    basic = create_model("basic", encoder="mobilenetv3_small_050")
    assert isinstance(basic.encoder, HierarchicalEncoder)
    assert len(basic.matting.tfi) == len(basic.matting.sbfi) == len(basic.semantic.dbfi) == 0
    assert basic.name == "basic"
    with pytest.raises(InputError, match="goes with model"):
        create_model("basic", pretrained="package")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet500", "timm has no such network; closest: .*resnet50"),
        ("zzzzzz", "timm.list_models"),
        ("convnext_tiny.no_such_tag", "no_such_tag"),
        ("vit_tiny_patch16_224", "its maps have strides 16; 4, 8, 16 and 32 are needed, .* resnet50"),
        ("levit_128s", "its maps have strides 16, 32, 64"),
        ("maxvit_pico_rw_256", "accepts one image size only"),
    ],
)
def test_an_encoder_that_does_not_fit_is_one_line(name, said):
    with pytest.raises(InputError, match=f"^model.encoder={name}: .*{said}") as caught:
        create_model("p3mnet", encoder=name)
    assert "\n" not in str(caught.value)


def test_sizes_are_padded_and_cropped(small):
    with torch.no_grad():
        for size in ((1, 1), (33, 64), (64, 96)):
            assert small(images(1, 3, *size)).alpha.shape == (1, 1, *size)
