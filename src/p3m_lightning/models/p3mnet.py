"""P3M-Net: one encoder, a semantic and a matting decoder, and three modules between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from p3m_lightning.models.blocks import MattingNetwork, conv_bn_relu
from p3m_lightning.models.encoders.base import PoolingEncoder
from p3m_lightning.models.encoders.pretrained import DEFAULT_ENCODER
from p3m_lightning.ops import crop_to, fuse, normalize, pad_to_multiple, unpool, upsample
from p3m_lightning.schema import Branches, EncoderFeatures, InputError, MattingOutput

CLASSES = 3  # background, unknown, foreground


class P3MNet(MattingNetwork):
    """Portrait matting by a trimap prediction and a detail matte that share an encoder.

    Li et al., Privacy-Preserving Portrait Matting (ACM MM 2021); with transformers as encoders Ma et al., Rethinking
    Portrait Matting with Privacy Preserving (IJCV 2023). Each module can be left out for the ablation; without
    all three it is the papers' BASIC.

    Args:
        encoder: turns normalized images into `EncoderFeatures`.
        reduce_last: a decoder stage changes its width in its last convolution and the semantic decoder ends in its last
            stage (ResNet-34), else in its first one, with a separate last convolution (the transformers).
        tfi: give the matting decoder semantic and encoder features of its size; else only its own unpooled maps.
        sbfi: give the matting decoder the full-size encoder features.
        dbfi: give the semantic decoder the deepest features again, and compute side outputs.
    """

    needs_trimap = False

    def __init__(
        self, encoder: PoolingEncoder, *, reduce_last: bool, tfi: bool = True, sbfi: bool = True, dbfi: bool = True
    ):
        super().__init__()
        self.encoder = encoder
        self.semantic = SemanticDecoder(encoder.channels, reduce_last, dbfi)
        self.matting = MattingDecoder(encoder.channels, reduce_last, tfi, sbfi)

    def forward(self, images: Tensor) -> MattingOutput:
        """Predict mattes.

        Args:
            images: float RGB in [0, 1], (N, 3, H, W).

        Returns:
            alpha (N, 1, H, W) in [0, 1]; semantic (N, 3, H, W) trimap logits; detail (N, 1, H, W) in [0, 1]; sides, the
            trimap logits (N, 3, H, W) of dBFI 2, 1, 0, or none without dBFI.
        """
        features = self._features(images)
        logits, maps, sides = self.semantic(features.deepest)
        detail = self._detail(features, maps, images)
        semantic, *sides = (crop_to(m, *images.shape[-2:]) for m in (logits, *sides))
        return MattingOutput(fuse(semantic, detail), semantic, detail, tuple(sides))

    def branches(self, images: Tensor, semantic: bool = True, detail: bool = True) -> Branches:
        """Compute only what `forward` returns of one branch or both.

        Args:
            images: float RGB in [0, 1], (N, 3, H, W).
            semantic: compute the trimap logits.
            detail: compute the detail matte.
        """
        self.verify(images)
        features = self._features(images)
        logits, maps, _ = self.semantic(features.deepest, logits=semantic, sides=False)
        return Branches(
            None if logits is None else crop_to(logits, *images.shape[-2:]),
            self._detail(features, maps, images) if detail else None,
        )

    def _features(self, images: Tensor) -> EncoderFeatures:
        normalized = normalize(images, self.encoder.mean, self.encoder.std)
        return self.encoder(pad_to_multiple(normalized, 32, minimum=self.encoder.minimum_size))

    def _detail(self, features: EncoderFeatures, maps: Sequence[Tensor], images: Tensor) -> Tensor:
        logits = self.matting(features, maps)
        matte = torch.sigmoid(logits.to(images.dtype))  # the 8 bits of bfloat16 would be visible
        return crop_to(matte, *images.shape[-2:])


class SemanticDecoder(nn.Module):
    """Decoder from the deepest features to trimap logits, doubling the size five times."""

    def __init__(self, channels: Sequence[int], reduce_last: bool, dbfi: bool):
        super().__init__()
        finest = _stage(channels[1], channels[0], reduce_last, out=CLASSES if reduce_last else channels[0])
        coarser = [_stage(channels[k + 1], channels[k], reduce_last) for k in (1, 2, 3, 4)]
        self.stages = nn.ModuleList([finest[:-2], *coarser])  # the last convolution of the finest stage is linear
        self.head = nn.Identity() if reduce_last else nn.Conv2d(channels[0], CLASSES, 3, padding=1)
        self.dbfi = nn.ModuleList(
            DBFI(channels[k + 1], channels[5], 32 // 2 ** (k + 1)) for k in range(3 if dbfi else 0)
        )

    def forward(
        self, deepest: Tensor, logits: bool = True, sides: bool = True
    ) -> tuple[Tensor | None, list[Tensor], list[Tensor]]:
        """Return the logits, if requested, maps after stages 4 to 1 (strides 16 to 2), and the side logits 2 to 0."""
        maps, aside, semantic = [], [], deepest
        for k in (4, 3, 2, 1, 0) if logits else (4, 3, 2, 1):
            if k < len(self.dbfi):
                integrate = cast("DBFI", self.dbfi[k])
                semantic = integrate(semantic, deepest)
                if sides:
                    aside.append(integrate.side(semantic))
            semantic = upsample(self.stages[k](semantic), 2)
            maps.append(semantic)
        return (self.head(maps.pop()) if logits else None), maps, aside


class MattingDecoder(nn.Module):
    """Decoder from the deepest features to the detail matte, unpooling five times with the encoder's indices."""

    def __init__(self, channels: Sequence[int], reduce_last: bool, tfi: bool, sbfi: bool):
        super().__init__()
        finest = _stage(channels[1], channels[0], reduce_last, convolutions=2)
        coarser = [_stage(channels[k + 1], channels[k], reduce_last) for k in (1, 2, 3, 4)]
        self.stages = nn.ModuleList([finest, *coarser])
        self.head = nn.Conv2d(channels[0], 1, 3, padding=1)
        self.tfi = nn.ModuleList(TFI(channels[k + 1]) for k in range(4 if tfi else 0))
        self.sbfi = nn.ModuleList(SBFI(channels[k + 1], channels[0], 2**k) for k in range(3 if sbfi else 0))

    def forward(self, features: EncoderFeatures, semantic_maps: Sequence[Tensor]) -> Tensor:
        """Return the logits (N, 1, H, W) of the detail matte; `semantic_maps` are those at strides 16 to 2."""
        detail = features.deepest
        shallow = nnf.max_pool2d(features.skips[0], 2) if self.sbfi else features.skips[0]  # stride 2; unread
        for k in (4, 3, 2, 1, 0):
            if k < len(self.tfi):
                detail = self.tfi[k](semantic_maps[3 - k], detail, features.skips[k + 1])
            if k < len(self.sbfi):
                detail = self.sbfi[k](detail, shallow)
            detail = unpool(self.stages[k](detail), features.indices[k])
        return self.head(detail)


