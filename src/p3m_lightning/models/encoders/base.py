"""Interface of the encoders under P3M-Net."""

from __future__ import annotations

from torch import nn


class PoolingEncoder(nn.Module):
    """Base of encoders of normalized images (N, 3, H, W), H and W multiples of 32, into `EncoderFeatures`.

    Attributes:
        channels: of the maps at strides 1, 2, 4, 8, 16, 32.
        minimum_size: smallest height and width of an image.
        mean: of the RGB channels in [0, 1], to normalize images with.
        std: their standard deviation, likewise.
    """

    channels: tuple[int, ...]
    minimum_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
