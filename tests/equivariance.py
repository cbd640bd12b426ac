"""How equivariant a generator is: EQ-T and EQ-R of StyleGAN3 (appendix E), with exact references at small sizes."""

import numpy as np
import torch
from torch.nn import functional as F

from p3m_lightning.gan.generator import movement
from p3m_lightning.gan.generator.filters import radial_lowpass

REACH = 8
"""Of the windowed sinc that moves a finished picture, in pixels."""


def shift_matrix(size, pixels):
    """(size, size): shifts a row of samples by a fraction of a pixel with a windowed sinc."""
    distance = np.arange(size)[:, None] - np.arange(size)[None, :] - pixels
    window = np.where(
        abs(distance) < REACH, np.i0(8 * np.sqrt(np.maximum(1 - (distance / REACH) ** 2, 0))) / np.i0(8), 0
    )
    return torch.from_numpy(np.sinc(distance) * window).float()


def shifted(pictures, x, y):
    """Pictures shifted to the right and downward by pixels, and where all of their support was inside."""
    size = pictures.shape[-1]
    moved = shift_matrix(size, y) @ pictures @ shift_matrix(size, x).T
    rim = REACH if x % 1 or y % 1 else 0
    inside = torch.zeros(size, size, dtype=torch.bool)
    rows, columns = (slice(max(int(np.ceil(d)), 0) + rim, size + min(int(d // 1), 0) - rim) for d in (y, x))
    inside[rows, columns] = True
    return moved, inside


def rotated(pictures, degrees):
    """Pictures turned clockwise about their center, by a windowed sinc, and where its support was inside."""
    size = pictures.shape[-1]
    angle = np.deg2rad(degrees)
    position = np.arange(size) - (size - 1) / 2
    x, y = np.meshgrid(position, position)
    back_x, back_y = np.cos(angle) * x + np.sin(angle) * y, -np.sin(angle) * x + np.cos(angle) * y

    def weights(back):
        distance = back.reshape(-1, 1) - position[None, :]
        part = np.maximum(1 - (distance / REACH) ** 2, 0)
        return torch.from_numpy(np.sinc(distance) * np.where(part > 0, np.i0(8 * np.sqrt(part)) / np.i0(8), 0)).float()

    moved = torch.einsum("pi,pj,ncij->ncp", weights(back_y), weights(back_x), pictures).unflatten(2, (size, size))
    return moved, torch.from_numpy(np.hypot(x, y) < size / 2 - REACH)


def decibels(one, other, inside, like):
    """Peak signal to noise ratio, for the range that the pictures take."""
    error = (one - other)[..., inside].square().mean()
    return float(10 * torch.log10((like.max() - like.min()).square() / error))


@torch.no_grad()
def eq_t(generator, w, offsets):
    """EQ-T over shifts (x, y) in pixels; whole ones are exact, fractions compared away from the edge."""
    still = generator.synthesize(w)
    scores = []
    for x, y in offsets:
        shift = torch.tensor([[x, y]]) / generator.resolution
        reference, inside = shifted(still, x, y)
        scores.append(decibels(generator.synthesize(w, movement(shift, torch.zeros(1))), reference, inside, still))
    return float(np.mean(scores))


@torch.no_grad()
def eq_r(generator, w, angles):
    """EQ-R over angles in degrees, below the frequencies that a turned square grid cannot hold."""
    kernel = radial_lowpass(12, generator.resolution * 0.3, generator.resolution * 0.15, generator.resolution)

    def smooth(pictures):
        kernels = kernel.expand(pictures.shape[1], 1, -1, -1)
        return F.conv2d(F.pad(pictures, (6, 5, 6, 5)), kernels, groups=pictures.shape[1])

    still = generator.synthesize(w)
    scores = []
    for angle in angles:
        reference, inside = rotated(still, angle)
        turned = generator.synthesize(w, movement(torch.zeros(1, 2), torch.tensor([float(angle)])))
        scores.append(decibels(smooth(turned), smooth(reference), inside, still))
    return float(np.mean(scores))
