"""How little a score may mean: the best constant matte and the mean matte of the same set."""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from torch import Tensor
from torchmetrics import Metric

LEVELS = 256
GRID = 128


class TrivialPredictors(Metric):
    """Mean SAD of two predictors that never look at the image, both fitted to the set that they are scored on.

    `constant` is the best single value for all pixels, exact to 1/255. `mean_matte` is the mean of all mattes; it is
    scored at 128 x 128 and scaled by the pixel count, which can only make it look better than it is.
    """

    higher_is_better = False
    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        self.add_state("histogram", torch.zeros(LEVELS, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("mattes", [], dist_reduce_fx="cat")
        self.add_state("pixels", [], dist_reduce_fx="cat")

    def update(self, alpha: Tensor) -> None:
        """Take in true mattes, (N, 1, H, W) in [0, 1]."""
        levels = (alpha * (LEVELS - 1)).round().long().flatten()
        self.histogram += torch.bincount(levels, minlength=LEVELS)
        self.mattes.append(nnf.adaptive_avg_pool2d(alpha.float(), GRID).flatten(1))
        pixels = float(alpha.shape[-2] * alpha.shape[-1])
        self.pixels.append(torch.full((alpha.shape[0],), pixels, dtype=torch.float64, device=alpha.device))

    def compute(self) -> dict[str, Tensor]:
        """Return `constant`, `constant_value` and `mean_matte`: mean SAD an image in thousands of pixels."""
        mattes, pixels = torch.cat(list(self.mattes)).double(), torch.cat(list(self.pixels))
        values = torch.arange(LEVELS, dtype=torch.float64, device=self.histogram.device) / (LEVELS - 1)
        sums = (values[:, None] - values[None, :]).abs() @ self.histogram
        mean_error = (mattes - mattes.mean(0)).abs().mean(1)
        return {
            "constant": sums.min() / 1000 / len(pixels),
            "constant_value": values[sums.argmin()],
            "mean_matte": (mean_error * pixels).mean() / 1000,
        }