class TFI(nn.Module):
    """Tripartite-feature integration: semantic, detail and encoder maps of one size become a detail map."""

    def __init__(self, channels: int):
        super().__init__()
        self.transform = nn.Conv2d(channels, channels // 2, 1, bias=False)  # one for all three
        self.conv1 = nn.Conv2d(3 * (channels // 2), channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)

    def forward(self, semantic: Tensor, detail: Tensor, skip: Tensor) -> Tensor:
        """Take three maps (N, C, h, w) and return one."""
        together = torch.cat([self.transform(m) for m in (semantic, detail, skip)], dim=1)
        return nnf.relu(self.bn1(self.conv1(together)))


class SBFI(nn.Module):
    """Shallow bipartite-feature integration: the detail map also sees the pooled full-size encoder features."""

    def __init__(self, channels: int, shallow_channels: int, step: int):
        super().__init__()
        self.step = step  # from the size of the pooled features to that of the map
        self.transform1 = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.transform2 = nn.Conv2d(shallow_channels, channels // 2, 1, bias=False)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)

    def forward(self, detail: Tensor, shallow: Tensor) -> Tensor:
        """Add to `detail` (N, C, h, w) its combination with `shallow` (N, c, step h, step w), pooled 2 x 2."""
        corners = shallow[..., :: self.step, :: self.step]  # the top left 2 x 2 of each cell, as published
        together = torch.cat([self.transform1(detail), self.transform2(corners)], dim=1)
        return detail + nnf.relu(self.bn1(self.conv1(together)))


class DBFI(nn.Module):
    """Deep bipartite-feature integration: combines the semantic map with the deepest features; side logits."""

    def __init__(self, channels: int, deep_channels: int, factor: int):
        super().__init__()
        self.factor = factor  # from the size of the deepest features to that of the map
        self.transform1 = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.transform2 = nn.Conv2d(deep_channels, channels // 2, 1, bias=False)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, CLASSES, 3, padding=1, bias=False)

    def forward(self, semantic: Tensor, deepest: Tensor) -> Tensor:
        """Add to `semantic` (N, C, h, w) its combination with the deepest features."""
        enlarged = upsample(self.transform2(deepest), self.factor)
        together = torch.cat([self.transform1(semantic), enlarged], dim=1)
        return semantic + nnf.relu(self.bn1(self.conv1(together)))

    def side(self, semantic: Tensor) -> Tensor:
        """Return the full-size trimap logits (N, 3, H, W) of the result of `forward`."""
        return upsample(self.conv2(semantic), 32 // self.factor)


def p3mnet_r34(tfi: bool = True, sbfi: bool = True, dbfi: bool = True, width: float = 1.0) -> P3MNet:
    """P3M-Net (ResNet-34); `width` scales every channel count."""
    from p3m_lightning.models.encoders.resnet import ResNet34

    return P3MNet(ResNet34(width), reduce_last=True, tfi=tfi, sbfi=sbfi, dbfi=dbfi)


def p3mnet_swin_t(
    tfi: bool = True, sbfi: bool = True, dbfi: bool = True, width: float = 1.0, drop_path: float = 0.0
) -> P3MNet:
    """P3M-Net (Swin-T); `width` scales every channel count, `drop_path` as in `SwinT` (the authors: 0.2)."""
    from p3m_lightning.models.encoders.swin import SwinT

    return P3MNet(SwinT(width, drop_path), reduce_last=False, tfi=tfi, sbfi=sbfi, dbfi=dbfi)


def p3mnet_vitae_s(tfi: bool = True, sbfi: bool = True, dbfi: bool = True, width: float = 1.0) -> P3MNet:
    """P3M-Net (ViTAE-S); `width` scales every channel count."""
    from p3m_lightning.models.encoders.vitae import ViTAES

    return P3MNet(ViTAES(width), reduce_last=False, tfi=tfi, sbfi=sbfi, dbfi=dbfi)


def p3mnet(
    encoder: str = DEFAULT_ENCODER,
    pretrained: str | None = None,
    tfi: bool = True,
    sbfi: bool = True,
    dbfi: bool = True,
    stem_width: int = 32,
    decoder_width: float = 1.0,
) -> P3MNet:
    """P3M-Net with an encoder of timm; arguments as of `HierarchicalEncoder` and `P3MNet`."""
    from p3m_lightning.models.encoders.hierarchical import HierarchicalEncoder

    hierarchical = HierarchicalEncoder(encoder, pretrained, stem_width, decoder_width)
    net = P3MNet(hierarchical, reduce_last=False, tfi=tfi, sbfi=sbfi, dbfi=dbfi)
    if not (tfi and sbfi):
        freeze_what_only_places(net)
    return net


def freeze_what_only_places(net: P3MNet) -> None:
    """Freeze parameters that affect the outputs only through pooling indices, which have no gradient.

    Without TFI and sBFI these are the stem and all that leads only to skips, whose values no decoder uses.
    """
    parameters = list(net.parameters())
    was_training = net.training
    net.eval()
    with torch.enable_grad():
        output = net(torch.zeros(1, 3, 64, 64))
        maps = (output.alpha, output.semantic, output.detail, *output.sides)
        total = torch.stack([m.sum() for m in maps if m is not None]).sum()
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    net.train(was_training)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.requires_grad_(gradient is not None)


def basic(
    width: float = 1.0,
    encoder: str | None = None,
    pretrained: str | None = None,
    stem_width: int = 32,
    decoder_width: float = 1.0,
) -> P3MNet:
    """BASIC, the papers' multi-task baseline: P3M-Net without TFI, sBFI and dBFI.

    Args:
        width: scales every channel count of the published network, whose encoder is ResNet-34.
        encoder: one of timm instead; then the other arguments are those of `HierarchicalEncoder`.
        pretrained: see there.
        stem_width: see there.
        decoder_width: see there.
    """
    if encoder is not None:
        switches = {"tfi": False, "sbfi": False, "dbfi": False}
        return p3mnet(encoder, pretrained, stem_width=stem_width, decoder_width=decoder_width, **switches)
    if pretrained is not None:
        raise InputError(f"model.pretrained={pretrained}: goes with model.encoder=NAME; ResNet-34 uses encoder_weights")
    from p3m_lightning.models.encoders.resnet import ResNet34

    return P3MNet(ResNet34(width), reduce_last=True, tfi=False, sbfi=False, dbfi=False)


def _stage(
    in_channels: int, channels: int, reduce_last: bool, convolutions: int = 3, out: int | None = None
) -> nn.Sequential:
    """Return three (or two) convolutions with normalization; the first or the last of them changes the width."""
    inner = in_channels if reduce_last else channels
    widths = [in_channels, *[inner] * (convolutions - 1), out or channels]
    return conv_bn_relu(*widths)
