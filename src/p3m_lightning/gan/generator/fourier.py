"""The generator's input: Fourier features with exact shift and rotation (StyleGAN3, section 3.1 and appendix F)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from p3m_lightning.gan.equalized import EqualizedLinear
from p3m_lightning.gan.generator.schedule import Band
from p3m_lightning.ops import constant


def movement(shift: Tensor, degrees: Tensor) -> Tensor:
    """Return matrices that rotate an image about its center and then shift it.

    Args:
        shift: (N, 2), to the right and downward, in sides of the image.
        degrees: (N,), clockwise.

    Returns:
        (N, 3, 3), for homogeneous points (x, y, 1) with the image's center at 0.
    """
    angle = torch.deg2rad(degrees)
    cosine, sine, zero, one = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle), torch.ones_like(angle)
    rows = [cosine, -sine, shift[:, 0], sine, cosine, shift[:, 1], zero, zero, one]
    return torch.stack(rows, dim=1).unflatten(1, (3, 3))


class FourierInput(nn.Module):
    """One wave per channel, with fixed frequency and phase, moved by the latent and the user, then mixed.

    Args:
        band: of the output; its cutoff bounds the frequencies.
        latent: features of w.
        rate: multiplies the learning rate of the movement by the latent.
    """

    frequencies: Tensor
    phases: Tensor

    def __init__(self, band: Band, latent: int, rate: float = 1.0) -> None:
        super().__init__()
        self.band = band
        radius = band.cutoff * torch.rand(band.channels, 1).sqrt()  # uniform over the disc
        angle = 2 * torch.pi * torch.rand(band.channels, 1)
        self.register_buffer("frequencies", radius * torch.cat([angle.cos(), angle.sin()], dim=1))
        self.register_buffer("phases", torch.rand(band.channels))
        self.mixing = nn.Parameter(torch.randn(band.channels, band.channels))
        self.affine = EqualizedLinear(latent, 4, weight=0, rate=rate)
        assert self.affine.bias is not None
        with torch.no_grad():
            self.affine.bias.copy_(torch.tensor([1 / rate, 0, 0, 0]))  # cosine, sine, shift: initially the identity

    def forward(self, w: Tensor, transform: Tensor | None = None) -> Tensor:
        """Return the features for w (N, latent), moved further by `transform` (N, 3, 3) or (3, 3), see `movement`."""
        inverse = self._learned_inverse(w.float())
        if transform is not None:
            inverse = inverse @ torch.linalg.inv(transform.to(inverse))
        frequencies = self.frequencies @ inverse[:, :2, :2]  # (N, C, 2)
        phases = self.phases + (self.frequencies @ inverse[:, :2, 2:]).squeeze(-1)  # (N, C)
        x, y = self._grid(w.device)
        waves = frequencies[..., :1, None] * x + frequencies[..., 1:, None] * y + phases[..., None, None]
        maps = torch.sin(2 * torch.pi * waves) * self._amplitudes(frequencies)[..., None, None]
        return torch.einsum("oc,nchw->nohw", self.mixing / self.band.channels**0.5, maps)

    def _learned_inverse(self, w: Tensor) -> Tensor:
        """Return the matrices (N, 3, 3) from points of the image to points of the waves."""
        raw = self.affine(w)
        turn, shift = raw[:, :2], raw[:, 2:]
        cosine, sine = (turn / turn.norm(dim=1, keepdim=True)).unbind(1)
        rotation = torch.stack([cosine, sine, -sine, cosine], dim=1).unflatten(1, (2, 2))
        top = torch.cat([rotation, -rotation @ shift[:, :, None]], dim=2)
        return torch.cat([top, constant(top, [0, 0, 1]).view(1, 1, 3).expand(len(w), 1, 3)], dim=1)

    def _amplitudes(self, frequencies: Tensor) -> Tensor:
        """Return amplitudes that fade waves which a shrinking `transform` makes too fast for the sampling rate."""
        headroom = self.band.rate / 2 - self.band.cutoff
        return (1 - (frequencies.norm(dim=2) - self.band.cutoff) / headroom).clamp(0, 1)

    def _grid(self, device: torch.device) -> tuple[Tensor, Tensor]:
        positions = (torch.arange(self.band.size, device=device) + 0.5 - self.band.size / 2) / self.band.rate
        return positions[None, :], positions[:, None]
