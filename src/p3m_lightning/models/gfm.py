"""GFM: one decoder glances at the whole, one focuses on the boundary (Li et al., IJCV 2022, arXiv:2010.16188)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from p3m_lightning.models.blocks import MattingNetwork, conv_bn_relu, scale_channels
from p3m_lightning.models.encoders.resnet import residual_layer
from p3m_lightning.ops import crop_to, fuse, pad_to_multiple, region_means, upsample
from p3m_lightning.schema import Branches, MattingOutput

UNIT = 32  # the encoders halve five times
CLASSES = 3  # background, unknown, foreground: the semantic representation that the paper calls TT


class GFM(MattingNetwork):
    """Glance and focus matting.

    Args:
        encoder: turns images (N, 3, H, W) of 0 to 255 into five maps at strides 2, 4, 8, 16, 32, and lists their
            `channels`; the deepest map has eight times `base` channels.
        base: channels of the finest decoder stages.
    """

    needs_trimap = False

    def __init__(self, encoder: PooledResNet34 | DenseNet121, base: int):
        super().__init__()
        widths = (base, base, 2 * base, 4 * base, 8 * base)
        self.encoder = encoder
        self.glance = GlanceDecoder(widths)
        self.focus = FocusDecoder(widths, encoder.channels)

    def forward(self, images: Tensor) -> MattingOutput:
        """Predict mattes.

        Args:
            images: float (N, 3, H, W), RGB in [0, 1], any size.

        Returns:
            alpha (N, 1, H, W); semantic (N, 3, H, W), sigmoids of background, unknown and foreground; detail
            (N, 1, H, W), valid in the unknown region. All in [0, 1].
        """
        semantic, detail = self.branches(images)
        assert semantic is not None  # both were requested
        assert detail is not None
        return MattingOutput(fuse(semantic, detail), semantic, detail)

    def branches(self, images: Tensor, semantic: bool = True, detail: bool = True) -> Branches:
        """Compute only what `forward` returns of one branch or both.

        Args:
            images: float RGB in [0, 1], (N, 3, H, W).
            semantic: compute the trimap.
            detail: compute the detail matte.
        """
        self.verify(images)
        features = self.encoder(pad_to_multiple(images, UNIT) * 255)  # the authors never normalize
        logits = self.glance(features[-1]) if semantic else None, self.focus(features) if detail else None
        return Branches(*(None if m is None else self._squashed(m, images) for m in logits))

    @staticmethod
    def _squashed(logits: Tensor, images: Tensor) -> Tensor:
        return torch.sigmoid(crop_to(logits, *images.shape[-2:]).to(images.dtype))


class GlanceDecoder(nn.Module):
    """Decoder from the deepest map and its pyramid pooling to trimap logits; every stage also takes the pooled map."""

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        self.psp = PyramidPooling(widths[-1])
        self.context = nn.ModuleList(conv_bn_relu(widths[-1], width) for width in widths[:-1])
        self.stages = _stages([2 * width for width in widths], widths, CLASSES)

    def forward(self, deepest: Tensor) -> Tensor:
        """Return logits (N, 3, H, W)."""
        pooled = self.psp(deepest)
        maps = upsample(self.stages[4](torch.cat([pooled, deepest], 1)), 2)
        for k in (3, 2, 1, 0):
            context = upsample(self.context[k](pooled), 2 ** (4 - k))
            maps = upsample(self.stages[k](torch.cat([context, maps], 1)), 2)
        return maps


class FocusDecoder(nn.Module):
    """Decoder from all maps of the encoder to detail logits."""

    def __init__(self, widths: Sequence[int], channels: Sequence[int]):
        super().__init__()
        self.bridge = conv_bn_relu(*[widths[-1]] * 4, dilation=2)
        self.stages = _stages([width + skip for width, skip in zip(widths, channels, strict=True)], widths, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return logits (N, 1, H, W)."""
        maps = self.bridge(features[4])
        for k in (4, 3, 2, 1, 0):
            maps = upsample(self.stages[k](torch.cat([maps, features[k]], 1)), 2)
        return maps


