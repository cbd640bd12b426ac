"""StyleGAN3: alias-free generator (Karras et al., NeurIPS 2021), here for RGBA, as in StyleMatteGAN."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from p3m_lightning.gan.equalized import EqualizedLinear, activate
from p3m_lightning.gan.generator.fourier import FourierInput
from p3m_lightning.gan.generator.layers import AliasFreeLayer, ColorLayer
from p3m_lightning.gan.generator.schedule import bands
from p3m_lightning.schema import InputError

KERNELS = {"t": 3, "r": 1}
OUTPUT_SCALE = 0.25
"""Scales the untrained network's output to about the range of images."""


class MappingNetwork(nn.Module):
    """Fully connected layers from z to w.

    Args:
        noise: features of z.
        latent: features of w.
        layers: number of layers, 2 in StyleGAN3.
        rate: multiplies their learning rate.
    """

    def __init__(self, noise: int, latent: int, layers: int, rate: float) -> None:
        super().__init__()
        sizes = [noise, *[latent] * layers]
        self.layers = nn.ModuleList(EqualizedLinear(a, b, rate=rate) for a, b in pairwise(sizes))

    def forward(self, z: Tensor) -> Tensor:
        """(N, noise) -> (N, latent)."""
        with torch.autocast(z.device.type, enabled=False):  # half precision would lose detail of the latents
            features = z.float() * (z.float().square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()
            for layer in self.layers:
                features = activate(layer(features))
            return features


class Generator(nn.Module):
    """Mapping network and alias-free synthesis.

    `forward(z)` returns images of nominal range [0, 1], not clamped, channels RGBA.

    Args:
        resolution: side of the images, a power of two from 16 up.
        config: "t", translation equivariant: 3 x 3 convolutions; "r", rotation too: 1 x 1 convolutions, radial filters.
        colors: channels of an image.
        noise: features of z.
        latent: features of w.
        mapping_layers: fully connected layers of the mapping network.
        mapping_rate: multiplies the learning rate of the mapping network.
        movement_rate: multiplies the learning rate of the input's learned movement.
        layers: convolutional layers, not counting the last, linear one.
        critical: how many of them are critically sampled.
        margin: samples around the image on every canvas.
        base_channels: width, see `schedule.bands`; the paper has 32768 in T, twice as many in R.
        max_channels: width, see `schedule.bands`; the paper has 512 in T, 1024 in R.
        magnitude_half_life: images over which the running mean of a layer's input magnitude halves.
        latent_decay: of the running mean of w, for each update.

    Raises:
        InputError: an invalid resolution, configuration or number of layers.
    """

    mean_w: Tensor

    def __init__(
        self,
        resolution: int,
        config: str = "t",
        colors: int = 4,
        noise: int = 512,
        latent: int = 512,
        mapping_layers: int = 2,
        mapping_rate: float = 0.01,
        movement_rate: float = 1.0,
        layers: int = 14,
        critical: int = 2,
        margin: int = 10,
        base_channels: int = 32768,
        max_channels: int = 512,
        magnitude_half_life: float = 20_000,
        latent_decay: float = 0.998,
    ) -> None:
        super().__init__()
        if resolution < 16 or resolution & (resolution - 1):
            raise InputError(f"generator.resolution: {resolution} is not a power of two from 16 up")
        if config not in KERNELS:
            raise InputError(f"generator.config: {config!r} is not one of {', '.join(KERNELS)}")
        if layers <= critical:
            raise InputError(f"generator.layers: {layers} must exceed the {critical} critically sampled ones")
        self.resolution, self.noise, self.latent_decay = resolution, noise, latent_decay
        plan = bands(resolution, layers, critical, margin, base_channels, max_channels)
        self.mapping = MappingNetwork(noise, latent, mapping_layers, mapping_rate)
        self.register_buffer("mean_w", torch.zeros(latent))
        self.input = FourierInput(plan[0], latent, movement_rate)
        self.layers = nn.ModuleList(
            AliasFreeLayer(before, after, KERNELS[config], config == "r", latent, magnitude_half_life)
            for before, after in zip([plan[0], *plan[:-2]], plan[:-1], strict=True)
        )
        self.color = ColorLayer(plan[-2], colors, latent, magnitude_half_life)

    @property
    def places(self) -> int:
        """Number of layers that take a w: the input, every layer, the color layer."""
        return len(self.layers) + 2

    def forward(self, z: Tensor, psi: float | Tensor = 1.0, transform: Tensor | None = None) -> Tensor:
        """Generate images.

        Args:
            z: (N, noise), normal noise.
            psi: truncation toward the mean of w, a number or (N,): 1 is none, 0 the mean itself, negative values go
                beyond it, opposite to z.
            transform: (N, 3, 3), moves the images, see `fourier.movement`.

        Returns:
            (N, colors, resolution, resolution).
        """
        return self.synthesize(self.truncate(self.mapping(z), psi), transform)

    def truncate(self, w: Tensor, psi: float | Tensor) -> Tensor:
        """Scale the distance of w (N, latent) to the mean by `psi`."""
        psi = torch.as_tensor(psi, dtype=w.dtype, device=w.device).reshape(-1, 1)
        return self.mean_w + psi * (w - self.mean_w)

    def synthesize(self, w: Tensor, transform: Tensor | None = None, update: bool = False) -> Tensor:
        """Generate from latents.

        Args:
            w: (N, latent), or (N, places, latent) with a w for each layer, as in style mixing.
            transform: as for `forward`.
            update: update the running means of the magnitudes, in training.
        """
        w = w.float()
        w = w[:, None].expand(-1, self.places, -1) if w.ndim == 2 else w
        with torch.autocast(w.device.type, enabled=False):  # half precision is too coarse for phases
            maps = self.input(w[:, 0], transform)
        for place, layer in enumerate(self.layers, start=1):
            maps = layer(maps, w[:, place], update)
        pictures = self.color(maps, w[:, -1], update)
        return pictures.float() * OUTPUT_SCALE / 2 + 0.5  # from [-1, 1] to [0, 1]

    def training_latents(self, z: Tensor, mixing: float = 0.0) -> Tensor:
        """Map z (N, noise) to w for every layer, (N, places, latent), and update the mean of w.

        Args:
            z: normal noise.
            mixing: probability that an image takes another w from a random layer on (StyleGAN, section 3.1).
        """
        w = self.mapping(z)
        self.mean_w.lerp_(w.detach().mean(dim=0), 1 - self.latent_decay)
        w = w[:, None].expand(-1, self.places, -1)
        if not mixing:
            return w
        other = self.mapping(torch.randn_like(z))[:, None]
        start = torch.randint(1, self.places, (len(z), 1), device=z.device)
        mixed = torch.rand(len(z), 1, device=z.device) < mixing
        return torch.where((mixed & (torch.arange(self.places, device=z.device) >= start))[..., None], other, w)
