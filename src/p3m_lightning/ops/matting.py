"""The arithmetic of matting: compositing, trimaps, fusing a trimap with a detail matte, unpooling."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import numpy as np
import torch
from torch import Tensor

from p3m_lightning.ops.morphology import dilate
from p3m_lightning.schema import FOREGROUND, UNKNOWN, InputError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalize(images: Tensor, mean: tuple[float, ...] = IMAGENET_MEAN, std: tuple[float, ...] = IMAGENET_STD) -> Tensor:
    """Subtract `mean` from and divide by `std` the RGB channels of (N, 3, H, W) images in [0, 1].

    Example:
        >>> import torch
        >>> normalize(torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)).abs().max()
        tensor(0.)
    """
    shape = (1, -1, 1, 1)
    return (images - constant(images, mean).view(shape)) / constant(images, std).view(shape)


def constant(like: Tensor, values: Sequence[float]) -> Tensor:
    """Return a few numbers, (len(values),), with the type and device of `like`.

    They are filled in on the device: `new_tensor` would copy them from the host, and wait for all pending work of the
    device.

    Example:
        >>> import torch
        >>> constant(torch.zeros(2, 2), [0.25, 0.5])
        tensor([0.2500, 0.5000])
    """
    return torch.cat([like.new_full((1,), value) for value in values])


def composite(foreground: Tensor, background: Tensor, alpha: Tensor) -> Tensor:
    """Composite `foreground` (N, 3, H, W) over `background` (N, 3, H, W) by `alpha` (N, 1, H, W) in [0, 1].

    Example:
        >>> import torch
        >>> white, black = torch.ones(1, 3, 1, 1), torch.zeros(1, 3, 1, 1)
        >>> composite(white, black, torch.full((1, 1, 1, 1), 0.25)).flatten()
        tensor([0.2500, 0.2500, 0.2500])
    """
    return alpha * foreground + (1 - alpha) * background


def fuse(semantic: Tensor, detail: Tensor) -> Tensor:
    """Fuse a trimap prediction and a detail matte: 0 in the background, 1 in the foreground, detail in between.

    Where a score is NaN the matte is NaN too, so that a diverged network is not taken for one that sees no person; an
    exported graph does without.

    Args:
        semantic: (N, 3, H, W) scores of background, unknown, foreground; the first wins a tie, no gradient.
        detail: (N, 1, H, W) in [0, 1].

    Returns:
        (N, 1, H, W) in [0, 1].

    Example:
        >>> import torch
        >>> scores = torch.eye(3).view(1, 3, 1, 3)  # background, unknown, foreground
        >>> fuse(scores, torch.full((1, 1, 1, 3), 0.7)).flatten()
        tensor([0.0000, 0.7000, 1.0000])
    """
    if torch.compiler.is_exporting():
        return impose_trimap(detail, semantic.argmax(dim=1, keepdim=True))
    highest, classes = semantic.detach().max(dim=1, keepdim=True)  # NaN counts as the highest
    return impose_trimap(detail, classes).masked_fill(highest.isnan(), torch.nan)


def impose_trimap(alpha: Tensor, trimap: Tensor) -> Tensor:
    """Set `alpha` (N, 1, H, W) to 0 and 1 where `trimap`, classes of the same shape, is background or foreground.

    Example:
        >>> import torch
        >>> impose_trimap(torch.full((1, 1, 1, 3), 0.7), torch.tensor([[[[0, 1, 2]]]])).flatten()
        tensor([0.0000, 0.7000, 1.0000])
    """
    return torch.where(trimap == UNKNOWN, alpha, (trimap == FOREGROUND).to(alpha.dtype))


def unpool(maps: Tensor, indices: Tensor) -> Tensor:
    """Put every value back at the position of its maximum: `max_unpool2d` with kernel 2 and stride 2.

    Implemented as a scatter on flattened positions, which every exporter supports. If overlapping pools give a position
    several times, the last value in row-major order wins on the CPU for any number of threads (`max_unpool2d` does not
    promise this); on CUDA the order is undefined. Maps in channels-last layout keep it.

    Args:
        maps: (N, C, H, W).
        indices: int64 (N, C, H, W), positions in a plane of (2 H) x (2 W).

    Returns:
        (N, C, 2 H, 2 W), zero elsewhere.

    Example:
        >>> import torch
        >>> from torch.nn.functional import max_pool2d
        >>> maps = torch.tensor([[[[1.0, 4.0], [2.0, 3.0]]]])
        >>> unpool(*max_pool2d(maps, 2, return_indices=True))
        tensor([[[[0., 4.],
                  [0., 0.]]]])
    """
    batch, channels, height, width = maps.shape
    if maps.is_contiguous(memory_format=torch.channels_last):
        values, places = (m.permute(0, 2, 3, 1).flatten(1, 2) for m in (maps, indices))
        flat = maps.new_zeros(batch, 4 * height * width, channels).scatter_(1, places, values)
        return flat.view(batch, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)
    flat = maps.new_zeros(batch, channels, 4 * height * width).scatter_(2, indices.flatten(2), maps.flatten(2))
    return flat.view(batch, channels, 2 * height, 2 * width)


def trimap_from_alpha(alpha: np.ndarray, kernel_size: int) -> np.ndarray:
    """Make the trimap of a matte the P3M way: unknown = dilate(alpha > 0) minus erode(alpha = maximum).

    Args:
        alpha: uint8 or uint16 (H, W), full range.
        kernel_size: side of the elliptic structuring element in pixels, 1 or more.

    Returns:
        uint8 (H, W) of BACKGROUND, UNKNOWN, FOREGROUND; pixels outside the image neither dilate nor erode.

    Raises:
        InputError: a matte of another type or shape, or no side.

    Example:
        >>> import numpy as np
        >>> alpha = np.array([[0, 0, 0, 0, 255, 255, 255, 255]], np.uint8)
        >>> trimap_from_alpha(alpha, 3)
        array([[0, 0, 0, 1, 1, 2, 2, 2]], dtype=uint8)
    """
    if alpha.dtype not in (np.uint8, np.uint16) or alpha.ndim != 2:  # the maximum of others is not their opaque
        raise InputError(f"alpha: {alpha.dtype} {alpha.shape}; give the matte as uint8 or uint16, (H, W)")
    if not isinstance(kernel_size, Integral) or kernel_size < 1:
        raise InputError(f"kernel_size={kernel_size}: give a whole number of pixels from 1 up")
    dilated = dilate(alpha > 0, kernel_size)
    eroded = ~dilate(alpha < np.iinfo(alpha.dtype).max, kernel_size)
    # eroded lies inside dilated, so their sum counts from background to foreground
    return dilated.view(np.uint8) + eroded.view(np.uint8)
