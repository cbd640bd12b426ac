"""Benchmark of StyleMatte's upsamplers on a true matte reduced to a quarter: error, time, memory.

The network is left out: the logits are those of the true matte, so only the upsampling is measured. Upsamplers that
learn are trained here briefly, on portraits that are not measured, or marked as untrained.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from p3m_lightning.data.datasets import MattingDataset
from p3m_lightning.experiments.bench.peak_memory import PeakMemory
from p3m_lightning.images import to_unit, write_image
from p3m_lightning.metrics import functional as metrics
from p3m_lightning.models.upsamplers import LEARNABLE, create_upsampler
from p3m_lightning.ops import normalize, resize
from p3m_lightning.progress import track
from p3m_lightning.sheets import Panel, matting_panels, sheet
from p3m_lightning.synthetic import render_portrait

FACTOR = 4
CERTAIN = 1e-3  # alphas closer than this to 0 and 1 would have infinite logits
CROP, BATCH, RATE = 256, 4, 2e-3  # of the training
FEATURES = 3  # `deep_guided` gets the reduced image: there is no network here to provide features
PICTURED, WINDOW = 2, 96  # pairs in the sheet, and the side in pixels of the part that is shown


class Pair(NamedTuple):
    """An image and its true matte; both sides are multiples of `FACTOR`."""

    name: str
    image: Tensor  # (1, 3, H, W), RGB in [0, 1]
    alpha: Tensor  # (1, 1, H, W) in [0, 1]

    def to(self, device: torch.device) -> Pair:
        """Return the pair on a device."""
        return Pair(self.name, self.image.to(device), self.alpha.to(device))


class Result(NamedTuple):
    """Mattes and measures of one upsampler."""

    summary: dict[str, Any]  # mean sad, mse and gradient; seconds, peak_bytes, parameters, train_steps
    mattes: list[Tensor]  # (1, 1, H, W) in [0, 1]
    sads: list[float]


def synthetic_pairs(count: int, size: int, seed: int) -> list[Pair]:
    """Render the portraits `seed`, `seed + 1`, ... of `size` x `size` pixels."""
    pairs = []
    for number in track(range(seed, seed + count), "rendering portraits"):
        portrait = render_portrait(number, size)
        image = torch.from_numpy(to_unit(portrait.image)).permute(2, 0, 1)
        pairs.append(_pair(f"portrait {number}", image, torch.from_numpy(to_unit(portrait.alpha))[None]))
    return pairs


def read_pairs(root: str | Path, dataset: str, split: str, count: int) -> list[Pair]:
    """Read the first `count` images and mattes of a data set.

    Raises:
        InputError: see `MattingDataset`.
    """
    samples = MattingDataset(root, dataset, split, limit=count)
    return [_pair(s["name"], s["image"], s["alpha"]) for s in (samples[i] for i in range(len(samples)))]


def bench(
    pairs: Sequence[Pair], training: Sequence[Pair], names: Iterable[str], steps: int, repeats: int
) -> dict[str, Result]:
    """Measure upsamplers.

    Args:
        pairs: to measure on.
        training: pairs to train on, for upsamplers that learn.
        names: keys of `models.upsamplers.UPSAMPLERS`.
        steps: of training; with 0 they are measured untrained.
        repeats: runs, of which the median time counts.
    """
    results = {}
    for name in names:
        torch.manual_seed(0)
        upsampler = create_upsampler(name, FEATURES).to(pairs[0].image.device)
        taken = steps if name in LEARNABLE else 0
        if taken:
            train(upsampler, training, taken, name)
        known = {"parameters": sum(p.numel() for p in upsampler.parameters()), "train_steps": taken}
        results[name] = _measure(upsampler.eval(), pairs, repeats, known)
    return results


def train(upsampler: nn.Module, pairs: Sequence[Pair], steps: int, name: str = "the upsampler") -> list[float]:
    """Train on random crops by the mean absolute error of alpha; return the loss of every step."""
    optimizer = torch.optim.Adam(upsampler.train().parameters(), lr=RATE)
    losses = []
    for _ in track(range(steps), f"training {name}"):
        crops = [_random_crop(pairs[i]) for i in torch.randint(len(pairs), (BATCH,))]
        image, alpha = (torch.cat(maps) for maps in zip(*crops, strict=True))
        loss = nnf.l1_loss(torch.sigmoid(upsampler(*reduced(image, alpha))), alpha)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def reduced(image: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the inputs of an upsampler: logits of the matte at quarter size, the normalized image, features."""
    small = nnf.avg_pool2d(alpha, FACTOR)
    normalized = normalize(image)
    return torch.logit(small, CERTAIN), normalized, resize(normalized, (small.shape[-2], small.shape[-1]))


