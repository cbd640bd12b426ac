"""Networks without weights that use single pixels, and images for them."""

import numpy as np
import torch
from PIL import Image
from torch import nn

from p3m_lightning.images import from_unit
from p3m_lightning.schema import MattingOutput


class Spot(nn.Module):
    """A network whose every output pixel depends on its own neighborhood only, so that tiles cannot differ."""

    needs_trimap = False

    def __init__(self, branches: bool = True) -> None:
        super().__init__()
        self.branches = branches
        self.seen = []

    def forward(self, images):
        self.seen.append(tuple(images.shape[-2:]))
        mean = nn.functional.avg_pool2d(images.mean(1, keepdim=True), 5, 1, 2, count_include_pad=False)
        semantic = torch.cat([0.4 - mean, 0.2 - (mean - 0.5).abs(), mean - 0.6], 1)
        detail = (0.5 + 4 * (images[:, :1] - 0.5)).clamp(0, 1)
        return MattingOutput(detail, semantic, detail) if self.branches else MattingOutput(detail)


class Mood(nn.Module):
    """A network whose detail is the mean of all it sees: the worst that tiles can do to each other."""

    needs_trimap = False

    def forward(self, images):
        detail = images.mean((1, 2, 3), keepdim=True).expand(-1, 1, *images.shape[-2:])
        return MattingOutput(detail, images, detail)


class Copycat(nn.Module):
    """A trimap-based network that returns half its trimap."""

    needs_trimap = True

    def forward(self, images, trimap):
        assert trimap.shape[-2:] == images.shape[-2:]
        assert trimap.dtype == torch.int64
        return MattingOutput(trimap / 2)


def picture(height, width, seed=0):
    """A smooth scene with soft and hard edges, uint8 (height, width, 3)."""
    noise = np.random.default_rng(seed).random((height // 16 + 2, width // 16 + 2, 3))
    smooth = Image.fromarray(from_unit(noise)).resize((width, height), Image.Resampling.BICUBIC)
    return np.array(smooth)
