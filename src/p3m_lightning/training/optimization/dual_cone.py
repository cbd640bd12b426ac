"""The quadratic program inside UPGrad, by SciPy: TorchJD's own solver, quadprog, is under the GPL."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from p3m_lightning.schema import InputError

RIDGE = 1e-4  # added to the diagonal after division by the trace, as TorchJD does


def upgrad_weights() -> Callable[[Tensor], Tensor]:
    """Return TorchJD's weighting for a Gramian (m, m), which sums m projections: float64 (m,).

    Equal preferences of 1 for each term, so that terms which do not conflict keep their weights.

    Raises:
        InputError: TorchJD is not installed.
    """
    try:
        from torchjd.aggregation import UPGradWeighting
        from torchjd.linalg import DualConeProjector
    except ModuleNotFoundError:
        raise InputError("loss.weighting=upgrad: needs TorchJD; pip install 'p3m_lightning[torchjd]'") from None

    class Projector(DualConeProjector):
        """Takes rows (..., m) and a Gramian (m, m)."""

        def __call__(self, U: Tensor, G: Tensor) -> Tensor:  # noqa: N803  # TorchJD's names
            return torch.from_numpy(project(U.detach().cpu().numpy(), G.detach().cpu().numpy())).to(U)

    def weigh(gramian: Tensor) -> Tensor:
        return UPGradWeighting(gramian.new_ones(len(gramian)), Projector())(gramian)

    return weigh


def project(rows: np.ndarray, gramian: np.ndarray) -> np.ndarray:
    """Solve min v^T G v with v >= u for every row u: the weights of its projection onto the dual cone.

    With v = u + x and G = A^T A that is the least squares problem min |A x + A u| with x >= 0.

    Args:
        rows: (..., m).
        gramian: (m, m), symmetric and positive semidefinite.

    Returns:
        Array of the shape of `rows`.
    """
    size = len(gramian)
    normal = gramian / max(np.trace(gramian), 1e-30) + RIDGE * np.eye(size)
    root = np.linalg.cholesky(normal).T
    flat = rows.reshape(-1, size).astype(np.float64)
    return np.array([u + nnls(root, -root @ u)[0] for u in flat]).reshape(rows.shape)
