"""Building blocks shared by several networks."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from p3m_lightning.schema import BACKGROUND, FOREGROUND, InputError, MattingOutput


class MattingNetwork(nn.Module):
    """A network of this package: `forward(images) -> MattingOutput`, see `p3m_lightning.models`.

    Attributes:
        name: key of `models.MODELS` that `create_model` built it from.
        needs_trimap: whether it is called as `forward(images, trimap)`.
    """

    name: str
    needs_trimap: bool

    def __call__(self, *inputs: Any, **named: Any) -> MattingOutput:
        """Apply the network to inputs that `verify` accepts."""
        self.verify(*inputs, **named)
        return super().__call__(*inputs, **named)

    def verify(self, images: object, trimap: object = None) -> None:
        """Check what the network is to be applied to; compiled and exported code does without.

        Raises:
            InputError: images or trimap of another type or shape, or classes of another code; on a GPU, codes are
                not read, since that would wait for all its work.
        """
        if torch.compiler.is_compiling():
            return
        parameter = next(self.parameters(), None)
        shape = verify_images(images, None if parameter is None else parameter.dtype)
        if trimap is not None:
            verify_trimap(trimap, shape)
        elif self.needs_trimap:
            raise InputError(f"trimap: this network needs one; {TRIMAP}")


IMAGES = "give float RGB in [0, 1], (N, 3, H, W), with N, H and W from 1 up"
TRIMAP = "give int64 (N, 1, H, W) of the images' size, of 0 (background), 1 (unknown), 2 (foreground)"


def verify_images(images: object, dtype: torch.dtype | None) -> torch.Size:
    """Return the shape of images for a network whose weights are `dtype`; None is one without weights.

    Raises:
        InputError: another type or shape.
    """
    if not (isinstance(images, Tensor) and images.is_floating_point() and _is_rgb(images.shape)):
        raise InputError(f"images: {_described(images)}; {IMAGES}")
    kind = images.device.type
    mixed = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind) and images.dtype != torch.float64
    if not mixed and dtype not in (None, images.dtype):
        raise InputError(f"images: {_described(images)}, but the network is {_short(dtype)}; use images.to({dtype})")
    return images.shape


def verify_trimap(trimap: object, images: torch.Size) -> None:
    """Check a trimap for images of the shape `images`; its codes only on the CPU.

    Raises:
        InputError: another type, shape or code.
    """
    if not (isinstance(trimap, Tensor) and _is_whole(trimap) and trimap.shape == (images[0], 1, *images[2:])):
        raise InputError(f"trimap: {_described(trimap)} for images {tuple(images)}; {TRIMAP}")
    if type(trimap) is Tensor and trimap.is_cpu:  # a fake one has no values
        least, most = (int(code) for code in trimap.aminmax())
        if least < BACKGROUND or most > FOREGROUND:
            raise InputError(f"trimap: holds codes from {least} to {most}; {TRIMAP}")


def _is_rgb(shape: torch.Size) -> bool:
    return len(shape) == 4 and shape[1] == 3 and 0 not in shape


def _is_whole(values: Tensor) -> bool:
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)


def _described(value: object) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{_short(value.dtype)} {tuple(value.shape)}"


def _short(dtype: torch.dtype | None) -> str:
    return str(dtype).removeprefix("torch.")


def scale_channels(channels: int, width: float, multiple: int) -> int:
    """Return `channels` times `width`, rounded to a multiple, at least one multiple."""
    return max(1, round(channels * width / multiple)) * multiple


def conv_bn_relu(*channels: int, dilation: int = 1) -> nn.Sequential:
    """Return 3 x 3 convolutions from each number of channels to the next, each with batch norm and ReLU."""
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        convolution = nn.Conv2d(before, after, 3, padding=dilation, dilation=dilation)
        layers += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)


def feed_forward(channels: int) -> nn.Sequential:
    """Return the two linear layers of a transformer block, four times as wide inside."""
    return nn.Sequential(
        OrderedDict(fc1=nn.Linear(channels, 4 * channels), act=nn.GELU(), fc2=nn.Linear(4 * channels, channels))
    )


def init_transformer(module: nn.Module) -> None:
    """Initialize linear layers as in vision transformers: normal of deviation 0.02, biases zero; for `Module.apply`."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class ConvStem(nn.Module):
    """Three convolutions and two index-keeping pools instead of a transformer's patch embedding.

    Ma et al., Rethinking Portrait Matting with Privacy Preserving, the stem of the Swin and ViTAE variants.
    """

    def __init__(self, outer: int, inner: int, last_relu: bool):
        super().__init__()
        self.proj1 = nn.Conv2d(3, outer, 3, padding=1)
        self.proj2 = nn.Conv2d(outer, inner, 3, padding=1)
        self.proj3 = nn.Conv2d(inner, inner, 3, padding=1)
        self.norm = nn.LayerNorm(inner)
        self.last_relu = last_relu

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return tokens (N, H/4, W/4, C), the maps at strides 1 and 2, and the indices of the two pools."""
        full = nnf.relu(self.proj1(images))  # stride 1
        pooled, index0 = max_pool(full)
        half = nnf.relu(self.proj2(pooled))  # stride 2
        pooled, index1 = max_pool(half)
        quarter = self.proj3(pooled)  # stride 4
        if self.last_relu:
            quarter = nnf.relu(quarter)
        return self.norm(quarter.permute(0, 2, 3, 1)), (full, half), (index0, index1)


class PoolingMerge(nn.Module):
    """Normalization, 2 x 2 pooling with indices, and widening: the downsampling between two stages of a transformer."""

    def __init__(self, channels: int, out_channels: int):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.linear = nn.Linear(channels, out_channels, bias=False)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take tokens (N, H, W, C); return tokens of half the size, the normalized map (N, C, H, W), the indices."""
        skip = self.norm(tokens).permute(0, 3, 1, 2)
        pooled, index = max_pool(skip)
        return self.linear(pooled.permute(0, 2, 3, 1)), skip, index


class StochasticDepth(nn.Module):
    """Drop the branch of a residual block, image by image, and scale it up where it is kept (Huang et al., ECCV 2016).

    Random draws are those of torchvision's, which takes seconds to import.

    Args:
        drop: probability of dropping, below 1; none in `eval()`.
    """

    def __init__(self, drop: float):
        super().__init__()
        self.drop = drop

    def forward(self, branch: Tensor) -> Tensor:
        """Take and return (N, ...)."""
        if not self.training or self.drop == 0:
            return branch
        stays = branch.new_empty(len(branch), *[1] * (branch.ndim - 1)).bernoulli_(1 - self.drop)
        return branch * (stays / (1 - self.drop))


def max_pool(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Halve (N, C, H, W) by 2 x 2 maxima; also return their indices, for `ops.unpool`."""
    return nnf.max_pool2d(maps, 2, return_indices=True)
