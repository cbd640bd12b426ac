"""QualityHead: estimates where a matte is wrong, from the image, the matte, and the output of a matting network."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from p3m_lightning.models.blocks import conv_bn_relu
from p3m_lightning.models.p3mnet import P3MNet
from p3m_lightning.ops import fuse, normalize

STRIDE = 4
"""Pixels of the image per pixel of the error map, along each side."""

SEEN = 10
"""Input channels of the head at full size: image 3, matte, opinion, their difference, trimap 3, detail."""


class Opinion(NamedTuple):
    """Outputs and features of the matting network for images."""

    alpha: Tensor  # (N, 1, H, W) in [0, 1]
    semantic: Tensor  # (N, 3, H, W) probabilities of background, unknown, foreground
    detail: Tensor  # (N, 1, H, W) in [0, 1]
    middle: Tensor  # (N, C, H/8, W/8) of the encoder
    deepest: Tensor  # (N, C, H/32, W/32) of the encoder


def opinion_of(net: P3MNet, images: Tensor) -> Opinion:
    """Return a P3M-Net's opinion, without gradients; images float (N, 3, H, W) in [0, 1], H and W multiples of 32."""
    with torch.no_grad():
        features = net.encoder(normalize(images, net.encoder.mean, net.encoder.std))
        logits, maps, _ = net.semantic(features.deepest, sides=False)
        assert logits is not None  # requested
        semantic = logits.float().softmax(1)
        detail = net.matting(features, maps).float().sigmoid()
    return Opinion(fuse(logits.float(), detail), semantic, detail, features.skips[3].float(), features.deepest.float())


class QualityHead(nn.Module):
    """A small U-Net from image, matte and opinion to an error map; our own design.

    Args:
        middle: channels of the opinion's encoder at stride 8.
        deepest: the same at stride 32.
        width: channels at stride 2; coarser levels have up to four times as many.
    """

    def __init__(self, middle: int, deepest: int, width: int = 16) -> None:
        super().__init__()
        a, b, c, d = width, 3 * width // 2, 2 * width, 4 * width
        self.levels = nn.ModuleList(
            [
                conv_bn_relu(SEEN, a, a),  # stride 2
                conv_bn_relu(a, b, b),  # 4
                conv_bn_relu(b + c, c, c),  # 8, with the encoder's maps
                conv_bn_relu(c, d, d),  # 16
                conv_bn_relu(d + d, d, d),  # 32, with the deepest ones
            ]
        )
        self.middle = nn.Conv2d(middle, c, 1)
        self.deepest = nn.Conv2d(deepest, d, 1)
        self.up = nn.ModuleList([conv_bn_relu(2 * d, d), conv_bn_relu(d + c, c), conv_bn_relu(c + b, b)])
        self.head = nn.Conv2d(b, 1, 3, padding=1)
        assert self.head.bias is not None
        nn.init.constant_(self.head.bias, -3.0)  # most of a matte is correct

    def forward(self, images: Tensor, mattes: Tensor, opinion: Opinion) -> Tensor:
        """Return the logits (N, 1, H/4, W/4) of the mean absolute error of each block of 4 x 4 pixels.

        Args:
            images: float (N, 3, H, W) in [0, 1].
            mattes: float (N, 1, H, W) in [0, 1].
            opinion: of the same images.
        """
        difference = (mattes - opinion.alpha).abs()
        seen = torch.cat([images, mattes, opinion.alpha, difference, opinion.semantic, opinion.detail], 1)
        half = self.levels[0](nnf.avg_pool2d(seen, 2))
        quarter = self.levels[1](nnf.max_pool2d(half, 2))
        eighth = self.levels[2](torch.cat([nnf.max_pool2d(quarter, 2), self.middle(opinion.middle)], 1))
        sixteenth = self.levels[3](nnf.max_pool2d(eighth, 2))
        coarsest = self.levels[4](torch.cat([nnf.max_pool2d(sixteenth, 2), self.deepest(opinion.deepest)], 1))
        maps = coarsest
        for level, finer in zip(self.up, (sixteenth, eighth, quarter), strict=True):
            larger = nnf.interpolate(maps, finer.shape[-2:], mode="bilinear", align_corners=False)
            maps = level(torch.cat([larger, finer], 1))
        return self.head(maps)


def true_errors(mattes: Tensor, alpha: Tensor) -> Tensor:
    """Return the mean absolute errors (N, 1, H/4, W/4) of mattes (N, 1, H, W) against the true ones."""
    return nnf.avg_pool2d((mattes - alpha).abs(), STRIDE)


def create_head(net: P3MNet, width: int = 16) -> QualityHead:
    """Build a head for the opinions of `net`."""
    channels = net.encoder.channels
    return QualityHead(channels[3], channels[5], width)
