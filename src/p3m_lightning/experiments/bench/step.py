"""Benchmark of a network's forward pass and of a training step, against a plain transcription of the published one.

The plain step keeps the usual memory layout, takes two Laplacian pyramids by 5 x 5 convolutions of one channel, and
updates with a loop over tensors; ours lays weights channels last, filters separably, and fuses the update.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from p3m_lightning.experiments.bench.peak_memory import PeakMemory
from p3m_lightning.experiments.bench.photo import compared
from p3m_lightning.experiments.bench.timing import alternate
from p3m_lightning.inference.engines.optimize import optimize_for_inference
from p3m_lightning.inference.engines.torch_engine import TorchEngine
from p3m_lightning.losses import P3MLoss
from p3m_lightning.losses.alpha import alpha_loss, composition_loss
from p3m_lightning.losses.p3m import P3M_COLOR_SCALE, trimap_loss
from p3m_lightning.models import create_model
from p3m_lightning.models.box import load_box
from p3m_lightning.schema import UNKNOWN, MattingOutput, Sample

NETWORKS = ("box", "p3mnet_r34")
WEIGHTS = {"semantic": 0.5, "side2": 1 / 6, "side1": 1 / 6, "side0": 1 / 6, "detail_alpha": 2.0}
WEIGHTS |= {"detail_laplacian": 2.0, "fusion_alpha": 3.0, "fusion_laplacian": 3.0, "composition": 1.0}
"""Of the released recipe, see conf/loss/released.yaml."""

Terms = Callable[[MattingOutput, Sample], dict[str, Tensor]]


def bench(size: int, batches: Sequence[int], repeats: int, networks: Sequence[str] = NETWORKS) -> dict[str, Any]:
    """Measure on one thread, crops of `size` x `size`.

    Returns:
        `rows`: for each network, work (`forward`, `training step`) and number of images both ways with `cpu_seconds`,
        `wall_seconds`, `peak_bytes` of tensors, and `ratio`, `memory_ratio`, `difference` (of the detail mattes, the
        largest; of the losses of the first step, relative).
    """
    torch.set_num_threads(1)
    rows = []
    for name in networks:
        for count in batches:
            batch = random_batch(count, size)
            net = build(name)
            rows.append({"network": name, "work": "forward", "images": count, **forward(net, batch, repeats)})
            rows.append({"network": name, "work": "training step", "images": count, **training(net, batch, repeats)})
    return {"size": size, "threads": 1, "rows": rows}


def build(name: str) -> nn.Module:
    """Build a network with random weights, or the one in the box."""
    torch.manual_seed(0)
    return load_box()[0] if name == "box" else create_model(name).eval()


def forward(net: nn.Module, batch: Sample, repeats: int) -> dict[str, Any]:
    """Measure the pass of a network over a batch."""
    plain = TorchEngine(net)
    quick = TorchEngine(optimize_for_inference(net))
    ways = {
        "published": lambda: _without_gradients(lambda: plain.net(batch["image"])),
        "ours": lambda: _without_gradients(lambda: quick.run(batch["image"])),
    }
    measured, outputs = alternate(ways, repeats)
    _add_peaks(measured, ways)
    apart = (outputs["published"].detail - outputs["ours"].detail).abs().max()
    return {**compared(measured), "difference": float(apart)}


def training(net: nn.Module, batch: Sample, repeats: int) -> dict[str, Any]:
    """Measure a step of training: forward, loss, backward, update."""
    ways = {
        "published": make_step(deepcopy(net), published_terms, batch, fused=False),
        "ours": make_step(deepcopy(net).to(memory_format=torch.channels_last), P3MLoss(), batch, fused=True),
    }
    losses = {name: way() for name, way in ways.items()}  # of equal weights; after steps rounding has grown
    measured, _ = alternate(ways, repeats)
    _add_peaks(measured, ways)
    apart = abs(losses["ours"] - losses["published"]) / losses["published"]
    return {**compared(measured), "difference": float(apart)}


def make_step(net: nn.Module, terms: Terms, batch: Sample, fused: bool) -> Callable[[], Tensor]:
    """Return a function that does one step with Adam and returns the loss before it."""
    optimizer = torch.optim.Adam(net.train().parameters(), lr=1e-5, fused=fused, foreach=False)

    def step() -> Tensor:
        values = terms(net(batch["image"]), batch)
        loss = torch.stack([WEIGHTS[name] * value for name, value in values.items()]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def published_terms(output: MattingOutput, batch: Sample) -> dict[str, Tensor]:
    """Return the nine terms the plain way."""
    assert output.semantic is not None, "P3M-Net has both branches"
    assert output.detail is not None, "P3M-Net has both branches"
    target, unknown = batch["alpha"], (batch["trimap"] == UNKNOWN).float()
    logits = {"semantic": output.semantic, **dict(zip(("side2", "side1", "side0"), output.sides, strict=True))}
    return {
        **{name: trimap_loss(value, batch["trimap"]) for name, value in logits.items()},
        "detail_alpha": alpha_loss(output.detail, target, unknown),
        "detail_laplacian": published_laplacian(output.detail * unknown, target * unknown),
        "fusion_alpha": alpha_loss(output.alpha, target),
        "fusion_laplacian": published_laplacian(output.alpha, target),
        "composition": composition_loss(
            output.alpha, batch["image"], batch["foreground"], batch["background"], P3M_COLOR_SCALE
        ),
    }


def published_laplacian(alpha: Tensor, target: Tensor) -> Tensor:
    """Compare the pyramids of two mattes (N, 1, H, W), each taken apart by convolutions."""
    bell = torch.exp(-(torch.arange(-2.0, 3.0) ** 2))
    kernel = bell[:, None] + bell[None, :]
    kernel = (kernel / kernel.sum())[None, None]
    total = alpha.new_zeros(())
    for _ in range(5):
        smooth = [nnf.conv2d(nnf.pad(m, (2, 2, 2, 2), mode="replicate"), kernel) for m in (alpha, target)]
        total = total + nnf.l1_loss(alpha - smooth[0], target - smooth[1])
        alpha, target = (nnf.avg_pool2d(m, 2) for m in smooth)
    return total + nnf.l1_loss(alpha, target)


def random_batch(count: int, size: int) -> Sample:
    """Draw pictures and smooth mattes with a band of unknown."""
    generator = torch.Generator().manual_seed(0)
    image, foreground, background = (torch.rand(count, 3, size, size, generator=generator) for _ in range(3))
    coarse = torch.rand(count, 1, size // 32, size // 32, generator=generator)
    alpha = nnf.interpolate(coarse, size=(size, size), mode="bicubic").mul(3).sub(1).clamp(0, 1)
    trimap = torch.where(alpha == 0, 0, torch.where(alpha == 1, 2, UNKNOWN))
    names: Any = [f"crop {i}" for i in range(count)]
    return Sample(image=image, alpha=alpha, trimap=trimap, name=names, foreground=foreground, background=background)


def _without_gradients(function: Callable[[], Any]) -> Any:
    with torch.no_grad():
        return function()


def _add_peaks(measured: dict[str, dict[str, Any]], ways: dict[str, Callable[[], Any]]) -> None:
    for name, way in ways.items():
        with PeakMemory() as memory:
            way()
        measured[name]["peak_bytes"] = memory.peak
