"""Adaptive discriminator augmentation (Karras et al., NeurIPS 2020) for RGBA: color changes leave alpha.

Pixel blitting, geometric and color transformations of the paper's appendix B, each with probability p for every
image; the geometric ones are composed into one matrix and sampled once at double the rate.
"""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from p3m_lightning.gan.generator.filters import downsample, lowpass, upsample
from p3m_lightning.gan.host_values import HostValue
from p3m_lightning.ops import constant

TAPS = 12
"""Length of the half-band filter around the resampling."""
SCALE_DEVIATION = 0.2
"""Of the binary logarithm of scales, isotropic and anisotropic."""
SHIFT_DEVIATION = 0.125
"""Of fractional translations, in sides of the image; the bound of whole-pixel ones."""
BRIGHTNESS_DEVIATION, CONTRAST_DEVIATION, SATURATION_DEVIATION = 0.2, 0.5, 1.0
"""Brightness for colors in [-1, 1]; contrast and saturation of the binary logarithm."""


class Augmentation(nn.Module):
    """Augment images, differentiably, with the probability `strength`, which is saved in the checkpoint.

    Args:
        strength: initial probability p.
        geometry: blit and move.
        color: change brightness, contrast, luma, hue and saturation.
    """

    strength: Tensor
    kernel: Tensor

    def __init__(self, strength: float = 0.0, geometry: bool = True, color: bool = True) -> None:
        super().__init__()
        self.register_buffer("strength", torch.tensor(float(strength)))
        self.register_buffer("kernel", lowpass(TAPS, 0.5, 0.25, rate=2), persistent=False)
        self.geometry, self.color = geometry, color
        self._on_host = HostValue()

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3 or 4, H, H) nominally in [0, 1] -> the same shape; all channels move, alpha is not recolored."""
        p = self._on_host.of(self.strength)
        if p == 0:
            return pictures
        pictures = pictures.float()
        if self.geometry:
            pictures = move(pictures, random_movements(len(pictures), p, pictures), self.kernel)
        if self.color:
            pictures = recolor(pictures, random_colors(len(pictures), p, pictures))
        return pictures


def move(pictures: Tensor, matrices: Tensor, kernel: Tensor) -> Tensor:
    """Resample images (N, C, H, H) by affine matrices, mirrored at the edges.

    Args:
        pictures: the images.
        matrices: (N, 3, 3), from points of the result to points of the image, both in [-1, 1].
        kernel: half-band filter, before and after the sampling at double the rate.
    """
    size, rim, reach = pictures.shape[-1], len(kernel) // 2, len(kernel) - 2  # the filter's reach, both sides together
    fine = _middle(upsample(F.pad(pictures, [rim] * 4, mode="reflect"), kernel, 2), 2 * size)
    side = 2 * size + reach
    widen = torch.diag(constant(matrices, [side / (2 * size), side / (2 * size), 1]))
    grid = F.affine_grid((matrices @ widen)[:, :2], [len(pictures), 1, side, side], align_corners=False)
    moved = F.grid_sample(fine, grid, padding_mode="reflection", align_corners=False)
    return downsample(moved, kernel, 2)


def recolor(pictures: Tensor, matrices: Tensor) -> Tensor:
    """Apply affine color matrices (N, 3, 4), for colors in [-1, 1], to the first three channels of (N, C, H, W)."""
    colors = 2 * pictures[:, :3] - 1
    changed = torch.einsum("nij,njhw->nihw", matrices[:, :, :3], colors) + matrices[:, :, 3, None, None]
    return torch.cat([(changed + 1) / 2, pictures[:, 3:]], dim=1)


def random_movements(count: int, p: float, like: Tensor) -> Tensor:
    """Draw matrices (count, 3, 3), see `move`, each kind of movement with probability `p`."""
    side = like.shape[-1]
    draw = _Draws(count, p, like)
    whole = draw.uniform(-SHIFT_DEVIATION, SHIFT_DEVIATION, columns=2)
    whole = (whole * side).round() / side
    turn = 1 - (1 - p) ** 0.5  # two chances of a rotation, together p
    one = like.new_ones(count)
    anisotropic = draw.lognormal(SCALE_DEVIATION)
    isotropic = draw.lognormal(SCALE_DEVIATION)
    steps = [
        _scaling(1 - 2 * draw.choice(2), one),  # mirror
        _rotation(pi / 2 * draw.choice(4)),
        _translation(2 * draw.keep(whole, 0)),
        _scaling(isotropic, isotropic),
        _rotation(draw.keep(draw.uniform(-pi, pi), 0, turn)),
        _scaling(anisotropic, 1 / anisotropic),
        _rotation(draw.keep(draw.uniform(-pi, pi), 0, turn)),
        _translation(2 * draw.keep(draw.normal(SHIFT_DEVIATION, columns=2), 0)),
    ]
    matrix = steps[0]
    for step in steps[1:]:
        matrix = step @ matrix
    return torch.linalg.inv(matrix)


def random_colors(count: int, p: float, like: Tensor) -> Tensor:
    """Draw matrices (count, 3, 4), see `recolor`, each kind of change with probability `p`."""
    draw = _Draws(count, p, like)
    identity = torch.eye(3, device=like.device, dtype=like.dtype)
    grey = like.new_full((3, 3), 1 / 3)  # projects onto the axis of luma
    brightness = draw.keep(draw.normal(BRIGHTNESS_DEVIATION), 0)
    contrast = draw.lognormal(CONTRAST_DEVIATION)
    flip = draw.choice(2)
    hue = draw.keep(draw.uniform(-pi, pi), 0)
    saturation = draw.lognormal(SATURATION_DEVIATION)
    matrix = contrast[:, None, None] * identity
    offset = (brightness * contrast)[:, None].expand(-1, 3)
    steps = [
        identity - 2 * flip[:, None, None] * grey,
        _hue_rotation(hue, like),
        grey + saturation[:, None, None] * (identity - grey),
    ]
    for step in steps:
        matrix, offset = step @ matrix, (step @ offset[:, :, None]).squeeze(2)
    return torch.cat([matrix, offset[:, :, None]], dim=2)


class _Draws:
    """Random parameters for `count` images, of which a share keeps the neutral value."""

    def __init__(self, count: int, p: float, like: Tensor) -> None:
        self.count, self.p, self.like = count, p, like

    def keep(self, values: Tensor, neutral: float, p: float | None = None) -> Tensor:
        """Keep the values of an image with probability `p`, else the neutral one."""
        kept = self._rand() < (self.p if p is None else p)
        return torch.where(kept.view(-1, *[1] * (values.ndim - 1)), values, neutral)

    def uniform(self, low: float, high: float, columns: int | None = None) -> Tensor:
        return low + (high - low) * self._rand(columns)

    def normal(self, deviation: float, columns: int | None = None) -> Tensor:
        shape = (self.count,) if columns is None else (self.count, columns)
        return deviation * torch.randn(shape, device=self.like.device, dtype=self.like.dtype)

    def lognormal(self, deviation: float) -> Tensor:
        return self.keep(torch.exp2(self.normal(deviation)), 1)

    def choice(self, options: int) -> Tensor:
        return self.keep((options * self._rand()).floor(), 0)

    def _rand(self, columns: int | None = None) -> Tensor:
        shape = (self.count,) if columns is None else (self.count, columns)
        return torch.rand(shape, device=self.like.device, dtype=self.like.dtype)


def _matrix(rows: list[list[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return _matrix([[x, zero, zero], [zero, y, zero], [zero, zero, one]])


def _rotation(angle: Tensor) -> Tensor:
    cosine, sine, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return _matrix([[cosine, -sine, zero], [sine, cosine, zero], [zero, zero, one]])


def _translation(shift: Tensor) -> Tensor:
    zero, one = torch.zeros_like(shift[:, 0]), torch.ones_like(shift[:, 0])
    return _matrix([[one, zero, shift[:, 0]], [zero, one, shift[:, 1]], [zero, zero, one]])


def _hue_rotation(angle: Tensor, like: Tensor) -> Tensor:
    """Rotate about the gray axis by Rodrigues' formula."""
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None] / 3**0.5
    cross = constant(like, [0, -1, 1, 1, 0, -1, -1, 1, 0]).view(3, 3)
    return cosine * torch.eye(3, device=like.device) + sine * cross + (1 - cosine) * like.new_full((3, 3), 1 / 3)


