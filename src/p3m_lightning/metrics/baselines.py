"""Trivial predictors as baselines: the best constant matte and the mean matte of the same set."""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from torch import Tensor
from torchmetrics import Metric

LEVELS = 256
GRID = 64


class TrivialPredictors(Metric):
    """Mean SAD of two predictors that never look at the image, both fitted to the set they are scored on.

    `constant` is the best single value for all pixels. `mean_matte` is the mean of all mattes; it is scored on means
    over 64 x 64 cells and scaled by the pixel count, which makes it look better than it is. Both to 1/255.
    """

    higher_is_better = False
    histogram: Tensor
    cells: Tensor
    total: Tensor
    images: Tensor
    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        cells = GRID * GRID
        self.add_state("histogram", torch.zeros(LEVELS, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("cells", torch.zeros(cells, LEVELS, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros(cells, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("images", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, alpha: Tensor) -> None:
        """Add true mattes, (N, 1, H, W) in [0, 1]."""
        self.histogram += torch.bincount(_levels(alpha).flatten(), minlength=LEVELS)
        means = nnf.adaptive_avg_pool2d(alpha.double(), GRID).flatten(1)  # (N, cells)
        pixels = alpha.shape[-2] * alpha.shape[-1]
        self.cells += nnf.one_hot(_levels(means), LEVELS).sum(0) * pixels
        self.total += means.sum(0)
        self.images += len(alpha)

    def compute(self) -> dict[str, Tensor]:
        """Return `constant`, `constant_value` and `mean_matte`: mean SAD per image in thousands of pixels."""
        values = torch.arange(LEVELS, dtype=torch.float64, device=self.histogram.device) / (LEVELS - 1)
        sums = (values[:, None] - values[None, :]).abs() @ self.histogram
        mean = self.total / self.images
        errors = (self.cells * (values - mean[:, None]).abs()).sum() / len(mean)
        return {
            "constant": sums.min() / 1000 / self.images,
            "constant_value": values[sums.argmin()],
            "mean_matte": errors / 1000 / self.images,
        }


def _levels(alpha: Tensor) -> Tensor:
    return (alpha * (LEVELS - 1)).round().long()
