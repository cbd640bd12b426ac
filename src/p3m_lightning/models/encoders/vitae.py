"""ViTAE-S without reduction cells: an encoder of the second P3M-Net."""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from p3m_lightning.models.blocks import ConvStem, PoolingMerge, feed_forward, init_transformer, scale_channels
from p3m_lightning.models.encoders.base import PoolingEncoder
from p3m_lightning.ops import IMAGENET_MEAN, IMAGENET_STD
from p3m_lightning.schema import EncoderFeatures


class ViTAES(PoolingEncoder):
    """ViTAE-S made for matting: normal cells only, a pooling stem and pooling merges, no position encoding.

    Xu et al., ViTAE (NeurIPS 2021); Ma et al., Rethinking Portrait Matting with Privacy Preserving (IJCV 2023).
    Takes normalized images (N, 3, H, W), H and W multiples of 32.

    Args:
        width: scales every channel count, but not the numbers of heads; 1 is the published network.
    """

    minimum_size = 32
    mean, std = IMAGENET_MEAN, IMAGENET_STD  # of the images it takes

    def __init__(self, width: float = 1.0):
        super().__init__()
        base = scale_channels(64, width, 8)
        self.channels = (base // 2, base, base, 2 * base, 4 * base, 8 * base)  # at strides 1, 2, 4, 8, 16, 32
        self.stem = ConvStem(base // 2, base, last_relu=False)
        depths, heads = (2, 2, 12, 2), (1, 2, 4, 8)
        self.stages = nn.ModuleList(
            nn.Sequential(*(NormalCell(base * 2**k, heads[k], linear_attention=k == 0) for _ in range(depths[k])))
            for k in range(len(depths))
        )
        self.merges = nn.ModuleList(PoolingMerge(base * 2**k, base * 2 ** (k + 1)) for k in range(len(depths) - 1))
        self.apply(init_transformer)

    def forward(self, images: Tensor) -> EncoderFeatures:
        """Extract the features."""
        tokens, skips, indices = self.stem(images)
        for stage, merge in zip(self.stages[:-1], self.merges, strict=True):
            tokens, skip, index = merge(stage(tokens))
            skips, indices = (*skips, skip), (*indices, index)
        deepest = self.stages[-1](tokens).permute(0, 3, 1, 2)  # no last norm
        return EncoderFeatures(deepest, skips, indices)


class NormalCell(nn.Module):
    """Attention and convolutions in parallel, then a feed-forward network."""

    def __init__(self, channels: int, heads: int, linear_attention: bool):
        super().__init__()
        groups = 1 if linear_attention else channels // 4
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = PerformerAttention(channels) if linear_attention else Attention(channels, heads)
        self.convs = nn.Sequential(
            nn.Conv2d(channels, 4 * channels, 3, padding=1, groups=groups),
            nn.BatchNorm2d(4 * channels),
            nn.SiLU(),
            nn.Conv2d(4 * channels, channels, 3, padding=1, groups=groups),
            nn.BatchNorm2d(channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1, groups=groups),
            nn.SiLU(),
        )
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = feed_forward(channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Keep the shape (N, H, W, C)."""
        attended = self.attn(self.norm1(tokens).flatten(1, 2)).view_as(tokens)
        local = self.convs(tokens.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        mixed = tokens + attended + local
        return mixed + self.mlp(self.norm2(mixed))


class Attention(nn.Module):
    """Multi-head softmax attention among all tokens of the map."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """Keep the shape (N, L, C)."""
        q, k, v = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (N, heads, L, d) each
        return self.proj(nnf.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class PerformerAttention(nn.Module):
    """Attention in linear time by positive random features (Choromanski et al., Rethinking Attention, ICLR 2021).

    The features are random and fixed, and the authors' checkpoints lack them, so their networks are only restored up to
    this draw. Ours come from a separate generator, so two networks without stored features agree.
    """

    features: Tensor  # (1, C/2, C), of one head

    def __init__(self, channels: int):
        super().__init__()
        features = channels // 2
        self.kqv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.register_buffer("features", _orthogonal_features(features, channels))

    def forward(self, tokens: Tensor) -> Tensor:
        """Keep the shape (N, L, C)."""
        k, q, v = self.kqv(tokens).chunk(3, dim=-1)
        with torch.autocast(tokens.device.type, enabled=False):  # the exponentials exceed the range of half precision
            phi_k, phi_q, values = self._phi(k), self._phi(q), v.to(self.features.dtype)
            numerator = phi_q @ (phi_k.transpose(1, 2) @ values)  # (N, L, C)
            denominator = phi_q @ phi_k.sum(dim=1).unsqueeze(-1)  # (N, L, 1)
            mixed = numerator / (denominator + 1e-8)
        return self.proj(mixed)

    def _phi(self, u: Tensor) -> Tensor:
        """Return positive features (N, L, m) of (N, L, C): exp(w u - |u|^2 / 2) / sqrt(m), lemma 1 of the paper."""
        u = u.to(self.features.dtype)
        exponent = u @ self.features.transpose(1, 2) - u.square().sum(dim=-1, keepdim=True) / 2
        return exponent.exp() / self.features.shape[1] ** 0.5


def _orthogonal_features(rows: int, columns: int) -> Tensor:
    """Return `rows` orthogonal vectors of length sqrt(rows), always the same: (1, rows, columns), of one head."""
    generator = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(columns, columns, generator=generator))
    return (basis[:rows] * rows**0.5).unsqueeze(0)
