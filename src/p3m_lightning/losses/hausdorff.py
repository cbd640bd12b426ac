"""Hausdorff-distance losses after Karimi and Salcudean (IEEE TMI 2020): by distance transforms, and by erosions."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as nnf
from torch import Tensor

from p3m_lightning.losses.base import require_one_shape
from p3m_lightning.ops.matting import constant


def boundary_distance(masks: Tensor) -> Tensor:
    """Return the exact Euclidean distance of every pixel to the boundary of its mask.

    Args:
        masks: bool (N, 1, H, W).

    Returns:
        float32 (N, 1, H, W), in pixels: inside, the distance to the nearest pixel outside, and vice versa;
        zero for a mask without boundary, empty or full.

    Example:
        >>> import torch
        >>> boundary_distance(torch.tensor([[[[True, True, True, False, False]]]])).flatten()
        tensor([3., 2., 1., 1., 2.])
    """
    fields = np.zeros(masks.shape, np.float32)
    for mask, field in zip(masks.flatten(0, 1).cpu().numpy(), fields.reshape(-1, *fields.shape[-2:]), strict=True):
        if mask.any() and not mask.all():
            for side in (mask, ~mask):
                field += cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return torch.from_numpy(fields).to(masks.device)


def hausdorff_distance_loss(alpha: Tensor, target: Tensor, exponent: float = 2.0) -> Tensor:
    """Weight squared errors by the distance from both boundaries (Loss_DT): mean of (a - t)^2 (d_a^p + d_t^p).

    Args:
        alpha: (N, 1, H, W) in [0, 1]; its boundary, like the target's, is that of the part above 0.5, and no gradient
            passes through distances.
        target: the same.
        exponent: p; the authors found values between 1 and 3 suitable, and use 2.

    Returns:
        Scalar, in pixels^p.

    Example:
        >>> import torch
        >>> target = torch.zeros(1, 1, 32, 32)
        >>> target[..., :16] = 1
        >>> hausdorff_distance_loss(target, target)
        tensor(0.)
    """
    require_one_shape({"alpha": alpha, "target": target})
    with torch.no_grad():
        fields = [boundary_distance(matte > 0.5).to(alpha) ** exponent for matte in (alpha, target)]
    return ((alpha - target) ** 2 * (fields[0] + fields[1])).mean()


def hausdorff_erosion_loss(alpha: Tensor, target: Tensor, exponent: float = 2.0, erosions: int = 10) -> Tensor:
    """Weight squared errors by the erosions they survive (Loss_ER): mean of sum_k k^p erode_k((a - t)^2).

    One soft erosion averages every pixel with its four neighbors and then stretches [0.5, 1] to [0, 1], lower values
    to 0; outside the image the error is 0. Needs no distance transform, but errors thinner than two pixels vanish.

    Args:
        alpha: (N, 1, H, W) in [0, 1].
        target: the same.
        exponent: p; the authors use 2.
        erosions: number of erosions; the authors use 10.

    Example:
        >>> import torch
        >>> hausdorff_erosion_loss(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8))
        tensor(0.)
    """
    require_one_shape({"alpha": alpha, "target": target})
    kernel = constant(alpha, [0, 0.2, 0, 0.2, 0.2, 0.2, 0, 0.2, 0]).view(1, 1, 3, 3)
    error = (alpha - target) ** 2
    total = alpha.new_zeros(())
    for k in range(1, erosions + 1):
        error = nnf.relu(2 * nnf.conv2d(error, kernel, padding=1) - 1)
        total = total + k**exponent * error.mean()
    return total


HAUSDORFF_FORMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "distance": hausdorff_distance_loss,
    "erosion": hausdorff_erosion_loss,
}