class PyramidPooling(nn.Module):
    """Means over 1, 3 x 3 and 5 x 5 regions, joined to the map itself (PSPNet: Zhao et al., CVPR 2017)."""

    def __init__(self, channels: int, regions: Sequence[int] = (1, 3, 5)):
        super().__init__()
        self.regions = tuple(regions)
        self.project = nn.ModuleList(nn.Conv2d(channels, channels, 1, bias=False) for _ in regions)
        self.merge = nn.Conv2d((len(regions) + 1) * channels, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Take and return (N, C, h, w)."""
        pooled = [project(region_means(maps, n)) for n, project in zip(self.regions, self.project, strict=True)]
        size = maps.shape[-2:]
        pooled = [nnf.interpolate(p, size=size, mode="bilinear", align_corners=True) for p in pooled]
        return nnf.relu(self.merge(torch.cat([*pooled, maps], 1)))


class PooledResNet34(nn.Module):
    """ResNet-34 of torchvision, with its names, returning five maps."""

    def __init__(self, width: float, depths: Sequence[int]):
        super().__init__()
        base = scale_channels(64, width, 8)
        self.channels = (base, base, 2 * base, 4 * base, 8 * base)
        self.conv1 = nn.Conv2d(3, base, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(base)
        self.layer1 = residual_layer(base, base, depths[0])
        self.layer2 = residual_layer(base, 2 * base, depths[1], stride=2)
        self.layer3 = residual_layer(2 * base, 4 * base, depths[2], stride=2)
        self.layer4 = residual_layer(4 * base, 8 * base, depths[3], stride=2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps at strides 2, 4, 8, 16, 32."""
        maps = [nnf.relu(self.bn1(self.conv1(images)))]
        maps.append(self.layer1(nnf.max_pool2d(maps[0], 3, stride=2, padding=1)))
        for layer in (self.layer2, self.layer3, self.layer4):
            maps.append(layer(maps[-1]))
        return maps


class DenseNet121(nn.Module):
    """DenseNet-121 of torchvision without its first pool, so that every block sees twice the usual size."""

    def __init__(self, width: float, depths: Sequence[int]):
        from torchvision.models import DenseNet  # imported here, since it takes seconds

        super().__init__()
        base, growth = scale_channels(64, width, 8), scale_channels(32, width, 4)
        self.features = DenseNet(growth, tuple(depths), base, num_classes=1).features
        self.reduce = conv_bn_relu(self.features.norm5.num_features, 8 * base)
        del self.features.pool0, self.features.norm5
        transitions = (self.features.transition1, self.features.transition2, self.features.transition3)
        self.channels = (base, *(transition.conv.out_channels for transition in transitions), 8 * base)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps at strides 2, 4, 8, 16, 32."""
        layers = self.features
        maps = [layers.relu0(layers.norm0(layers.conv0(images)))]
        maps.append(layers.transition1(layers.denseblock1(maps[-1])))
        maps.append(layers.transition2(layers.denseblock2(maps[-1])))
        maps.append(layers.transition3(layers.denseblock3(maps[-1])))
        maps.append(nnf.max_pool2d(self.reduce(layers.denseblock4(maps[-1])), 2))
        return maps


def gfm_r34_tt(width: float = 1.0, depths: Sequence[int] = (3, 4, 6, 3)) -> GFM:
    """GFM (ResNet-34); `width` scales every channel count, `depths` are the blocks of the encoder's stages."""
    return GFM(PooledResNet34(width, depths), scale_channels(64, width, 8))


def gfm_d121_tt(width: float = 1.0, depths: Sequence[int] = (6, 12, 24, 16)) -> GFM:
    """GFM (DenseNet-121); `width` scales every channel count, `depths` are the layers of the encoder's blocks."""
    return GFM(DenseNet121(width, depths), scale_channels(64, width, 8))


def _stages(inputs: Sequence[int], widths: Sequence[int], outputs: int) -> nn.ModuleList:
    """Return decoder stages, finest first, of three convolutions each; the last one of the finest is linear."""
    finest = conv_bn_relu(inputs[0], widths[0], widths[0], outputs)[:-2]
    return nn.ModuleList([finest, *(conv_bn_relu(inputs[k], widths[k], widths[k], widths[k - 1]) for k in range(1, 5))])