def _middle(maps: Tensor, size: int) -> Tensor:
    rim = (maps.shape[-1] - size) // 2
    return maps[..., rim : rim + size, rim : rim + size]


class AdaptiveStrength(nn.Module):
    """Adapt the strength of an augmentation to the discriminator's overfitting (section 3).

    The heuristic is r = mean sign(D(real)): 0 without overfitting, 1 when every real image is recognized as real. The
    strength grows while r exceeds the target, shrinks otherwise, and is never below 0.

    Args:
        target: of r; 0.6 in the paper.
        interval: steps between two adjustments; 4 in the paper.
        images: number over which the strength could grow from 0 to 1; 500,000 in the paper.
        limit: largest strength; above 0.8 augmentations begin to leak, according to the paper.
    """

    signs: Tensor
    seen: Tensor
    steps: Tensor
    overfitting: Tensor

    def __init__(self, target: float = 0.6, interval: int = 4, images: float = 500_000, limit: float = 1.0) -> None:
        super().__init__()
        self.target, self.interval, self.images, self.limit = target, interval, images, limit
        self.register_buffer("signs", torch.zeros(()))
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("overfitting", torch.zeros(()))
        self._on_host = HostValue()

    def update(self, logits: Tensor, augmentation: Augmentation) -> None:
        """Collect the logits of real images from all processes, and adjust the strength every `interval` steps."""
        self.signs += logits.detach().sign().sum()
        self.seen += logits.numel()
        if self._on_host.add(self.steps, 1) % self.interval:
            return
        self.overfitting.copy_(self.signs / self.seen)
        change = torch.sign(self.overfitting - self.target) * self.seen / self.images
        augmentation.strength.copy_((augmentation.strength + change).clamp(0, self.limit))
        self.signs.zero_()
        self.seen.zero_()
