"""Changing the size of image tensors: padding to a multiple, resizing."""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from torch import Tensor

from p3m_lightning.images.pixels import Block, smooth_blocks


def pad_to_multiple(images: Tensor, multiple: int, minimum: int = 0) -> Tensor:
    """Repeat the bottom and right edge until both sides are multiples.

    Args:
        images: (N, C, H, W), any H and W from 1 up.
        multiple: unit of both sides.
        minimum: smallest side to return; rounded up to a multiple itself.

    Returns:
        (N, C, H', W') with H' >= H and W' >= W; the same tensor if there is nothing to do.

    Example:
        >>> import torch
        >>> pad_to_multiple(torch.rand(1, 3, 33, 64), 32).shape
        torch.Size([1, 3, 64, 64])
    """
    height, width = images.shape[-2:]
    # not -(-side // multiple): ONNX rounds negative quotients the other way
    new_height, new_width = ((max(side, minimum) + multiple - 1) // multiple * multiple for side in (height, width))
    if (new_height, new_width) == (height, width):
        return images
    return nnf.pad(images, (0, new_width - width, 0, new_height - height), mode="replicate")


def crop_to(maps: Tensor, height: int, width: int) -> Tensor:
    """Undo `pad_to_multiple`: the top left (N, C, height, width) of (N, C, H, W).

    Example:
        >>> import torch
        >>> crop_to(torch.rand(1, 1, 64, 64), 33, 64).shape
        torch.Size([1, 1, 33, 64])
    """
    return maps[..., :height, :width]


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (N, C, H, W) to `size` (height, width) bilinearly, with half-pixel centers, without antialiasing.

    Example:
        >>> import torch
        >>> resize(torch.tensor([[[[0.0, 1.0]]]]), (1, 4))
        tensor([[[[0.0000, 0.2500, 0.7500, 1.0000]]]])
    """
    if maps.shape[-2:] == size:
        return maps
    return nnf.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def upsample(maps: Tensor, factor: int) -> Tensor:
    """Enlarge (N, C, H, W) `factor` times bilinearly with half-pixel centers.

    Example:
        >>> import torch
        >>> upsample(torch.rand(1, 1, 8, 6), 4).shape
        torch.Size([1, 1, 32, 24])
    """
    return nnf.interpolate(maps, scale_factor=factor, mode="bilinear", align_corners=False)


def region_means(maps: Tensor, regions: int) -> Tensor:
    """Average (N, C, H, W) over a grid of regions: `adaptive_avg_pool2d` as matrices, which ONNX takes at any size.

    Returns:
        (N, C, regions, regions); regions overlap by a pixel if a side is not a multiple of their number.

    Example:
        >>> import torch
        >>> region_means(torch.arange(16.0).view(1, 1, 4, 4), 2)
        tensor([[[[ 2.5000,  4.5000],
                  [10.5000, 12.5000]]]])
    """
    rows, columns = (_averaging(side, regions, maps) for side in maps.shape[-2:])
    return rows @ maps @ columns.T


def _averaging(side: int, regions: int, like: Tensor) -> Tensor:
    """Return weights (regions, side) that average each region of an axis."""
    number = torch.arange(regions, device=like.device).unsqueeze(1)
    pixel = torch.arange(side, device=like.device)
    inside = (pixel >= number * side // regions) & (pixel < ((number + 1) * side + regions - 1) // regions)
    return inside.to(like.dtype) / inside.sum(1, keepdim=True)


def resize_smooth(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize as scikit-image's `resize` does with its defaults, the resampling of the P3M authors' tests.

    A Gaussian of standard deviation (f - 1) / 2 per axis before a reduction by f, then bilinear sampling at half-pixel
    centers, borders mirrored without repeating the edge sample.

    Args:
        maps: float (N, C, H, W).
        size: (height, width) to return.

    Example:
        >>> import torch
        >>> resize_smooth(torch.arange(6.0).view(1, 1, 1, 6), (1, 3))
        tensor([[[[0.6072, 2.5000, 4.3928]]]])
    """
    if maps.shape[-2:] == size:
        return maps
    down, across = (smooth_blocks(old, new) for old, new in zip(maps.shape[-2:], size, strict=True))
    with torch.autocast(maps.device.type, enabled=False):  # bfloat16 would be visible
        maps = torch.cat([_like(maps, block) @ maps[..., block.source, :] for block in down], -2)
        return torch.cat([maps[..., block.source] @ _like(maps, block).T for block in across], -1)


def _like(maps: Tensor, block: Block) -> Tensor:
    return torch.from_numpy(block.weights).to(maps)
