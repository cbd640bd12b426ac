"""Discriminators of StyleMatteGAN: effects of augmentation, and frozen and trained parts."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

from p3m_lightning.gan.discriminators import (
    AdaptiveStrength,
    Augmentation,
    Discriminator,
    FrozenFeatures,
    VisionAidedDiscriminator,
)
from p3m_lightning.gan.discriminators.augment import move, random_colors, random_movements, recolor
from p3m_lightning.gan.discriminators.residual import ResidualBlock, minibatch_deviation
from p3m_lightning.gan.equalized import EqualizedConv, EqualizedLinear
from p3m_lightning.gan.losses import discriminator_loss, generator_loss, squared_gradient
from p3m_lightning.models import create_model
from p3m_lightning.models.weights import save_weights
from p3m_lightning.schema import InputError


def smooth_pictures(count=4, size=32):
    torch.manual_seed(0)
    return F.interpolate(torch.rand(count, 4, 5, 5), (size, size), mode="bicubic").clamp(0, 1)


def test_color_augmentation_leaves_alpha_alone_and_changes_rgb():
    pictures = smooth_pictures()
    augmented = Augmentation(strength=1, geometry=False)(pictures)
    assert torch.equal(augmented[:, 3], pictures[:, 3])
    assert ((augmented[:, :3] - pictures[:, :3]).abs().amax(dim=(1, 2, 3)) > 0.05).all()


def test_geometry_moves_all_four_channels_alike():
    pictures = smooth_pictures()[:, :1].repeat(1, 4, 1, 1)
    augmented = Augmentation(strength=1, color=False)(pictures)
    assert ((augmented - pictures).abs().amax(dim=(1, 2, 3)) > 0.05).all()
    torch.testing.assert_close(augmented, augmented[:, :1].expand_as(augmented))


def test_without_strength_nothing_is_touched():
    pictures = smooth_pictures()
    assert Augmentation(strength=0)(pictures) is pictures


def turn(quarters):
    angle = torch.tensor(quarters * np.pi / 2, dtype=torch.float32)
    return torch.tensor([[angle.cos(), -angle.sin(), 0], [angle.sin(), angle.cos(), 0], [0, 0, 1]])


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (torch.eye(3), lambda p: p),
        (turn(1), lambda p: p.rot90(1, (2, 3))),
        (torch.diag(torch.tensor([-1.0, 1, 1])), lambda p: p.flip(3)),
        (torch.tensor([[1.0, 0, 4 / 32], [0, 1, 0], [0, 0, 1]]), lambda p: p.roll(-2, 3)),
    ],
    ids=["still", "quarter turn", "mirror", "two pixels"],
)
def test_blitting_is_what_it_is_called(matrix, expected):
    pictures = smooth_pictures()
    moved = move(pictures, matrix.expand(4, 3, 3), Augmentation().kernel)
    torch.testing.assert_close(moved[..., 3:-3, 3:-3], expected(pictures)[..., 3:-3, 3:-3], atol=1e-2, rtol=0)


def test_every_kind_of_change_meets_its_share_of_the_pictures():
    torch.manual_seed(0)
    like = torch.zeros(1, 4, 16, 16)
    colors = random_colors(4000, 0.25, like)
    same = (colors - torch.eye(3, 4)).abs().amax(dim=(1, 2)) < 1e-5
    assert same.float().mean() == pytest.approx(0.75**4 * (1 - 0.25 / 2), abs=0.03)  # half of the luma flips do nothing
    movements = random_movements(4000, 0.25, like)
    still = (movements - torch.eye(3)).abs().amax(dim=(1, 2)) < 1e-5
    # mirror, quarter turns, whole shifts; two scales, turn, fractional shift
    expected = (1 - 0.25 / 2) * (1 - 0.25 * 3 / 4) * 0.75 * 0.75 * 0.75 * 0.75 * 0.75
    assert still.float().mean() == pytest.approx(expected, abs=0.03)


def test_hue_and_saturation_keep_grey_grey():
    grey = torch.rand(64, 1, 2, 2).repeat(1, 3, 1, 1)
    changed = recolor(grey, random_colors(64, 1.0, grey))
    torch.testing.assert_close(changed, changed[:, :1].expand_as(changed), atol=1e-4, rtol=0)


def test_gradients_pass_through_the_augmentation():
    torch.manual_seed(0)
    pictures = torch.rand(2, 4, 8, 8, dtype=torch.float64, requires_grad=True)
    matrices = random_movements(2, 1.0, pictures)
    colors = random_colors(2, 1.0, pictures)
    kernel = Augmentation().kernel.double()
    assert gradcheck(lambda p: recolor(move(p, matrices, kernel), colors), pictures, fast_mode=True)


def test_the_controller_follows_the_sign_of_real_logits():
    augmentation, controller = Augmentation(), AdaptiveStrength(target=0.6, interval=2, images=100)
    for logits in ([1.0, 1, 1, 1], [2.0, 2, 2, -2]):  # mean sign 0.75
        controller.update(torch.tensor(logits), augmentation)
    assert controller.overfitting == 0.75
    assert augmentation.strength == pytest.approx(8 / 100)
    for _ in range(4):
        controller.update(torch.tensor([1.0, 1, -1, -1]), augmentation)
    assert augmentation.strength == 0


def test_gradients_reach_every_parameter_of_the_discriminator():
    net = Discriminator(32, base_channels=256, max_channels=16)
    generator_loss(net(smooth_pictures())).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_second_derivatives_of_a_residual_block_are_right():
    torch.manual_seed(0)
    block = ResidualBlock(2, 3).double()
    maps = torch.randn(1, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    assert gradgradcheck(block, maps, fast_mode=True)


def test_r1_of_a_linear_judge_is_the_square_of_its_weights():
    weights, pictures = torch.randn(4, 3, 3), torch.rand(5, 4, 3, 3, requires_grad=True)
    penalty = squared_gradient((pictures * weights).sum(dim=(1, 2, 3)), pictures)
    assert penalty.item() == pytest.approx(weights.square().sum().item(), rel=1e-5)


def test_logistic_losses_against_their_formula():
    real, fake = torch.randn(6, 2), torch.randn(6, 2)
    expected = -(torch.sigmoid(real).log().mean() + (1 - torch.sigmoid(fake)).log().mean())
    torch.testing.assert_close(discriminator_loss(real, fake), expected)
    torch.testing.assert_close(generator_loss(fake), -torch.sigmoid(fake).log().mean())


def test_minibatch_deviation_against_numpy():
    maps = torch.randn(6, 3, 2, 2)
    out = minibatch_deviation(maps, group=4)  # groups of three: 0, 2, 4 and 1, 3, 5
    for start in (0, 1):
        expected = np.sqrt(maps[start::2].numpy().var(axis=0) + 1e-8).mean()
        torch.testing.assert_close(out[start::2], torch.full((3, 1, 2, 2), float(expected)))
    assert not minibatch_deviation(maps[:1], group=4).any()


def test_equalized_layers_start_with_unit_variance_whatever_their_rate():
    torch.manual_seed(0)
    features = torch.randn(512, 256)
    assert EqualizedLinear(256, 128, rate=0.01)(features).std().item() == pytest.approx(1, abs=0.05)
    assert EqualizedConv(16, 64, 3, stride=2)(torch.randn(8, 16, 17, 17)).std().item() == pytest.approx(1, abs=0.1)
    slow, plain = EqualizedLinear(4, 4, bias=1.0, rate=0.01), EqualizedLinear(4, 4, bias=1.0)
    slow.weight.data, plain.weight.data = 100 * torch.ones(4, 4), torch.ones(4, 4)
    torch.testing.assert_close(slow(features[:, :4]), plain(features[:, :4]))


def test_heads_learn_and_features_stay_as_they_are():
    net = VisionAidedDiscriminator(FrozenFeatures(size=32, levels=2), width=8).train()
    pictures = torch.rand(2, 3, 16, 16, requires_grad=True)
    logits = net(pictures)
    assert logits.shape == (2, 2)
    generator_loss(logits).backward()
    assert pictures.grad.abs().sum() > 0
    assert all(p.grad.abs().sum() > 0 for p in net.heads.parameters())
    assert not any(p.requires_grad for p in net.features.parameters())
    assert not net.features.body.training


def test_random_features_follow_their_seed_and_leave_the_run_its_draws():
    torch.manual_seed(3)
    pictures = torch.rand(1, 3, 32, 32)
    torch.manual_seed(3)
    first = FrozenFeatures(size=None, seed=1)
    assert torch.equal(torch.rand(1, 3, 32, 32), pictures)
    again, other = FrozenFeatures(size=None, seed=1), FrozenFeatures(size=None, seed=2)
    assert torch.equal(first(pictures)[-1], again(pictures)[-1])
    assert not torch.equal(first(pictures)[-1], other(pictures)[-1])


def test_features_of_a_network_of_ours_come_from_its_file(tmp_path):
    model = create_model("p3mnet_r34", width=0.125)
    save_weights(model, {"model": {"name": "p3mnet_r34", "width": 0.125}}, tmp_path / "ours.safetensors")
    features = FrozenFeatures(str(tmp_path / "ours.safetensors"), size=None, levels=1)
    assert features.name == "ours"
    assert features.channels == (model.encoder.channels[-1],)
    assert torch.equal(next(features.body.parameters()), next(model.encoder.parameters()))


def test_features_of_timm_come_from_a_weight_file(tmp_path):
    timm = pytest.importorskip("timm")
    whole = timm.create_model("resnet10t", pretrained=False)
    torch.save(whole.state_dict(), tmp_path / "resnet10t.pth")
    features = FrozenFeatures("resnet10t", tmp_path / "resnet10t.pth", size=32, levels=2)
    assert len(features(torch.rand(1, 3, 16, 16))) == 2
    assert features.channels == (256, 512)
    ours = dict(features.body.named_parameters())
    assert torch.equal(ours["layer4.0.conv1.weight"], whole.state_dict()["layer4.0.conv1.weight"])


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"network": "nonesuch_net"}, "nonesuch_net"),
        ({"network": "resnet10t", "weights": "missing.pth"}, "missing.pth"),
        ({"network": "missing.ckpt"}, "missing.ckpt"),
    ],
)
def test_features_that_there_are_not_are_refused(keys, named):
    with pytest.raises(InputError, match=named):
        FrozenFeatures(**keys)
