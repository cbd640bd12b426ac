"""The losses of StyleMatte's two stages: segmentation, then matting."""

from __future__ import annotations

import torch.nn.functional as nnf
from torch import Tensor

from p3m_lightning.losses.alpha import composition_loss
from p3m_lightning.losses.base import Loss, colors, require_one_shape
from p3m_lightning.losses.hausdorff import HAUSDORFF_FORMS
from p3m_lightning.losses.p3m import P3M_COLOR_SCALE
from p3m_lightning.ops.pyramid import binomial_pyramid
from p3m_lightning.schema import InputError, MattingOutput, Sample


def dice_loss(alpha: Tensor, target: Tensor, smoothing: float = 1.0) -> Tensor:
    """Return 1 - (2 sum(a t) + s) / (sum(a) + sum(t) + s) over the whole batch; (N, 1, H, W) in [0, 1] each.

    Example:
        >>> import torch
        >>> matte = torch.ones(1, 1, 8, 8)
        >>> dice_loss(matte, matte), dice_loss(0 * matte, matte)
        (tensor(0.), tensor(0.9846))
    """
    require_one_shape({"alpha": alpha, "target": target})
    common = (alpha * target).sum()
    return 1 - (2 * common + smoothing) / (alpha.sum() + target.sum() + smoothing)


def binomial_laplacian_loss(alpha: Tensor, target: Tensor, levels: int = 3) -> Tensor:
    """Compare mattes in three binomial levels without the residual: sum of the mean absolute differences, unweighted.

    Args:
        alpha: (N, 1, H, W) in [0, 1], both sides at least 2^(levels + 1).
        target: the same.
        levels: number of levels.

    Example:
        >>> import torch
        >>> matte = torch.rand(1, 1, 64, 64)
        >>> binomial_laplacian_loss(matte, matte)
        tensor(0.)
    """
    require_one_shape({"alpha": alpha, "target": target})
    pairs = zip(binomial_pyramid(alpha, levels), binomial_pyramid(target, levels), strict=True)
    return sum((nnf.l1_loss(ours, theirs) for ours, theirs in pairs), alpha.new_zeros(()))


class StyleMatteSegmentationLoss(Loss):
    """First stage: `dice` and `bce` (binary cross entropy) against the soft matte, and optionally `hausdorff`.

    Args:
        hausdorff: "distance" or "erosion", the form of the Hausdorff-distance loss; None leaves that term out.

    Raises:
        InputError: an unknown form.
    """

    def __init__(self, hausdorff: str | None = None) -> None:
        if hausdorff is not None and hausdorff not in HAUSDORFF_FORMS:
            raise InputError(
                f"loss.function.hausdorff: no form {hausdorff!r}; choose from {', '.join(HAUSDORFF_FORMS)}"
            )
        self.hausdorff = HAUSDORFF_FORMS[hausdorff] if hausdorff else None
        self.cross_entropies = ("bce",)
        self.names = ("dice", "bce", "hausdorff") if hausdorff else ("dice", "bce")

    def terms(self, output: MattingOutput, batch: Sample) -> dict[str, Tensor]:
        """Return the two or three terms."""
        alpha, target = output.alpha, batch["alpha"]
        result = {"dice": dice_loss(alpha, target), "bce": nnf.binary_cross_entropy(alpha, target)}
        if self.hausdorff is not None:
            result["hausdorff"] = self.hausdorff(alpha, target)
        return result


class StyleMatteMattingLoss(Loss):
    """Second stage: `squared` error of the matte, its `laplacian` in three binomial levels, optionally `composition`.

    Args:
        composition: whether to compare colors as P3M does; then batches need foreground and background.
    """

    def __init__(self, composition: bool = False) -> None:
        self.composition = composition
        self.names = ("squared", "laplacian", "composition") if composition else ("squared", "laplacian")

    def terms(self, output: MattingOutput, batch: Sample) -> dict[str, Tensor]:
        """Return the two or three terms."""
        result = {
            "squared": nnf.mse_loss(output.alpha, batch["alpha"]),
            "laplacian": binomial_laplacian_loss(output.alpha, batch["alpha"]),
        }
        if self.composition:
            result["composition"] = composition_loss(output.alpha, *colors(batch), P3M_COLOR_SCALE)
        return result
