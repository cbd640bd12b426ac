"""Deep Image Matting (Xu et al., CVPR 2017): VGG-16 and unpooling on an image and its trimap, then a refinement."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from p3m_lightning.models.blocks import MattingNetwork, max_pool, scale_channels
from p3m_lightning.ops import crop_to, impose_trimap, normalize, pad_to_multiple, unpool
from p3m_lightning.schema import FOREGROUND, MattingOutput


class DIM(MattingNetwork):
    """Matting with a given trimap, implemented from section 4 of the paper, whose authors released no network.

    Args:
        width: scales every channel count; 1 is the published network.
        refinement: add the second stage, which sharpens the first one's matte.
    """

    needs_trimap = True

    def __init__(self, width: float = 1.0, refinement: bool = True):
        super().__init__()
        channels = [scale_channels(c, width, 8) for c in (64, 128, 256, 512, 512)]
        context = scale_channels(4096, width, 8)
        self.encoder = Encoder(channels, context)
        self.decoder = Decoder(channels, context)
        self.refinement = Refinement(channels[0]) if refinement else None

    def forward(self, images: Tensor, trimap: Tensor) -> MattingOutput:
        """Predict mattes.

        Args:
            images: float RGB in [0, 1], (N, 3, H, W), any size.
            trimap: int64 (N, 1, H, W) of BACKGROUND, UNKNOWN, FOREGROUND.

        Returns:
            alpha (N, 1, H, W) in [0, 1], the trimap where that is known; detail, the network's own matte everywhere.
        """
        height, width = images.shape[-2:]
        padded = pad_to_multiple(normalize(images), 32)
        guide = pad_to_multiple(trimap.to(images.dtype) / FOREGROUND, 32)
        deepest, indices = self.encoder(padded, guide)
        detail = torch.sigmoid(self.decoder(deepest, indices).to(images.dtype))
        if self.refinement is not None:
            detail = self.refinement(padded, detail).to(images.dtype)
        detail = crop_to(detail, height, width)
        return MattingOutput(impose_trimap(detail, trimap), detail=detail)


class Encoder(nn.Module):
    """The thirteen convolutions of VGG-16 and its fc6 as a convolution, with index-keeping pools.

    The paper adds a fourth channel of zero weights to the first convolution; here it is a convolution of its own, and
    fc6 keeps its shape, so that VGG's weights fit unchanged.
    """

    depths = (2, 2, 3, 3, 3)  # convolutions before each pool
    window = 7  # of fc6

    def __init__(self, channels: Sequence[int], context: int):
        super().__init__()
        widths = [3, *(c for c, depth in zip(channels, self.depths, strict=True) for _ in range(depth))]
        convs = [nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(widths)]
        self.convs = nn.ModuleList(convs)
        self.guide = nn.Conv2d(1, channels[0], 3, padding=1, bias=False)
        self.fc6 = nn.Linear(channels[-1] * self.window**2, context)
        for conv in convs:
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.kaiming_normal_(self.fc6.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.guide.weight)

    def forward(self, images: Tensor, guide: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the context map at stride 32 and the indices of the five pools, finest first."""
        maps, indices = images, []
        convs = iter(self.convs)
        for stage, depth in enumerate(self.depths):
            for step in range(depth):
                maps = next(convs)(maps)
                if stage == step == 0:
                    maps = maps + self.guide(guide)
                maps = nnf.relu(maps)
            maps, index = max_pool(maps)
            indices.append(index)
        kernel = self.fc6.weight.unflatten(1, (-1, self.window, self.window))
        return nnf.relu(nnf.conv2d(maps, kernel, self.fc6.bias, padding=self.window // 2)), indices


class Decoder(nn.Module):
    """One narrowing convolution, then five of 5 x 5, each after an unpooling; logits of the matte at full size."""

    def __init__(self, channels: Sequence[int], context: int):
        super().__init__()
        widths = [*reversed(channels), channels[0]]
        self.narrow = nn.Conv2d(context, channels[-1], 1)
        self.convs = nn.ModuleList(nn.Conv2d(before, after, 5, padding=2) for before, after in pairwise(widths))
        self.head = nn.Conv2d(channels[0], 1, 5, padding=2)
        self.apply(_init_xavier)

    def forward(self, deepest: Tensor, indices: Sequence[Tensor]) -> Tensor:
        """Take the context map and the indices of the pools, finest first; return logits (N, 1, H, W)."""
        maps = nnf.relu(self.narrow(deepest))
        for conv, index in zip(self.convs, reversed(indices), strict=True):
            maps = nnf.relu(conv(unpool(maps, index)))
        return self.head(maps)


class Refinement(nn.Module):
    """Four full-size convolutions on the image and the first matte, whose output is added to that matte."""

    def __init__(self, channels: int):
        super().__init__()
        widths = [4, channels, channels, channels, 1]
        self.convs = nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(widths))
        self.apply(_init_xavier)

    def forward(self, images: Tensor, alpha: Tensor) -> Tensor:
        """Take normalized images (N, 3, H, W) and a matte (N, 1, H, W); return the refined matte."""
        maps = torch.cat([images, alpha], dim=1)
        for conv in self.convs[:-1]:
            maps = nnf.relu(conv(maps))
        return (alpha + self.convs[-1](maps)).clamp(0, 1)


def _init_xavier(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
