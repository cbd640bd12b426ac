"""Any hierarchical encoder of timm under P3M-Net's decoder."""

from __future__ import annotations

from torch import Tensor, nn

from p3m_lightning.models.blocks import conv_bn_relu, max_pool
from p3m_lightning.models.encoders.depthwise import keep_depthwise_in_float32
from p3m_lightning.schema import EncoderFeatures

Colors = tuple[float, float, float]


class HierarchicalEncoder(nn.Module):
    """An encoder of timm with a stem of stride 1; the indices are those of 2 x 2 maxima over its maps.

    Args:
        backbone: gives a list of maps at strides 2, 4, 8, 16, 32.
        channels: of these maps.
        mean: of the colors it takes, RGB in [0, 1].
        std: likewise.
        stem: channels at full size.
    """

    minimum_size = 32

    def __init__(self, backbone: nn.Module, channels: list[int], mean: Colors, std: Colors, stem: int = 16) -> None:
        super().__init__()
        self.mean, self.std = mean, std
        self.channels = (stem, *channels)
        self.stem = conv_bn_relu(3, stem)
        self.backbone = keep_depthwise_in_float32(backbone)

    def forward(self, images: Tensor) -> EncoderFeatures:
        """Extract the features of normalized images (N, 3, H, W), H and W multiples of 32."""
        *maps, deepest = self.backbone(images)
        skips = (self.stem(images), *maps)
        return EncoderFeatures(deepest, skips, tuple(max_pool(skip)[1] for skip in skips))
