"""Swin-T with a convolutional stem and pooling merges: an encoder of the second P3M-Net."""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from p3m_lightning.models.blocks import (
    ConvStem,
    PoolingMerge,
    StochasticDepth,
    feed_forward,
    init_transformer,
    scale_channels,
)
from p3m_lightning.models.encoders.base import PoolingEncoder
from p3m_lightning.ops import IMAGENET_MEAN, IMAGENET_STD
from p3m_lightning.schema import EncoderFeatures

WINDOW = 7
SHIFT = 3


class SwinT(PoolingEncoder):
    """Swin-T made for matting: every change of size is an index-keeping 2 x 2 max-pool.

    Liu et al., Swin Transformer (ICCV 2021); Ma et al., Rethinking Portrait Matting with Privacy Preserving (IJCV
    2023). Takes normalized images (N, 3, H, W), H and W multiples of 32 and at least 96.

    Args:
        width: scales every channel count, but not the numbers of heads; 1 is the published network.
        drop_path: probability of dropping the last block of a sample in training, rising from 0 at the first.
    """

    minimum_size = 96  # the map at stride 32 is at least as long as the shift; the authors' code asks for 256
    mean, std = IMAGENET_MEAN, IMAGENET_STD  # of the images it takes

    def __init__(self, width: float = 1.0, drop_path: float = 0.0):
        super().__init__()
        base = scale_channels(96, width, 6)  # divisible by the heads, and the stem takes half of it
        self.channels = (base // 2, base, base, 2 * base, 4 * base, 8 * base)  # at strides 1, 2, 4, 8, 16, 32
        self.stem = ConvStem(base // 2, base, last_relu=True)
        depths, heads = (2, 2, 6, 2), (3, 6, 12, 24)
        drops = [drop_path * i / (sum(depths) - 1) for i in range(sum(depths))]
        self.stages = nn.ModuleList(
            Stage(base * 2**k, heads[k], drops[sum(depths[:k]) : sum(depths[: k + 1])]) for k in range(len(depths))
        )
        self.merges = nn.ModuleList(PoolingMerge(base * 2**k, base * 2 ** (k + 1)) for k in range(len(depths) - 1))
        self.norm = nn.LayerNorm(8 * base)
        self.apply(init_transformer)

    def forward(self, images: Tensor) -> EncoderFeatures:
        """Extract the features."""
        tokens, skips, indices = self.stem(images)
        for stage, merge in zip(self.stages[:-1], self.merges, strict=True):
            tokens, skip, index = merge(stage(tokens))
            skips, indices = (*skips, skip), (*indices, index)
        deepest = self.norm(self.stages[-1](tokens)).permute(0, 3, 1, 2)
        return EncoderFeatures(deepest, skips, indices)


class Stage(nn.Module):
    """Blocks of one size, every second one with shifted windows."""

    def __init__(self, channels: int, heads: int, drops: list[float]):
        super().__init__()
        self.blocks = nn.ModuleList(Block(channels, heads, _shift(i), drop) for i, drop in enumerate(drops))

    def forward(self, tokens: Tensor) -> Tensor:
        """Keep the shape (N, H, W, C)."""
        size = tokens.shape[1:3]
        masks = {shift: window_mask(size[0], size[1], shift, tokens.device) for shift in (0, SHIFT)}
        for number, block in enumerate(self.blocks):
            tokens = block(tokens, masks[_shift(number)])
        return tokens


def _shift(block: int) -> int:
    """Return the shift of the windows in a block of a stage."""
    return SHIFT * (block % 2)


class Block(nn.Module):
    """Window attention and a feed-forward network, each with a residual connection."""

    def __init__(self, channels: int, heads: int, shift: int, drop: float):
        super().__init__()
        self.shift = shift
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = feed_forward(channels)
        self.drop_path = StochasticDepth(drop)

    def forward(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Keep the shape (N, H, W, C); `mask` is that of `window_mask` for the block's shift."""
        height, width = tokens.shape[1:3]
        normed = self.norm1(tokens)
        normed = nnf.pad(normed, (0, 0, 0, -width % WINDOW, 0, -height % WINDOW))
        windows, grid = to_windows(normed.roll((-self.shift, -self.shift), (1, 2)))
        attended = from_windows(self.attn(windows, mask), grid).roll((self.shift, self.shift), (1, 2))
        tokens = tokens + self.drop_path(attended[:, :height, :width])
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))


class WindowAttention(nn.Module):
    """Multi-head attention among the 49 tokens of a window, with a learned bias per relative position."""

    relative_position_index: Tensor

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * WINDOW - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer("relative_position_index", _relative_position_index(), persistent=False)

    def forward(self, windows: Tensor, mask: Tensor | None) -> Tensor:
        """Keep the shape (N, windows, 49, C); `mask` (windows, 49, 49) is added to the scores of every head."""
        q, k, v = self.qkv(windows).unflatten(-1, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5)
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)  # (N, windows, heads, 49, 49)
        scores = scores + self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        if mask is not None:
            scores = scores + mask.to(scores.dtype).unsqueeze(1)
        mixed = scores.softmax(-1) @ v  # (N, windows, heads, 49, C / heads)
        return self.proj(mixed.transpose(2, 3).flatten(3))


def to_windows(tokens: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Split (N, H, W, C) into windows (N, windows, 49, C); also return the grid (H / 7, W / 7)."""
    rows, columns = tokens.shape[1] // WINDOW, tokens.shape[2] // WINDOW
    tiles = tokens.unflatten(2, (columns, WINDOW)).unflatten(1, (rows, WINDOW))  # (N, rows, 7, columns, 7, C)
    return tiles.transpose(2, 3).flatten(3, 4).flatten(1, 2), (rows, columns)


def from_windows(windows: Tensor, grid: tuple[int, int]) -> Tensor:
    """Undo `to_windows`."""
    tiles = windows.unflatten(2, (WINDOW, WINDOW)).unflatten(1, grid)  # (N, rows, columns, 7, 7, C)
    return tiles.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def window_mask(height: int, width: int, shift: int, device: torch.device) -> Tensor | None:
    """Return the mask that separates, inside windows, tokens that are not neighbors in the map.

    Unlike in the original Swin, it also separates the zero padding from the map, as in the authors' code.

    Returns:
        (windows, 49, 49), -100 between tokens of different regions, else 0; `None` if there is only one region.
    """
    if not shift and height % WINDOW == width % WINDOW == 0:
        return None
    rows, columns = (_regions(length, shift, device) for length in (height, width))
    regions = 3 * rows.unsqueeze(1) + columns
    labels = to_windows(regions[None, ..., None])[0].view(-1, WINDOW**2)
    return -100.0 * (labels.unsqueeze(1) != labels.unsqueeze(2))


def _regions(length: int, shift: int, device: torch.device) -> Tensor:
    """Number each position along one axis, padded and rolled: 0 for the map, 1 for padding, 2 for its other end."""
    end = length + -length % WINDOW
    positions = torch.arange(end, device=device)
    return (positions >= length - shift).long() + (positions >= end - shift).long()


def _relative_position_index() -> Tensor:
    """Return the row of the bias table for each pair of the 49 positions of a window: int64 (49, 49)."""
    axis = torch.arange(WINDOW)
    positions = torch.cartesian_prod(axis, axis)
    offsets = positions.unsqueeze(1) - positions.unsqueeze(0) + WINDOW - 1  # (49, 49, 2)
    return offsets[..., 0] * (2 * WINDOW - 1) + offsets[..., 1]
