"""StyleMatte: Mask2Former's pixel-level module, a feature pyramid and a guided filter (arXiv:2305.02981)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from p3m_lightning.models.blocks import MattingNetwork
from p3m_lightning.models.upsamplers import create_upsampler
from p3m_lightning.ops import crop_to, normalize, pad_to_multiple
from p3m_lightning.schema import InputError, MattingOutput

if TYPE_CHECKING:
    from transformers import PretrainedConfig

UNIT = 4  # side of a patch; the authors pad their test images to 8


class StyleMatte(MattingNetwork):
    """StyleMatte with every size as an argument; the defaults are the published network.

    Args:
        encoder: "swin_t" as in the released code, or "swinv2_t" as in the article.
        fpn: join the four maps of the pixel decoder; else the head uses only the finest (the ablation).
        upsampler: from 1/4 to full size, a key of `upsamplers.UPSAMPLERS`.
        upsampler_options: arguments of the upsampler, such as {"radius": 2}.
        embed_dim: channels of the encoder at 1/4.
        depths: blocks of its four stages.
        num_heads: attention heads of its four stages.
        drop_path: largest rate of stochastic depth.
        feature_size: channels of the pixel decoder and of the pyramid, a multiple of 32.
        decoder_layers: layers of deformable attention in the pixel decoder.
        feed_forward: width inside such a layer.

    Raises:
        InputError: no such encoder or upsampler.
    """

    needs_trimap = False

    def __init__(
        self,
        encoder: str = "swin_t",
        fpn: bool = True,
        upsampler: str = "fast_guided",
        upsampler_options: Mapping[str, float] | None = None,
        embed_dim: int = 96,
        depths: Sequence[int] = (2, 2, 6, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        drop_path: float = 0.0,
        feature_size: int = 256,
        decoder_layers: int = 6,
        feed_forward: int = 1024,
    ):
        super().__init__()
        backbone = _encoder_config(encoder, embed_dim, depths, num_heads, drop_path)
        self.pixels = _pixel_level_module(backbone, feature_size, decoder_layers, feed_forward)
        self.fpn = FPN(feature_size) if fpn else None
        self.head = nn.Conv2d(feature_size, 1, 3, padding=1)
        self.upsampler = create_upsampler(upsampler, feature_size, **(upsampler_options or {}))

    def forward(self, images: Tensor) -> MattingOutput:
        """Predict mattes.

        Args:
            images: float (N, 3, H, W), RGB in [0, 1], any size.

        Returns:
            alpha (N, 1, H, W) in [0, 1].
        """
        height, width = images.shape[-2:]
        padded = normalize(pad_to_multiple(images, UNIT))
        pixels = self.pixels(padded)
        finest, coarser = pixels.decoder_last_hidden_state, pixels.decoder_hidden_states  # 1/4; 1/32, 1/16, 1/8
        features = finest if self.fpn is None else self.fpn(coarser, finest)
        logits = self.upsampler(self.head(features), padded, features)
        return MattingOutput(torch.sigmoid(crop_to(logits, height, width).to(images.dtype)))


class FPN(nn.Module):
    """Top-down pyramid over the four maps; all levels share one smoothing convolution, as in the published weights."""

    def __init__(self, channels: int):
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(3))
        self.smooth = nn.Conv2d(channels, channels, 3, padding=1)
        self.fuse = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        )

    def forward(self, coarser: Sequence[Tensor], finest: Tensor) -> Tensor:
        """Join maps of C channels.

        Args:
            coarser: at 1/32, 1/16, 1/8.
            finest: (N, C, H, W) at 1/4.

        Returns:
            (N, C, H, W).
        """
        first, *others = (lateral(maps) for lateral, maps in zip(self.lateral, coarser, strict=True))
        joined = first
        for maps in (*others, finest):
            joined = maps + nnf.interpolate(
                self.smooth(joined), size=maps.shape[-2:], mode="bilinear", align_corners=True
            )
        return self.fuse(torch.cat([joined, finest], 1))


def _encoder_config(
    name: str, embed_dim: int, depths: Sequence[int], num_heads: Sequence[int], drop_path: float
) -> PretrainedConfig:
    """Return the configuration of a Swin-T that returns its four stages."""
    from transformers import SwinConfig, Swinv2Config

    classes = {"swin_t": (SwinConfig, 224, 7), "swinv2_t": (Swinv2Config, 256, 8)}
    if name not in classes:
        raise InputError(f"encoder={name}: no such encoder; choose one of {', '.join(classes)}")
    build, image_size, window_size = classes[name]
    return build(
        image_size=image_size,  # the size the window was chosen for; any size is accepted
        window_size=window_size,
        embed_dim=embed_dim,
        depths=list(depths),
        num_heads=list(num_heads),
        drop_path_rate=drop_path,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )


def _pixel_level_module(
    backbone: PretrainedConfig, feature_size: int, decoder_layers: int, feed_forward: int
) -> nn.Module:
    """Build encoder and pixel decoder with the initialization of Mask2Former (Cheng et al., CVPR 2022)."""
    from transformers import Mask2FormerConfig, Mask2FormerModel

    config = Mask2FormerConfig(
        feature_size=feature_size,
        mask_feature_size=feature_size,
        encoder_layers=decoder_layers,
        encoder_feedforward_dim=feed_forward,
        decoder_layers=1,  # of the transformer decoder, which is built too, since only the whole model initializes its
        num_queries=1,  # layers, but as small as possible, and is then dropped
    )
    config.backbone_config = (
        backbone  # set afterward: the constructor warns about encoders other than the published ones
    )
    module = Mask2FormerModel(config).pixel_level_module
    if hasattr(module.encoder, "swin"):
        module.encoder.swin.layernorm = nn.Identity()  # no output depends on it
    for name, parameter in module.decoder.encoder.layers.named_parameters():
        # Mask2Former's initial zeros would block the gradient of `level_embed` at first
        if name.endswith("self_attn.attention_weights.weight"):
            nn.init.normal_(parameter, std=0.01)
    return module
