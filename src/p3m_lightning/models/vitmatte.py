"""ViTMatte (Yao et al., Information Fusion 2024): a plain vision transformer and a convolutional detail branch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from p3m_lightning.models.blocks import MattingNetwork, scale_channels
from p3m_lightning.ops import crop_to, impose_trimap, normalize, pad_to_multiple
from p3m_lightning.schema import FOREGROUND, MattingOutput

GLOBAL_BLOCKS = (2, 5, 8, 11)  # attend to the whole map and end in a residual convolution; the others attend to windows
WINDOW = 14


class ViTMatte(MattingNetwork):
    """ViTMatte of `transformers`, built from a configuration; needs a trimap.

    Args:
        heads: attention heads of 64 channels: 6 in the published small network, 12 in the base one.
        width: scales heads and channel counts; 1 is the published network.
        drop_path: stochastic depth of the last block, rising from 0 at the first.
    """

    needs_trimap = True

    def __init__(self, heads: int, width: float = 1.0, drop_path: float = 0.0):
        super().__init__()
        from transformers import VitDetConfig, VitMatteConfig, VitMatteForImageMatting

        heads = max(1, round(heads * width))
        backbone = VitDetConfig(
            num_channels=4,  # RGB and trimap
            hidden_size=64 * heads,
            num_attention_heads=heads,
            image_size=512,  # of the relative positions; interpolated for other sizes
            pretrain_image_size=224,  # of the absolute positions; interpolated too
            use_relative_position_embeddings=True,
            window_size=WINDOW,
            window_block_indices=[k for k in range(12) if k not in GLOBAL_BLOCKS],
            residual_block_indices=list(GLOBAL_BLOCKS),
            drop_path_rate=drop_path,
            out_features=["stage12"],  # type: ignore[call-arg]  # its decorator adds what all backbones take
        )
        config = VitMatteConfig(
            backbone_config=backbone,
            hidden_size=64 * heads,
            convstream_hidden_sizes=[scale_channels(c, width, 8) for c in (48, 96, 192)],
            fusion_hidden_sizes=[scale_channels(c, width, 8) for c in (256, 128, 64, 32)],
        )
        self.network = VitMatteForImageMatting(config)
        for layer in self.network.decoder.modules():  # the authors keep torch's initialization here
            if isinstance(layer, nn.Conv2d):
                layer.reset_parameters()

    def forward(self, images: Tensor, trimap: Tensor) -> MattingOutput:
        """Predict mattes.

        Args:
            images: float RGB in [0, 1], (N, 3, H, W), any size.
            trimap: int64 (N, 1, H, W) of BACKGROUND, UNKNOWN, FOREGROUND.

        Returns:
            alpha (N, 1, H, W) in [0, 1], the trimap where that is known; detail, the network's own matte everywhere.
        """
        # the authors train with ImageNet's normalization; the image processor of transformers uses 0.5 and 0.5
        inputs = torch.cat([normalize(images), trimap.to(images.dtype) / FOREGROUND], dim=1)
        detail = self.network(pad_to_multiple(inputs, 32)).alphas.to(images.dtype)
        detail = crop_to(detail, *images.shape[-2:])
        return MattingOutput(impose_trimap(detail, trimap), detail=detail)


def vitmatte_small(width: float = 1.0, drop_path: float = 0.0) -> ViTMatte:
    """ViTMatte-S, 384 channels; arguments as of `ViTMatte`."""
    return ViTMatte(6, width, drop_path)


def vitmatte_base(width: float = 1.0, drop_path: float = 0.0) -> ViTMatte:
    """ViTMatte-B, 768 channels; arguments as of `ViTMatte`."""
    return ViTMatte(12, width, drop_path)
