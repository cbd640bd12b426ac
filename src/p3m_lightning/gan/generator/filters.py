"""Low-pass filters with a Kaiser window, and resampling with them (StyleGAN3, section 3 and appendix C).

All filters have an even number of taps: their center lies between two samples, as resampling by 2 requires.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import signal, special
from torch import Tensor
from torch.nn import functional as F


def lowpass(taps: int, cutoff: float, half_width: float, rate: float) -> Tensor:
    """Design a windowed sinc filter.

    Args:
        taps: length; with `half_width` it determines the attenuation and so the Kaiser window.
        cutoff: frequency of half amplitude, in the unit of `rate`.
        half_width: half of the transition band, in the unit of `rate`.
        rate: sampling rate of the signal that is filtered.

    Returns:
        float32 (taps,), sum 1.
    """
    return torch.from_numpy(signal.firwin(taps, cutoff, width=2 * half_width, fs=rate)).float()


def radial_lowpass(taps: int, cutoff: float, half_width: float, rate: float) -> Tensor:
    """Design a radially symmetric filter, jinc instead of sinc, with the Kaiser window of `lowpass` in both directions.

    Returns:
        float32 (taps, taps), sum 1; arguments as for `lowpass`.
    """
    positions = (np.arange(taps) - (taps - 1) / 2) / rate
    radius = np.maximum(
        np.hypot(positions[:, None], positions[None, :]), 1e-9 / rate
    )  # avoids 0 / 0 at the center of odd filters
    attenuation = signal.kaiser_atten(taps, 2 * half_width / (rate / 2))
    window = np.kaiser(taps, signal.kaiser_beta(attenuation))
    kernel = special.j1(2 * np.pi * cutoff * radius) / radius * np.outer(window, window)
    return torch.from_numpy(kernel / kernel.sum()).float()


def upsample(maps: Tensor, kernel: Tensor, factor: int) -> Tensor:
    """Insert `factor` - 1 zeros between samples and filter, with all samples that the filter reaches.

    Args:
        maps: (N, C, H, W).
        kernel: (taps,), applied to rows and columns.
        factor: by which the sampling rate grows.

    Returns:
        (N, C, (H - 1) * factor + taps, ...); it reaches (taps - factor) / 2 samples beyond the input's canvas.
    """
    channels = maps.shape[1]
    row = (kernel * factor).to(maps.dtype).expand(channels, 1, 1, -1)
    maps = F.conv_transpose2d(maps, row, stride=(1, factor), groups=channels)
    return F.conv_transpose2d(maps, row.transpose(2, 3), stride=(factor, 1), groups=channels)


def downsample(maps: Tensor, kernel: Tensor, factor: int) -> Tensor:
    """Filter where the filter lies wholly inside, and keep every `factor`-th sample.

    Args:
        maps: (N, C, H, W).
        kernel: (taps,), applied to rows and columns, or (taps, taps).
        factor: by which the sampling rate shrinks.

    Returns:
        (N, C, (H - taps) // factor + 1, ...).
    """
    channels, kernel = maps.shape[1], kernel.to(maps.dtype)
    if kernel.ndim == 2:
        return F.conv2d(maps, kernel.expand(channels, 1, -1, -1), stride=factor, groups=channels)
    row = kernel.expand(channels, 1, 1, -1)
    maps = F.conv2d(maps, row, stride=(1, factor), groups=channels)
    return F.conv2d(maps, row.transpose(2, 3), stride=(factor, 1), groups=channels)


def recenter(maps: Tensor, size: int) -> Tensor:
    """Crop or zero-pad the square (N, C, H, H) to `size` about its center; the difference must be even."""
    missing, odd = divmod(size - maps.shape[-1], 2)
    if odd:
        raise ValueError(f"a canvas of {maps.shape[-1]} has no center in common with one of {size}")
    return F.pad(maps, [missing] * 4) if missing else maps
