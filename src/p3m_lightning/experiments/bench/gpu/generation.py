"""The generator of StyleGAN3 with separable filters, against plain two-dimensional ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as nnf

from p3m_lightning.experiments.bench.gpu.setting import Setting
from p3m_lightning.experiments.bench.gpu.training import wait
from p3m_lightning.gan.generator import Generator, layers


def plain_upsample(maps: Tensor, kernel: Tensor, factor: int) -> Tensor:
    """Do what `filters.upsample` does: insert zeros between samples, then apply one two-dimensional filter."""
    count, channels, height, width = maps.shape
    spread = maps.new_zeros(count, channels, (height - 1) * factor + 1, (width - 1) * factor + 1)
    spread[..., ::factor, ::factor] = maps
    taps = (kernel * factor).to(maps.dtype)
    square = torch.outer(taps.flip(0), taps.flip(0)).expand(channels, 1, -1, -1)
    return nnf.conv2d(spread, square, padding=len(kernel) - 1, groups=channels)


def plain_downsample(maps: Tensor, kernel: Tensor, factor: int) -> Tensor:
    """Do what `filters.downsample` does: apply one two-dimensional filter at full rate, then discard samples."""
    square = (kernel if kernel.ndim == 2 else torch.outer(kernel, kernel)).to(maps.dtype)
    filtered = nnf.conv2d(maps, square.expand(maps.shape[1], 1, -1, -1), groups=maps.shape[1])
    return filtered[..., ::factor, ::factor]


@contextmanager
def plain_filters() -> Iterator[None]:
    """Make generators use the plain filters meanwhile."""
    ours = layers.upsample, layers.downsample
    layers.upsample, layers.downsample = plain_upsample, plain_downsample
    try:
        yield
    finally:
        layers.upsample, layers.downsample = ours


def generation(setting: Setting) -> dict[str, Any]:
    """Generate the same images each way.

    Returns:
        `ways` by name: `images_per_second` and `difference`, the mean absolute one from the plain images;
        `images_ratio` of the last to the first.
    """
    torch.manual_seed(0)
    generator = Generator(**setting.generator).to(setting.device).eval().requires_grad_(False)
    z = torch.randn(setting.generated, generator.noise, device=setting.device)
    with torch.no_grad(), plain_filters():
        expected, seconds = _timed(lambda: generator(z), setting)
    found = {"plain filters": {"images_per_second": setting.generated / seconds, "difference": 0.0}}
    for name, run in _ways(generator, setting).items():
        with torch.no_grad():
            pictures, seconds = _timed(lambda run=run: run(z), setting)  # type: ignore[misc]  # bound now
        apart = float((pictures - expected).abs().mean())
        found[name] = {"images_per_second": setting.generated / seconds, "difference": apart}
    rates = [row["images_per_second"] for row in found.values()]
    return {"ways": found, "images_ratio": rates[-1] / rates[0]}


def _ways(generator: Generator, setting: Setting) -> dict[str, Callable[[Tensor], Tensor]]:
    def narrow(run: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def call(z: Tensor) -> Tensor:
            with torch.autocast(setting.device.type, torch.bfloat16):
                return run(z)

        return call

    found: dict[str, Callable[[Tensor], Tensor]] = {"ours, float32": generator, "ours, bfloat16": narrow(generator)}
    if setting.backend:
        found["ours, bfloat16, compiled"] = narrow(torch.compile(generator, backend=setting.backend))
    return found


def _timed(run: Callable[[], Tensor], setting: Setting) -> tuple[Tensor, float]:
    """Return the result of a call and its mean time, without the first call, which compiles."""
    run()
    wait(setting.device)
    begin = time.perf_counter()
    for _ in range(setting.repeats):
        pictures = run()
    wait(setting.device)
    return pictures.float(), (time.perf_counter() - begin) / setting.repeats
