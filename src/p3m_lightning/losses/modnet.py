"""The losses of MODNet (Ke et al. 2022): supervised, and the self-supervised ones of its SOC adaptation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as nnf
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from p3m_lightning.losses.base import Loss, require_one_shape
from p3m_lightning.ops.geometry import pad_to_multiple, resize
from p3m_lightning.ops.matting import constant, impose_trimap, normalize
from p3m_lightning.schema import UNKNOWN, InputError, MattingOutput, Sample


def coarse_matte(alpha: Tensor, size: Sequence[int]) -> Tensor:
    """Reduce a matte (N, 1, H, W) to `size` (1/16 of its own) and blur it: the target of MODNet's semantic branch.

    Bilinear sampling without antialiasing, then a 3 x 3 Gaussian of standard deviation 0.8 with mirrored borders.
    """
    small = resize(alpha, (size[0], size[1]))
    # MODNet's kernel results from filtering an impulse of three samples, whose mirrored ends fold its tails back
    bell = gaussian_filter1d(np.array([0.0, 1.0, 0.0]), 0.8)
    kernel = constant(small, np.outer(bell, bell).ravel().tolist()).view(1, 1, 3, 3)
    return nnf.conv2d(nnf.pad(small, (1, 1, 1, 1), mode="reflect"), kernel)


def semantic_loss(semantic: Tensor, target: Tensor) -> Tensor:
    """Compare the coarse prediction (N, 1, h, w) with the reduced and blurred matte (N, 1, H, W), mean squared (eq. 1).

    The network pads its input to multiples of 32 and so the matte is padded here.

    Example:
        >>> import torch
        >>> semantic_loss(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 64, 64)) < 1e-6
        tensor(True)
    """
    coarse = coarse_matte(pad_to_multiple(target, 32), semantic.shape[-2:])
    require_one_shape({"semantic": semantic, "reduced target": coarse})
    return nnf.mse_loss(semantic, coarse)


def detail_loss(detail: Tensor, target: Tensor, trimap: Tensor) -> Tensor:
    """Compare the detail matte with the true one in the unknown region (eq. 2); (N, 1, H, W) each.

    Returns:
        Scalar: sum of absolute differences there, divided by the number of all pixels.

    Example:
        >>> import torch
        >>> trimap = torch.tensor([[[[0, 1, 1, 2]]]])
        >>> detail_loss(torch.zeros(1, 1, 1, 4), torch.ones(1, 1, 1, 4), trimap)
        tensor(0.5000)
    """
    require_one_shape({"detail": detail, "target": target, "trimap": trimap})
    return ((detail - target).abs() * (trimap == UNKNOWN)).mean()


def matte_loss(alpha: Tensor, target: Tensor, trimap: Tensor, image: Tensor, boundary_weight: float = 4.0) -> Tensor:
    """Compare the final matte and the cut-out colors with the true ones (eq. 3), the unknown region twice.

    Args:
        alpha: (N, 1, H, W) in [0, 1].
        target: the same.
        trimap: int64 (N, 1, H, W) of classes.
        image: (N, 3, H, W), normalized as the network sees it.
        boundary_weight: of the difference that remains when the prediction is replaced by the trimap where known.

    Example:
        >>> import torch
        >>> matte, trimap = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2, dtype=torch.int64)
        >>> matte_loss(matte, matte, trimap, torch.rand(1, 3, 2, 2))
        tensor(0.)
    """
    require_one_shape({"alpha": alpha, "target": target, "trimap": trimap, "image": image[:, :1]})
    pairs = [(alpha, 1.0), (impose_trimap(alpha, trimap), boundary_weight)]
    terms = [weight * nnf.l1_loss(matte, target) for matte, weight in pairs]
    terms += [weight * nnf.l1_loss(image * matte, image * target) for matte, weight in pairs]
    return (terms[0] + terms[1]) + (terms[2] + terms[3])


class MODNetLoss(Loss):
    """The three terms of MODNet: `semantic`, `detail`, `matte`; weights in conf/loss/modnet.yaml.

    Args:
        boundary_weight: see `matte_loss`.
    """

    names = ("semantic", "detail", "matte")

    def __init__(self, boundary_weight: float = 4.0) -> None:
        self.boundary_weight = boundary_weight

    def terms(self, output: MattingOutput, batch: Sample) -> dict[str, Tensor]:
        """Return the three terms."""
        semantic, detail = self.branches(output)
        target, trimap = batch["alpha"], batch["trimap"]
        image = normalize(batch["image"], (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        return {
            "semantic": semantic_loss(semantic, target),
            "detail": detail_loss(detail, target, trimap),
            "matte": matte_loss(output.alpha, target, trimap, image, self.boundary_weight),
        }


def consistency_terms(output: MattingOutput, before: MattingOutput) -> dict[str, Tensor]:
    """Make the branches of MODNet agree on unlabeled images: sub-objectives consistency (section 3.4 of the paper).

    The semantic branch and the final matte are drawn to each other; along the boundary, detail and matte are kept as
    before the adaptation. The authors weight `semantic` by 100 and `detail` by 1.

    Args:
        output: of the network in training; both sides multiples of 16.
        before: of its copy from before the adaptation, no gradient.

    Returns:
        The unweighted terms `semantic` and `detail`.

    Raises:
        InputError: an output without these branches.

    Example:
        >>> import torch
        >>> output = MattingOutput(torch.ones(1, 1, 64, 64), torch.ones(1, 1, 4, 4), torch.ones(1, 1, 64, 64))
        >>> terms = consistency_terms(output, output)  # branches that agree, and nothing has moved
        >>> bool(terms["semantic"] < 1e-6), terms["detail"]
        (True, tensor(0.))
    """
    matte, semantic, detail = output.alpha, output.semantic, output.detail
    if semantic is None or detail is None or before.detail is None:
        raise InputError(
            "loss: consistency compares MODNet's branches; both outputs need `detail`, the first `semantic`"
        )
    coarse = coarse_matte(matte, semantic.shape[-2:])
    require_one_shape({"output.semantic": semantic, "reduced output.alpha": coarse})
    earlier = {"before.alpha": before.alpha, "before.detail": before.detail}
    require_one_shape({"output.alpha": matte, "output.detail": detail, **earlier})
    to_matte = nnf.mse_loss(semantic, (coarse * (coarse > 0.01)).detach())
    to_semantic = nnf.mse_loss(coarse, (semantic * (semantic > 0.01)).detach())
    boundary = _boundary(matte.detach(), semantic.detach())
    area = boundary.sum(dim=(1, 2, 3)).clamp(min=1)  # a matte without boundary contributes nothing
    moved = (detail - before.detail.to(detail)).abs() + (matte - before.alpha.to(matte)).abs()
    return {
        "semantic": to_matte + to_semantic,
        "detail": ((moved * boundary).sum(dim=(1, 2, 3)) / area).mean(),
    }


class MODNetConsistencyLoss(Loss):
    """The terms of `consistency_terms`, on images whose sides are multiples of 32, without mattes.

    The batch carries `before`, the output of the network from before the adaptation
    (`p3m_lightning.training.callbacks.adaptation.KeepBefore` puts it there).
    """

    names = ("semantic", "detail")

    def terms(self, output: MattingOutput, batch: Sample) -> dict[str, Tensor]:
        """Return the two terms."""
        self.branches(output)
        if "before" not in batch:
            raise InputError("loss: consistency needs `before` in the batch; use the callback of experiment=modnet_soc")
        return consistency_terms(output, batch["before"])


def _boundary(matte: Tensor, semantic: Tensor) -> Tensor:
    """Return the band around the edge of the foreground of both branches, a twentieth of the mean side wide."""
    height, width = matte.shape[-2:]
    agreed = (matte > 0.1) * resize((semantic > 0.1).to(matte), (height, width))
    side = max(1, int((height + width) / 2 * 0.05))
    # windows of even size reach one pixel further, back for the erosion and ahead for the dilation
    near, far = (side - 1) // 2, side // 2
    dilated = _window_maximum(agreed, near, far)
    eroded = -_window_maximum(-agreed, far, near)
    return (dilated != eroded).to(matte)


def _window_maximum(maps: Tensor, back: int, ahead: int) -> Tensor:
    padded = nnf.pad(maps, (back, ahead, back, ahead), value=-torch.inf)
    return nnf.max_pool2d(padded, back + 1 + ahead, stride=1)
