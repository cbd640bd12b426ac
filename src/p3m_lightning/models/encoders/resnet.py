"""ResNet-34 whose strides are index-keeping pools: the encoder of the first P3M-Net."""

from __future__ import annotations

import torch.nn.functional as nnf
from torch import Tensor, nn

from p3m_lightning.models.blocks import scale_channels
from p3m_lightning.models.encoders.base import PoolingEncoder
from p3m_lightning.ops import IMAGENET_MEAN, IMAGENET_STD
from p3m_lightning.schema import EncoderFeatures


class ResNet34(PoolingEncoder):
    """ResNet-34 with five 3 x 3 max-pools of stride 2 instead of strided convolutions.

    He et al., Deep Residual Learning (CVPR 2016); Li et al., Privacy-Preserving Portrait Matting (ACM MM 2021).
    Modules have torchvision's names, so its ImageNet weights fit. Takes normalized images (N, 3, H, W), H and W
    multiples of 32.

    Args:
        width: scales every channel count; 1 is the published network.
    """

    minimum_size = 32
    mean, std = IMAGENET_MEAN, IMAGENET_STD  # of the images it takes

    def __init__(self, width: float = 1.0):
        super().__init__()
        base = scale_channels(64, width, 8)
        self.channels = (base, base, base, 2 * base, 4 * base, 8 * base)  # at strides 1, 2, 4, 8, 16, 32
        self.conv1 = nn.Conv2d(3, base, 7, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(base)
        self.layer1 = residual_layer(base, base, 3)
        self.layer2 = residual_layer(base, 2 * base, 4)
        self.layer3 = residual_layer(2 * base, 4 * base, 6)
        self.layer4 = residual_layer(4 * base, 8 * base, 3)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> EncoderFeatures:
        """Extract the features; the pools overlap, so an index can occur several times."""
        skip0 = nnf.relu(self.bn1(self.conv1(images)))  # stride 1
        skip1, index0 = _pool(skip0)  # 2: the pooled map itself
        pooled, index1 = _pool(skip1)
        skip2 = self.layer1(pooled)  # 4
        pooled, index2 = _pool(skip2)
        skip3 = self.layer2(pooled)  # 8
        pooled, index3 = _pool(skip3)
        skip4 = self.layer3(pooled)  # 16
        pooled, index4 = _pool(skip4)
        deepest = self.layer4(pooled)  # 32
        skips = (skip0, skip1, skip2, skip3, skip4)
        return EncoderFeatures(deepest, skips, (index0, index1, index2, index3, index4))


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut, named as in torchvision, which takes seconds to import.

    Args:
        in_channels: of the input.
        channels: of the output.
        stride: of the first convolution.
        downsample: the shortcut; None if the shape does not change.
    """

    def __init__(self, in_channels: int, channels: int, stride: int = 1, downsample: nn.Module | None = None):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = downsample

    def forward(self, maps: Tensor) -> Tensor:
        """Take (N, in_channels, H, W), return (N, channels, H / stride, W / stride)."""
        inner = nnf.relu(self.bn1(self.conv1(maps)))
        shortcut = maps if self.downsample is None else self.downsample(maps)
        return nnf.relu(self.bn2(self.conv2(inner)) + shortcut)


def _pool(maps: Tensor) -> tuple[Tensor, Tensor]:
    return nnf.max_pool2d(maps, 3, stride=2, padding=1, return_indices=True)


def residual_layer(in_channels: int, channels: int, blocks: int, stride: int = 1) -> nn.Sequential:
    """Return `blocks` basic blocks, the first with the stride, and with a shortcut if the shape changes."""
    shortcut = None
    if stride > 1 or in_channels != channels:
        shortcut = nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
    first = BasicBlock(in_channels, channels, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(channels, channels) for _ in range(blocks - 1)))
