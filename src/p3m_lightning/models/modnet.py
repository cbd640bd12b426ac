"""MODNet: semantics at low and details at high resolution, fused (Ke et al., AAAI 2022, arXiv:2011.11961)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2

from p3m_lightning.models.blocks import MattingNetwork, scale_channels
from p3m_lightning.ops import crop_to, normalize, pad_to_multiple, resize, upsample
from p3m_lightning.schema import MattingOutput

UNIT = 32  # the backbone halves five times


class MODNet(MattingNetwork):
    """MODNet on MobileNetV2.

    Args:
        width: scales the channel counts, except for the last 1280 of the backbone; 1 is the published network.
    """

    needs_trimap = False

    def __init__(self, width: float = 1.0):
        super().__init__()
        channels = scale_channels(32, width, 4)
        self.backbone = mobilenet_v2(width_mult=width).features
        enc2x, enc4x, enc8x, enc16x, enc32x = (_channels(self.backbone[i]) for i in (1, 3, 6, 13, 18))
        self.low = LowResolutionBranch(enc32x, enc16x, enc8x)
        self.high = HighResolutionBranch(enc2x, enc4x, enc8x, channels)
        self.fusion = FusionBranch(enc8x, channels)
        self.apply(_initialize)

    def forward(self, images: Tensor) -> MattingOutput:
        """Predict mattes.

        Args:
            images: float (N, 3, H, W), RGB in [0, 1], any size.

        Returns:
            alpha and detail (N, 1, H, W), semantic (N, 1, H/16 rounded up, W/16 rounded up), all in [0, 1].
        """
        height, width = images.shape[-2:]
        padded = normalize(pad_to_multiple(images, UNIT), mean=(0.5,) * 3, std=(0.5,) * 3)
        enc2x, enc4x, enc32x = self._encode(padded)
        semantic, low8x = self.low(enc32x)
        detail, high2x = self.high(padded, enc2x, enc4x, low8x)
        alpha = self.fusion(padded, low8x, high2x)
        semantic, detail, alpha = (torch.sigmoid(logits.to(images.dtype)) for logits in (semantic, detail, alpha))
        semantic = crop_to(semantic, (height + 15) // 16, (width + 15) // 16)
        return MattingOutput(crop_to(alpha, height, width), semantic, crop_to(detail, height, width))

    def _encode(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the maps of the backbone at 1/2, 1/4 and 1/32."""
        enc2x = self.backbone[:2](images)
        enc4x = self.backbone[2:4](enc2x)
        return enc2x, enc4x, self.backbone[4:](enc4x)