def save_comparison(path: str | Path, pairs: Sequence[Pair], results: Mapping[str, Result]) -> None:
    """Draw the mattes of all upsamplers, with errors below, in the window where the true matte has the most hair."""
    rows, notes = [], []
    for i, pair in enumerate(pairs[:PICTURED]):
        window = _busiest_window(pair.alpha)
        image, truth = (maps[0][window].cpu() for maps in (pair.image, pair.alpha))
        panels = {
            name: matting_panels(image, truth, result.mattes[i][0][window].cpu(), truth)
            for name, result in results.items()
        }
        given = next(iter(panels.values()))
        shown = [Panel("picture", given.image.picture), Panel("truth", given.truth.picture)]
        titles = {name: _title(name, results[name]) for name in results}
        rows.append(shown + [Panel(titles[name], panels[name].matte.picture) for name in results])
        rows.append(shown + [Panel(titles[name], panels[name].error.picture) for name in results])
        sads = ", ".join(f"{name} {result.sads[i]:.3f}" for name, result in results.items())
        notes += [f"{pair.name}: detail; SAD of the whole image: {sads}", "error: red too high, blue too low"]
    write_image(path, sheet(rows, notes, side=2 * WINDOW))


def _measure(upsampler: nn.Module, pairs: Sequence[Pair], repeats: int, known: dict[str, Any]) -> Result:
    mattes, seconds, peaks, errors = [], [], [], []
    with torch.no_grad():
        for pair in pairs:
            given = reduced(pair.image, pair.alpha)
            with PeakMemory() as memory:
                mattes.append(torch.sigmoid(upsampler(*given)))
            peaks.append(memory.peak)
            seconds.append(median(_seconds(upsampler, given) for _ in range(repeats)))
            arrays = [maps[0, 0].double().cpu().numpy() for maps in (mattes[-1], pair.alpha)]
            errors.append([metric(*arrays) for metric in (metrics.sad, metrics.mse, metrics.gradient_error)])
    means = dict(zip(("sad", "mse", "gradient"), np.mean(errors, axis=0).tolist(), strict=True))
    return Result(
        {**means, "seconds": fmean(seconds), "peak_bytes": max(peaks), **known}, mattes, [sad for sad, *_ in errors]
    )


def _seconds(upsampler: nn.Module, given: tuple[Tensor, ...]) -> float:
    start = time.perf_counter()
    upsampler(*given)[0, 0, 0, 0].item()  # reading a value synchronizes with the GPU
    return time.perf_counter() - start


def _pair(name: str, image: Tensor, alpha: Tensor) -> Pair:
    """Add the batch axis and drop rows and columns beyond a multiple of `FACTOR`."""
    height, width = (side - side % FACTOR for side in alpha.shape[-2:])
    return Pair(name, image[None, :, :height, :width], alpha[None, :, :height, :width])


def _random_crop(pair: Pair) -> tuple[Tensor, Tensor]:
    height, width = pair.alpha.shape[-2:]
    top, left = (int(torch.randint(max(side - CROP, 0) + 1, ())) for side in (height, width))
    window = (..., slice(top, top + CROP), slice(left, left + CROP))
    return pair.image[window], pair.alpha[window]


def _busiest_window(alpha: Tensor) -> tuple:
    """Return the index of the square window with the most soft edge."""
    side = min(WINDOW, *alpha.shape[-2:])
    softness = nnf.avg_pool2d(alpha * (1 - alpha), side, stride=8)
    top, left = (8 * int(k) for k in np.unravel_index(int(softness.argmax()), softness.shape[-2:]))
    return ..., slice(top, top + side), slice(left, left + side)


def _title(name: str, result: Result) -> str:
    if name not in LEARNABLE:
        return name
    steps = result.summary["train_steps"]
    return f"{name}, {f'{steps} steps' if steps else 'untrained'}"
