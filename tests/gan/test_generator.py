"""StyleGAN3: the properties that the paper claims for the generator, and its parts."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from equivariance import eq_r, eq_t
from p3m_lightning.gan.equalized import activate
from p3m_lightning.gan.generator import Generator, movement
from p3m_lightning.gan.generator.filters import downsample, lowpass, radial_lowpass, recenter, upsample
from p3m_lightning.gan.generator.layers import AliasFreeLayer, ModulatedConv
from p3m_lightning.gan.generator.schedule import Band, bands
from p3m_lightning.schema import InputError

WHOLE, FRACTIONS = [(1.0, 0.0), (3.0, -2.0), (-4.0, 1.0)], [(0.5, 0.0), (1.3, -2.6)]
ANGLES = [25, 160]


def tiny(config="t", resolution=32, **keys):
    torch.manual_seed(0)
    width = {"t": 512, "r": 1024}[config]
    return Generator(resolution, config, noise=16, latent=16, base_channels=width, max_channels=32, **keys).eval()


def latents(generator, count=2):
    with torch.no_grad():
        return generator.mapping(torch.randn(count, generator.noise, generator=torch.Generator().manual_seed(1)))


@pytest.fixture
def naive(monkeypatch):
    """Layers that repeat or drop samples and let the nonlinearity act on what there is."""

    def forward(self, maps, w, update=False):
        maps = self.conv(maps, w, update) + self.bias[:, None, None]
        maps = F.interpolate(maps, scale_factor=self.up / self.down, mode="nearest")
        return activate(recenter(maps, self.size))

    monkeypatch.setattr(AliasFreeLayer, "forward", forward)


def test_configuration_t_follows_translations_as_the_paper_promises():
    generator = tiny()
    w = latents(generator)
    assert eq_t(generator, w, WHOLE) > 55
    assert eq_t(generator, w, FRACTIONS) > 55


def test_configuration_r_follows_rotations_too_and_t_does_not():
    generator = tiny("r")
    w = latents(generator)
    assert eq_t(generator, w, WHOLE) > 55
    assert eq_r(generator, w, ANGLES) > 55
    assert eq_r(tiny("t"), w, ANGLES) < 40


def test_naive_resampling_follows_neither(naive):
    w = latents(tiny())
    assert eq_t(tiny(), w, WHOLE) < 45
    assert eq_t(tiny(), w, FRACTIONS) < 45
    assert eq_r(tiny("r"), w, ANGLES) < 50


@pytest.mark.parametrize("config", ["t", "r"])
def test_gradients_reach_every_parameter(config):
    generator = tiny(config, resolution=16, layers=4).train()
    z = torch.randn(3, 16)
    generator.synthesize(generator.training_latents(z, mixing=0.5), update=True).square().mean().backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("radial", [False, True])
def test_gradients_of_an_alias_free_layer_are_right(radial):
    torch.manual_seed(0)
    before, after = Band(2, 6, 16, 10, 2, False), Band(3, 13, 32, 12, 3, False)
    layer = AliasFreeLayer(before, after, 3, radial, latent=4, half_life=100).double()
    maps, w = torch.randn(2, 2, 10, 10).double().requires_grad_(), torch.randn(2, 4).double().requires_grad_()
    assert gradcheck(lambda maps, w: layer(maps, w)[..., ::9, ::9], (maps, w), fast_mode=True)


@pytest.mark.parametrize("resolution", [16, 64, 1024])
def test_the_schedule_rises_geometrically_to_two_critically_sampled_layers(resolution):
    plan = bands(resolution)
    cutoffs = np.array([band.cutoff for band in plan])
    assert len(plan) == 15
    assert cutoffs[0] == 2
    np.testing.assert_allclose(np.diff(np.log2(cutoffs[:13])), np.log2(resolution / 4) / 12)
    assert [band.critical for band in plan] == [False] * 12 + [True] * 3
    assert all(band.cutoff == band.rate / 2 == resolution / 2 for band in plan[12:])
    for band in plan[:12]:
        assert band.size == band.rate + 20
        assert band.cutoff + band.half_width >= band.rate / 2
        assert band.rate == resolution or band.cutoff + band.half_width <= band.rate / 2


def test_the_schedule_has_the_widths_of_the_paper():
    assert [band.channels for band in bands(1024)][-3:] == [32] * 3
    assert bands(1024)[0].channels == 512
    assert [band.size for band in bands(1024)][-4:] == [1044, 1044, 1024, 1024]


def test_filters_pass_below_and_stop_above_their_band_in_every_direction():
    taps, cutoff, half_width, rate = 24, 2.0, 2.0, 16
    for kernel in (
        torch.outer(*[lowpass(taps, cutoff, half_width, rate)] * 2),
        radial_lowpass(taps, cutoff, half_width, rate),
    ):
        response = np.abs(np.fft.fft2(kernel.double().numpy(), (256, 256)))
        frequency = np.fft.fftfreq(256, 1 / rate)
        assert response[0, 0] == pytest.approx(1, abs=1e-6)
        assert response[0, abs(frequency) > cutoff + half_width].max() < 0.01
    radius = np.hypot(frequency[:, None], frequency[None, :])
    ring = response[abs(radius - cutoff) < 0.05]
    assert ring.max() - ring.min() < 0.08  # the jinc filter: half amplitude all around
    assert ring.mean() == pytest.approx(0.5, abs=0.1)


def test_up_and_down_again_gives_back_a_smooth_signal_at_its_place():
    position = torch.arange(40.0)
    row = torch.sin(2 * torch.pi * position / 16)
    maps = (row[:, None] * row[None, :]).expand(1, 2, 40, 40)
    for factor in (2, 4):
        kernel = lowpass(12 * factor, 0.3, 0.2, rate=factor)
        fine = recenter(upsample(maps, kernel, factor), 40 * factor + 11 * factor)
        back = downsample(fine, kernel, factor)
        assert back.shape == maps.shape
        torch.testing.assert_close(back[..., 12:-12, 12:-12], maps[..., 12:-12, 12:-12], atol=2e-3, rtol=0)


def test_a_canvas_without_a_common_center_is_refused():
    with pytest.raises(ValueError, match="center"):
        recenter(torch.zeros(1, 1, 5, 5), 8)


def test_a_transform_moves_the_picture_to_the_right_and_down():
    generator = tiny(resolution=16, layers=4)
    w = latents(generator, 1)
    still = generator.synthesize(w)
    moved = generator.synthesize(w, movement(torch.tensor([[2 / 16, 1 / 16]]), torch.zeros(1)))
    torch.testing.assert_close(moved[..., 1:, 2:], still[..., :-1, :-2], atol=3e-3, rtol=0)


def test_the_learned_movement_learns_at_its_own_rate():
    moved = {}
    for rate in (1.0, 0.01):
        generator = tiny(resolution=16, layers=4, movement_rate=rate)
        torch.testing.assert_close(generator.input.affine(torch.zeros(1, 16)), torch.tensor([[1.0, 0, 0, 0]]))
        optimizer = torch.optim.Adam([*generator.input.affine.parameters()], lr=0.1)
        generator(torch.randn(2, 16)).square().mean().backward()
        optimizer.step()
        after = generator.input.affine(torch.zeros(1, 16)).detach()
        moved[rate] = float((after - torch.tensor([1.0, 0, 0, 0])).abs().max())
    assert moved[0.01] == pytest.approx(moved[1.0] / 100, rel=0.02)


def test_truncation_pulls_to_the_mean_and_beyond():
    generator = tiny(resolution=16, layers=4)
    generator.mean_w.normal_()
    z = torch.randn(3, 16)
    w = generator.mapping(z)
    torch.testing.assert_close(generator(z, psi=1), generator.synthesize(w))
    torch.testing.assert_close(generator(z, psi=0), generator.synthesize(generator.mean_w.expand(3, -1)))
    torch.testing.assert_close(generator.truncate(w, -0.5) - generator.mean_w, -0.5 * (w - generator.mean_w))
    each = generator(z, psi=torch.tensor([1.0, 0.0, -1.0]))
    torch.testing.assert_close(each[2:], generator(z[2:], psi=-1))


def test_the_mean_of_w_follows_training_only():
    generator = tiny(resolution=16, layers=4, latent_decay=0.5)
    z = torch.randn(64, 16)
    generator(z)
    assert not generator.mean_w.any()
    generator.training_latents(z)
    torch.testing.assert_close(generator.mean_w, generator.mapping(z).mean(dim=0) / 2)


def test_style_mixing_changes_w_from_some_place_on():
    generator = tiny(resolution=16, layers=4)
    z = torch.randn(32, 16)
    own = generator.mapping(z)[:, None]
    mixed = generator.training_latents(z, mixing=1.0)
    same = (mixed == own).all(dim=2)
    assert mixed.shape == (32, generator.places, 16)
    assert same[:, 0].all()
    assert not same[:, -1].any()
    assert (same.int().diff(dim=1) <= 0).all()  # once changed, it stays so
    assert len(same.sum(dim=1).unique()) > 1


def test_modulated_convolution_keeps_unit_variance_whatever_the_style():
    torch.manual_seed(0)
    conv = ModulatedConv(24, 32, 3, latent=8, demodulate=True, half_life=100)
    maps = torch.randn(4, 24, 40, 40)
    out = conv(maps, 5 * torch.randn(4, 8))[..., 2:-2, 2:-2].detach()
    assert out.std() == pytest.approx(1, abs=0.1)


def test_modulated_convolution_is_the_convolution_with_a_modulated_weight():
    torch.manual_seed(0)
    conv = ModulatedConv(5, 7, 3, latent=4, demodulate=True, half_life=100)
    conv.magnitude.fill_(2.0)
    maps, w = torch.randn(2, 5, 9, 9), torch.randn(2, 4)
    for one, latent, out in zip(maps, w, conv(maps, w), strict=True):
        weight = conv.weight * conv.style(latent[None])[:, :, None, None]
        weight = weight / weight.square().sum(dim=(1, 2, 3), keepdim=True).sqrt() / 2.0**0.5
        torch.testing.assert_close(out, F.conv2d(one[None], weight, padding=2)[0], atol=1e-4, rtol=1e-4)


def test_the_running_magnitude_takes_out_the_scale_of_the_input():
    conv = ModulatedConv(3, 4, 1, latent=4, demodulate=True, half_life=1)
    maps, w = torch.randn(2, 3, 8, 8), torch.randn(2, 4)
    plain = conv(maps, w) / maps.square().mean().sqrt()
    assert conv.magnitude == 1
    for _ in range(20):
        conv(7 * maps, w, update=True)
    torch.testing.assert_close(conv(7 * maps, w), plain, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("resolution", [16, 128])
def test_pictures_have_four_channels_at_any_power_of_two(resolution):
    generator = tiny(resolution=resolution, layers=5)
    with torch.no_grad():
        assert generator(torch.randn(1, 16)).shape == (1, 4, resolution, resolution)


@pytest.mark.parametrize(("keys", "named"), [({"resolution": 48}, "48"), ({"config": "x"}, "x"), ({"layers": 2}, "2")])
def test_impossible_generators_are_refused(keys, named):
    with pytest.raises(InputError, match=named):
        Generator(**{"resolution": 32, **keys})