class LowResolutionBranch(nn.Module):
    """Semantic branch of MODNet: the deepest map with weighted channels, upsampled twice."""

    def __init__(self, enc32x: int, enc16x: int, enc8x: int):
        super().__init__()
        self.weigh = SqueezeExcitation(enc32x)
        self.to16x = ConvIBNormReLU(enc32x, enc16x, 5)
        self.to8x = ConvIBNormReLU(enc16x, enc8x, 5)
        self.head = nn.Conv2d(enc8x, 1, 3, stride=2, padding=1)

    def forward(self, enc32x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the semantic logits at 1/16 and features at 1/8."""
        low16x = self.to16x(upsample(self.weigh(enc32x), 2))
        low8x = self.to8x(upsample(low16x, 2))
        return self.head(low8x), low8x


class HighResolutionBranch(nn.Module):
    """Detail branch of MODNet: shallow features and the image itself, guided by the semantics."""

    def __init__(self, enc2x: int, enc4x: int, enc8x: int, channels: int):
        super().__init__()
        wide = 2 * channels
        self.from_enc2x = ConvIBNormReLU(enc2x, channels, 1)
        self.from_enc4x = ConvIBNormReLU(enc4x, channels, 1)
        self.halve = ConvIBNormReLU(3 + channels, channels, 3, stride=2)
        self.mix4x = ConvIBNormReLU(wide, wide, 3)
        self.stage4x = _stage(wide + enc8x + 3, wide, wide, channels)
        self.stage2x = _stage(wide, wide, channels, channels, channels)
        self.head = nn.Sequential(ConvIBNormReLU(channels + 3, channels, 3), nn.Conv2d(channels, 1, 1))

    def forward(self, images: Tensor, enc2x: Tensor, enc4x: Tensor, low8x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the detail logits at full size and features at 1/2."""
        images2x, images4x = (resize(images, (images.shape[-2] // k, images.shape[-1] // k)) for k in (2, 4))
        skip2x = self.from_enc2x(enc2x)
        high4x = self.halve(torch.cat([images2x, skip2x], 1))
        high4x = self.mix4x(torch.cat([high4x, self.from_enc4x(enc4x)], 1))
        high4x = self.stage4x(torch.cat([high4x, upsample(low8x, 2), images4x], 1))
        high2x = self.stage2x(torch.cat([upsample(high4x, 2), skip2x], 1))
        return self.head(torch.cat([upsample(high2x, 2), images], 1)), high2x


class FusionBranch(nn.Module):
    """Fusion branch of MODNet: from semantics and details to the matte."""

    def __init__(self, enc8x: int, channels: int):
        super().__init__()
        self.from_low = ConvIBNormReLU(enc8x, channels, 5)
        self.join = ConvIBNormReLU(2 * channels, channels, 3)
        self.head = nn.Sequential(ConvIBNormReLU(channels + 3, channels // 2, 3), nn.Conv2d(channels // 2, 1, 1))

    def forward(self, images: Tensor, low8x: Tensor, high2x: Tensor) -> Tensor:
        """Return the alpha logits at full size."""
        low4x = self.from_low(upsample(low8x, 2))
        fused2x = self.join(torch.cat([upsample(low4x, 2), high2x], 1))
        return self.head(torch.cat([upsample(fused2x, 2), images], 1))


class ConvIBNormReLU(nn.Sequential):
    """Convolution, `IBNorm`, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1):
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)
        super().__init__(convolution, IBNorm(outputs), nn.ReLU(inplace=True))


class IBNorm(nn.Module):
    """Batch norm on the first half of the channels, instance norm without parameters on the others."""

    def __init__(self, channels: int):
        super().__init__()
        self.batch_channels = channels // 2
        self.bnorm = nn.BatchNorm2d(self.batch_channels)
        self.inorm = nn.InstanceNorm2d(channels - self.batch_channels)

    def forward(self, maps: Tensor) -> Tensor:
        """Normalize (N, C, H, W)."""
        first, second = maps[:, : self.batch_channels], maps[:, self.batch_channels :]
        return torch.cat((self.bnorm(first.contiguous()), self.inorm(second.contiguous())), 1)


class SqueezeExcitation(nn.Module):
    """Weight the channels by a function of their means (Hu et al., CVPR 2018)."""

    def __init__(self, channels: int, reduction: int = 4):
        super().__init__()
        squeezed = channels // reduction
        self.fc = nn.Sequential(
            nn.Linear(channels, squeezed, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(squeezed, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Scale (N, C, H, W)."""
        return maps * self.fc(maps.mean((-2, -1)))[..., None, None]


def _stage(*channels: int) -> nn.Sequential:
    """Return 3 x 3 blocks from each number of channels to the next."""
    return nn.Sequential(*(ConvIBNormReLU(a, b, 3) for a, b in pairwise(channels)))


def _channels(block: nn.Module) -> int:
    """Return the output channels of a MobileNetV2 block: those of its last batch norm."""
    return [m.num_features for m in block.modules() if isinstance(m, nn.BatchNorm2d)][-1]


def _initialize(module: nn.Module) -> None:
    """Initialize convolutions as the authors do: Kaiming's uniform for ReLU, zero bias."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
