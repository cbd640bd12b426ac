"""Frozen feature extractors: maps of a network trained for another task, at several resolutions."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from p3m_lightning.models import load_model
from p3m_lightning.models.encoders.resnet import ResNet34
from p3m_lightning.ops import IMAGENET_MEAN, IMAGENET_STD, normalize, resize
from p3m_lightning.schema import InputError

Network = TypeVar("Network", bound=nn.Module)

RANDOM_WIDTH = 0.25
"""Width of the ResNet-34 with random weights."""


class FrozenFeatures(nn.Module):
    """Feature maps of a network that does not learn; gradients pass through to the images.

    `forward(pictures)` takes (N, 3, H, W) RGB in [0, 1] and returns maps with `channels`, from fine to coarse.

    Args:
        network: `random_resnet34`, with random weights; a checkpoint of this package whose network has an encoder; or a
            timm network with `features_only`, such as `resnet50` or `convnext_tiny`.
        weights: file of a timm network's weights; without it they are random.
        size: side that images are resized to; None keeps them.
        levels: number of the last maps to return.
        seed: of random weights.

    Raises:
        InputError: an unknown network, or a file that does not fit.
    """

    def __init__(
        self,
        network: str = "random_resnet34",
        weights: str | Path | None = None,
        size: int | None = 224,
        levels: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            body, self.channels, mean, std = _build(network, weights)
        self.body = body.eval().requires_grad_(False)
        self.name = Path(network).stem if weights is None else Path(weights).stem
        self.size, self.levels, self.mean, self.std = size, levels, mean, std
        self.channels = self.channels[-levels:]

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """(N, 3, H, W) -> maps (N, channels[k], H_k, W_k)."""
        if self.size is not None:
            pictures = resize(pictures, (self.size, self.size))
        maps = self.body(normalize(pictures, self.mean, self.std))
        return list(maps)[-self.levels :]

    def train(self, mode: bool = True) -> FrozenFeatures:
        """Stay in evaluation mode: the normalization statistics are frozen as well."""
        return super().train(False)


class _EncoderMaps(nn.Module):
    """The maps of an encoder of this package as a list, from fine to coarse."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> list[Tensor]:
        features = self.encoder(images)
        return [*features.skips, features.deepest]


def _build(
    network: str, weights: str | Path | None
) -> tuple[nn.Module, tuple[int, ...], tuple[float, ...], tuple[float, ...]]:
    """Return the network, the channels of its maps, and the mean and deviation of its training images."""
    if network == "random_resnet34":
        resnet = _calibrated(ResNet34(RANDOM_WIDTH))
        return _EncoderMaps(resnet), resnet.channels, IMAGENET_MEAN, IMAGENET_STD
    if Path(network).suffix in (".ckpt", ".safetensors"):
        encoder: Any = getattr(load_model(network), "encoder", None)
        if not hasattr(encoder, "channels"):
            raise InputError(f"{network}: its network has no encoder to take features from; p3mnet has, for one")
        scale = getattr(encoder, "mean", IMAGENET_MEAN), getattr(encoder, "std", IMAGENET_STD)
        return _EncoderMaps(encoder), tuple(encoder.channels), *scale
    return _timm_features(network, weights)


@torch.no_grad()
def _calibrated(encoder: Network) -> Network:
    """Set the normalization statistics of random weights by random images, so that maps do not grow with depth."""
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain mean
    encoder.train()(resize(torch.randn(16, 3, 8, 8), (64, 64)))
    return encoder


def _timm_features(
    network: str, weights: str | Path | None
) -> tuple[nn.Module, tuple[int, ...], tuple[float, ...], tuple[float, ...]]:
    try:
        import timm
    except ModuleNotFoundError:
        raise InputError(f"network={network}: needs the package timm; pip install 'p3m_lightning[zoo]'") from None
    if weights is not None and not Path(weights).is_file():
        raise InputError(f"{weights}: no such file")
    options: dict[str, Any] = {"pretrained": True, "pretrained_cfg_overlay": {"file": str(weights)}} if weights else {}
    try:
        body: Any = timm.create_model(network, features_only=True, **options)
    except Exception as error:  # timm raises errors of any kind
        raise InputError(
            f"network={network}: timm cannot build it with features_only and these weights: {error}"
        ) from None
    settings = body.pretrained_cfg
    return body, tuple(body.feature_info.channels()), tuple(settings["mean"]), tuple(settings["std"])


class PooledFeatures(nn.Module):
    """The maps of frozen features, averaged over positions, in the form that `gan.distances` takes.

    `forward(pictures)` takes uint8 RGB (N, 3, H, W) and returns (N, num_features).
    """

    def __init__(self, features: FrozenFeatures) -> None:
        super().__init__()
        self.features, self.name = features, features.name
        self.num_features = sum(features.channels)

    def forward(self, pictures: Tensor) -> Tensor:
        """Average every map."""
        return torch.cat([maps.mean(dim=(2, 3)) for maps in self.features(pictures / 255)], dim=1)
