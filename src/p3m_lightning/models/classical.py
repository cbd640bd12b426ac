"""The traditional matting methods, by pymatting: they make a matte of an image and a trimap, without training."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
import torch
from torch import Tensor

from p3m_lightning.models.blocks import MattingNetwork, verify_trimap
from p3m_lightning.ops import crop_to, impose_trimap, pad_to_multiple
from p3m_lightning.schema import BACKGROUND, FOREGROUND, UNKNOWN, InputError, MattingOutput

METHODS = {  # registry name -> function of pymatting
    "closed_form": "estimate_alpha_cf",
    "knn": "estimate_alpha_knn",
    "learning_based": "estimate_alpha_lbdm",
    "random_walk": "estimate_alpha_rw",
    "large_kernel": "estimate_alpha_lkm",
    "shared_matting": "estimate_alpha_sm",
}
SMALLEST = 48  # smaller images are padded: methods need 20 other pixels, or twice a window of 21
FALLBACK_TOLERANCE = 1e-5  # of the solver, where it does not reach pymatting's 1e-7


class Classical(MattingNetwork):
    """One method of pymatting with the interface of the networks; always on the CPU, image by image, in float64.

    Levin et al. 2008 (closed form), Chen et al. 2013 (KNN), Zheng and Kambhamettu 2009 (learning based), Grady et al.
    2005 (random walk), He et al. 2010 (large kernel), Gastal and Oliveira 2010 (shared).

    Args:
        method: a key of `METHODS`.
        options: keyword arguments of the pymatting function, which has defaults for all.

    Raises:
        InputError: an unknown method or option.
    """

    needs_trimap = True

    def __init__(self, method: str, options: Mapping[str, object] | None = None):
        super().__init__()
        if method not in METHODS:
            raise InputError(f"method={method}: no such method; choose from {', '.join(METHODS)}")
        self.method = method
        self.options: dict[str, Any] = dict(options or {})
        if self.options:
            accepted = [*inspect.signature(_function(method)).parameters][2:]  # after image and trimap
            unknown = sorted(set(self.options) - set(accepted))
            if unknown:
                raise InputError(f"model.options: no option {', '.join(unknown)}; {method} takes {', '.join(accepted)}")

    @torch.no_grad()
    def forward(self, images: Tensor, trimap: Tensor) -> MattingOutput:
        """Estimate mattes.

        Args:
            images: float RGB in [0, 1], (N, 3, H, W), any size.
            trimap: int64 (N, 1, H, W) of BACKGROUND, UNKNOWN, FOREGROUND.

        Returns:
            alpha (N, 1, H, W) in [0, 1], exactly the trimap where that is known. Without known foreground (background)
            the unknown region is background (foreground); if nothing is known, alpha is 1/2.

        Raises:
            InputError: images are not finite, or the method finds no solution, not even with `FALLBACK_TOLERANCE`.
        """
        if not images.isfinite().all():
            raise InputError("images: not finite; give float RGB in [0, 1]")
        verify_trimap(trimap.cpu(), images.shape)  # here codes can be read from any device
        pixels = pad_to_multiple(images.double().clamp(0, 1), 1, SMALLEST).permute(0, 2, 3, 1).contiguous()
        classes = pad_to_multiple(trimap.double(), 1, SMALLEST)[:, 0]
        mattes = [self._estimate(*pair) for pair in zip(pixels.cpu().numpy(), classes.cpu().numpy(), strict=True)]
        alpha = torch.from_numpy(np.stack(mattes)).unsqueeze(1).to(images)
        return MattingOutput(impose_trimap(crop_to(alpha, *images.shape[-2:]), trimap))

    def _estimate(self, image: np.ndarray, trimap: np.ndarray) -> np.ndarray:
        """Return the matte (H, W) of an image, float64 (H, W, 3), and classes (H, W)."""
        has_background, has_foreground = (trimap == BACKGROUND).any(), (trimap == FOREGROUND).any()
        if not (has_background and has_foreground):  # pymatting refuses such trimaps
            return np.full(trimap.shape, 0.5 if has_background == has_foreground else float(has_foreground))
        if not (trimap == UNKNOWN).any():
            return np.zeros(trimap.shape)
        try:
            return self._solve(image, trimap / FOREGROUND, self.options)
        except ValueError as error:  # methods that solve a linear system: too many iterations
            warnings.warn(f"{self.method}: {error}; trying with a tolerance of {FALLBACK_TOLERANCE}", stacklevel=2)
        solver = {**self.options.get("cg_kwargs", {}), "rtol": FALLBACK_TOLERANCE}
        try:
            return self._solve(image, trimap / FOREGROUND, {**self.options, "cg_kwargs": solver})
        except ValueError as error:
            height, width = trimap.shape
            raise InputError(f"{self.method}: no matte for an image of {height} x {width} pixels: {error}") from None

    def _solve(self, image: np.ndarray, trimap: np.ndarray, options: Mapping[str, object]) -> np.ndarray:
        with redirect_stdout(StringIO()):  # the preconditioner prints every shift it tries
            return _function(self.method)(image, trimap, **options)


def _function(method: str) -> Callable[..., np.ndarray]:
    import pymatting  # takes seconds; a minute the first time

    return getattr(pymatting, METHODS[method])
