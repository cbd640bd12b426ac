"""Frequencies of every layer: the critical sampling schedule of StyleGAN3 (section 3.2, appendix C)."""

from __future__ import annotations

from math import ceil, log2
from typing import NamedTuple

FIRST_CUTOFF = 2.0
"""Cutoff of the Fourier features, in cycles per side of the image."""
FIRST_STOPBAND = 2**2.1
LAST_STOPBAND = 2**0.3
"""Smallest stopband of the first layer, and of the critically sampled ones as a multiple of their cutoff."""


class Band(NamedTuple):
    """Frequencies and canvas of the output of one layer; rates are samples per side of the image."""

    cutoff: float
    half_width: float  # of the transition band
    rate: int  # sampling rate, a power of two
    size: int  # side of the canvas in samples, margins included
    channels: int
    critical: bool  # critically sampled: cutoff at half the sampling rate


def bands(
    resolution: int,
    layers: int = 14,
    critical: int = 2,
    margin: int = 10,
    base_channels: int = 32768,
    max_channels: int = 512,
) -> list[Band]:
    """Return the bands of all layers.

    Cutoff and smallest stopband grow geometrically until the first critically sampled layer; the sampling rate is the
    power of two that holds the stopband, and the transition band as wide as that rate allows.

    Args:
        resolution: side of the images, a power of two.
        layers: convolutional layers between the Fourier features and the last, linear one.
        critical: how many of them are critically sampled.
        margin: samples on each side of the canvas beyond the image, at the layer's own rate.
        base_channels: a layer has base_channels / (2 cutoff) channels ...
        max_channels: ... but not more than these.

    Returns:
        `layers` + 1 bands: of the Fourier features, which is also that of the first layer's input, and of each layer's
        output; the last one, of the color layer, equals the one before.
    """
    result = []
    for layer in range(layers + 1):
        progress = min(layer / (layers - critical), 1)
        cutoff = FIRST_CUTOFF * (resolution / 2 / FIRST_CUTOFF) ** progress
        stopband = FIRST_STOPBAND * (resolution / 2 * LAST_STOPBAND / FIRST_STOPBAND) ** progress
        rate = min(2 ** ceil(log2(2 * stopband)), resolution)
        half_width = max(stopband, rate / 2) - cutoff
        size = resolution if layer >= layers - 1 else rate + 2 * margin
        channels = max(round(min(base_channels / 2 / cutoff, max_channels)), 1)
        result.append(Band(cutoff, half_width, rate, size, channels, layer >= layers - critical))
    return result
