"""The losses of P3M-Net (Li et al. 2021, Ma et al. 2023) and of GFM (Li et al. 2022), which share parts."""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from torch import Tensor

from p3m_lightning.losses.alpha import alpha_loss, composition_loss, laplacian_loss
from p3m_lightning.losses.base import Loss, colors, exact_region, require_one_shape
from p3m_lightning.ops.matting import IMAGENET_STD
from p3m_lightning.schema import FOREGROUND, UNKNOWN, MattingOutput, Sample

P3M_COLOR_SCALE = tuple(1 / std for std in IMAGENET_STD)
"""P3M compares ImageNet-normalized colors: in [0, 1] space a factor 4.37, 4.46, 4.44 on red, green, blue."""

MATTE_TERMS = ("detail_alpha", "detail_laplacian", "fusion_alpha", "fusion_laplacian")


def trimap_loss(logits: Tensor, trimap: Tensor) -> Tensor:
    """Compare trimap logits (N, 3, H, W) with classes, int64 (N, 1, H, W), by the mean softmax cross entropy.

    Example:
        >>> import torch
        >>> trimap_loss(torch.zeros(1, 3, 2, 2), torch.ones(1, 1, 2, 2, dtype=torch.int64))  # log 3
        tensor(1.0986)
    """
    require_one_shape({"logits": logits[:, :1], "trimap": trimap})
    return nnf.cross_entropy(logits, trimap.squeeze(1))


def opaque_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Compare two-class logits with a matte, as GFM's FT and BT forms do: class 1 is where the matte is exactly 1.

    Args:
        logits: (N, 2, H, W).
        target: (N, 1, H, W) in [0, 1].

    Returns:
        Scalar: the mean softmax cross entropy.

    Example:
        >>> import torch
        >>> opaque_loss(torch.zeros(1, 2, 2, 2), torch.ones(1, 1, 2, 2))  # log 2
        tensor(0.6931)
    """
    require_one_shape({"logits": logits[:, :1], "target": target})
    return nnf.cross_entropy(logits, (target == 1).long().squeeze(1))


def classes_from_codes(codes: Tensor) -> Tensor:
    """Read a trimap of 0 / 128 / 255 as the cross entropy released with P3M in 2021 does, resized ones included.

    That release resizes the trimap like an image. 0 is background and 255 foreground; of the values between, those
    above 2 are unknown and the rest, truncated, name their class (so 2 is foreground). Only exactly 128 counts as
    unknown in its other losses. Trimaps in our batches hold classes already and never need this.

    Args:
        codes: (N, 1, H, W), values 0 to 255.

    Returns:
        int64 (N, 1, H, W) of BACKGROUND, UNKNOWN, FOREGROUND.

    Example:
        >>> import torch
        >>> classes_from_codes(torch.tensor([0.0, 2.0, 3.0, 128.0, 254.0, 255.0]).view(1, 1, 1, 6)).flatten()
        tensor([0, 2, 1, 1, 1, 2])
    """
    between = torch.where(codes > 2, UNKNOWN, codes.long())
    return torch.where(codes == 255, FOREGROUND, between)


class P3MLoss(Loss):
    """The nine terms of P3M-Net, as released; weights in conf/loss/released.yaml and paper.yaml.

    `semantic` and `side2`, `side1`, `side0` are cross entropies with the trimap, `detail_*` compare the detail matte in
    the unknown region, `fusion_*` and `composition` the final matte everywhere. The side terms are zero for a network
    without side outputs (BASIC), so that one table of weights serves all.

    Args:
        composition: whether to compare colors; if not, that term is zero and batches need no foreground.
    """

    names = ("semantic", "side2", "side1", "side0", *MATTE_TERMS, "composition")
    cross_entropies = ("semantic", "side2", "side1", "side0")

    def __init__(self, composition: bool = True) -> None:
        self.composition = composition

    def terms(self, output: MattingOutput, batch: Sample) -> dict[str, Tensor]:
        """Return the nine terms."""
        semantic, detail = self.branches(output)
        result = {"semantic": trimap_loss(semantic, batch["trimap"])}
        sides = output.sides or (None, None, None)
        for name, side in zip(("side2", "side1", "side0"), sides, strict=True):
            result[name] = output.alpha.new_zeros(()) if side is None else trimap_loss(side, batch["trimap"])
        result.update(_matte_terms(output.alpha, detail, batch))
        result["composition"] = output.alpha.new_zeros(())
        if self.composition:
            result["composition"] = composition_loss(output.alpha, *colors(batch), P3M_COLOR_SCALE)
        return result


class GFMLoss(Loss):
    """The terms of GFM as released: glance (semantic), focus (detail) and their fusion.

    For the semantic representation TT of the paper, a trimap; its FT and BT forms use `opaque_loss` instead of the
    cross entropy. It treats the sigmoid output of the glance decoder as logits, like the authors' code.

    Args:
        composition: whether to compare colors; if not, that term is zero and batches need no foreground.
    """

    names = ("semantic", *MATTE_TERMS, "composition")
    cross_entropies = ("semantic",)

    def __init__(self, composition: bool = True) -> None:
        self.composition = composition

    def terms(self, output: MattingOutput, batch: Sample) -> dict[str, Tensor]:
        """Return the six terms."""
        semantic, detail = self.branches(output)
        result = {"semantic": trimap_loss(semantic, batch["trimap"]), **_matte_terms(output.alpha, detail, batch)}
        result["composition"] = output.alpha.new_zeros(())
        if self.composition:
            # the authors' colors range to 255, and only the sum is divided
            result["composition"] = composition_loss(output.alpha, *colors(batch), scale=255.0) / 255
        return result


def _matte_terms(alpha: Tensor, detail: Tensor, batch: Sample) -> dict[str, Tensor]:
    target, unknown = batch["alpha"], (batch["trimap"] == UNKNOWN) & exact_region(batch)
    return {
        "detail_alpha": alpha_loss(detail, target, unknown),
        "detail_laplacian": laplacian_loss(detail, target, unknown),
        "fusion_alpha": alpha_loss(alpha, target),
        "fusion_laplacian": laplacian_loss(alpha, target),
    }
