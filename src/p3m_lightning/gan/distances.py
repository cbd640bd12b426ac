"""Distance between two sets of images in the features of a network: Fréchet and kernel, FID and KID for Inception."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from p3m_lightning.schema import InputError

INCEPTION = "https://github.com/toshas/torch-fidelity/releases (weights-inception-2015-12-05-6726825d.pth)"
KERNEL_SUBSETS, KERNEL_SUBSET_SIZE = 100, 1000
"""Of KID (Bińkowski et al., ICLR 2018)."""


class PictureDistance(nn.Module):
    """Compare generated with real images; the features of the real ones are kept across measurements.

    Args:
        features: maps uint8 RGB (N, 3, H, W) to (N, F) and has `num_features` and `name`; see `inception` for FID.

    The distances are called `frechet_<name>` and `kernel_<name>`; only Inception's are `fid` and `kid`.
    """

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = _Once(features)
        self.frechet = FrechetInceptionDistance(self.features, reset_real_features=False)
        with warnings.catch_warnings(action="ignore"):  # of the memory that keeping all features takes
            self.kernel = KernelInceptionDistance(
                self.features, subsets=KERNEL_SUBSETS, subset_size=KERNEL_SUBSET_SIZE, reset_real_features=False
            )
        self.names = ("fid", "kid") if features.name == "inception" else (
            f"frechet_{features.name}", f"kernel_{features.name}"
        )  # fmt: skip

    def update(self, pictures: Tensor, real: bool) -> None:
        """Add RGB (N, 3, H, W) in [0, 1], rounded to bytes as in files."""
        pictures = (pictures.clamp(0, 1) * 255).round().to(torch.uint8)
        self.features.remember(pictures)
        self.frechet.update(pictures, real=real)
        self.kernel.update(pictures, real=real)

    def compute(self) -> dict[str, float]:
        """Return both distances by name, over all processes; needs at least two images of each kind."""
        smallest = min(int(self.frechet.real_features_num_samples), int(self.frechet.fake_features_num_samples))
        self.kernel.subset_size = min(KERNEL_SUBSET_SIZE, smallest)
        return dict(zip(self.names, (float(self.frechet.compute()), float(self.kernel.compute()[0])), strict=True))

    def reset_generated(self) -> None:
        """Discard the generated images."""
        self.frechet.reset()
        self.kernel.reset()


class _Once(nn.Module):
    """Computes the features of a batch once for both distances."""

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.network, self.num_features = features, features.num_features
        self.last = torch.empty(0)

    @torch.no_grad()
    def remember(self, pictures: Tensor) -> None:
        self.last = self.network(pictures)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.last


def inception(weights: str | Path) -> nn.Module:
    """Return the Inception network of FID, with weights from a file; nothing is downloaded.

    Raises:
        InputError: no such file, one that holds more than tensors, or the package torch-fidelity is missing.
    """
    if not Path(weights).is_file():
        raise InputError(f"{weights}: no such file; Inception's weights are at {INCEPTION}")
    try:  # torch-fidelity would execute code in a pickle
        torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken file can fail in any way
        raise InputError(f"{weights}: not a PyTorch file of plain tensors; use the one at {INCEPTION}") from error
    try:
        network: Any = FrechetInceptionDistance(2048, feature_extractor_weights_path=str(weights)).inception
    except ModuleNotFoundError:
        raise InputError("distance: needs the package torch-fidelity; pip install 'p3m_lightning[gan]'") from None
    except RuntimeError as error:
        raise InputError(f"{weights}: not the weights of FID's Inception; use those at {INCEPTION}") from error
    network.name, network.num_features = "inception", 2048
    return network
