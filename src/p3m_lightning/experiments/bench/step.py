"""Benchmark of a network's forward pass and of a training step, against a plain transcription of the published one.

The plain network pools and unpools as published, see `published.network`. The plain step keeps the usual memory layout,
takes two Laplacian pyramids by 5 x 5 convolutions of one channel, and updates with a loop over tensors; ours lays
weights channels last, filters separably, and fuses the update. Where the processor has bfloat16, ours is measured in it
too, against the published one in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from p3m_lightning.experiments.bench.peak_memory import PeakMemory
from p3m_lightning.experiments.bench.photo import compared
from p3m_lightning.experiments.bench.published.network import as_published
from p3m_lightning.experiments.bench.timing import alternate, has_bfloat16
from p3m_lightning.inference.engines.optimize import optimize_for_inference
from p3m_lightning.inference.engines.torch_engine import PRECISIONS as PRECISION_TYPES
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

PUBLISHED = "published"
PRECISIONS = ("32", "bf16")

Terms = Callable[[MattingOutput, Sample], dict[str, Tensor]]


def bench(
    size: int,
    batches: Sequence[int],
    repeats: int,
    networks: Sequence[str] = NETWORKS,
    precisions: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Measure on one thread, crops of `size` x `size`.

    Args:
        size: of crops.
        batches: numbers of crops.
        repeats: turns.
        networks: names.
        precisions: of our way, "32" and "bf16"; by default those that the processor supports.

    Returns:
        `rows`: for each network, work (`forward`, `training step`), number of images and `precision` both ways with
        `cpu_seconds`, `wall_seconds`, `peak_bytes` of tensors, and `ratio`, `memory_ratio`, `difference` (of the detail
        mattes, the largest; of the losses of the first step, relative).
    """
    torch.set_num_threads(1)
    precisions = precisions or (PRECISIONS if has_bfloat16() else PRECISIONS[:1])
    rows = []
    for name in networks:
        for count in batches:
            batch = random_batch(count, size)
            net = build(name)
            for work, measure in {"forward": forward, "training step": training}.items():
                found = measure(net, batch, repeats, precisions)
                rows += [{"network": name, "work": work, "images": count, **row} for row in found]
    return {"size": size, "threads": 1, "rows": rows}


def build(name: str) -> nn.Module:
    """Build a network with random weights, or the one in the box."""
    torch.manual_seed(0)
    return load_box()[0] if name == "box" else create_model(name).eval()


def forward(net: nn.Module, batch: Sample, repeats: int, precisions: Sequence[str] = ("32",)) -> list[dict[str, Any]]:
    """Measure the pass of a network over a batch."""
    engines = {precision: TorchEngine(optimize_for_inference(net), precision) for precision in precisions}
    runs: dict[str, Callable[..., Any]] = {PUBLISHED: as_published(net)} | {
        p: engine.run for p, engine in engines.items()
    }
    ways: dict[str, Callable[[], Any]] = {
        name: partial(_without_gradients, run, batch["image"]) for name, run in runs.items()
    }
    measured, outputs = alternate(ways, repeats)
    _add_peaks(measured, ways)
    apart = {name: (outputs[PUBLISHED].detail - outputs[name].detail).abs().max() for name in precisions}
    return _rows(measured, apart)


def training(net: nn.Module, batch: Sample, repeats: int, precisions: Sequence[str] = ("32",)) -> list[dict[str, Any]]:
    """Measure a step of training: forward, loss, backward, update."""
    ways = {PUBLISHED: make_step(as_published(net), published_terms, batch, fused=False)}
    for precision in precisions:
        quick = deepcopy(net).to(memory_format=torch.channels_last)
        ways[precision] = make_step(quick, P3MLoss(), batch, fused=True, precision=precision)
    losses = {name: way() for name, way in ways.items()}  # with equal weights; rounding errors grow over the steps
    measured, _ = alternate(ways, repeats)
    _add_peaks(measured, ways)
    apart = {name: abs(losses[name] - losses[PUBLISHED]) / losses[PUBLISHED] for name in precisions}
    return _rows(measured, apart)


def _rows(measured: dict[str, dict[str, Any]], apart: dict[str, Tensor]) -> list[dict[str, Any]]:
    """Compare the measurements in each precision with the published way."""
    return [
        {
            "precision": name,
            **compared({"published": measured[PUBLISHED], "ours": measured[name]}),
            "difference": float(difference),
        }
        for name, difference in apart.items()
    ]


def make_step(
    net: nn.Module, terms: Terms, batch: Sample, fused: bool, precision: str = "32", lr: float = 1e-5
) -> Callable[[], Tensor]:
    """Return a function that does one step with Adam and returns the loss before it.

    Args:
        net: is put in training mode.
        terms: of the loss.
        batch: used in every step.
        fused: update all parameters in one kernel.
        precision: of the forward pass, "32" or "bf16"; losses and weights are float32.
        lr: learning rate.
    """
    optimizer = torch.optim.Adam(net.train().parameters(), lr=lr, fused=fused, foreach=False)
    dtype, device = PRECISION_TYPES[precision], batch["image"].device.type

    def step() -> Tensor:
        with torch.autocast(device, dtype, enabled=dtype is not None):
            output = net(batch["image"])
        values = terms(output, batch)
        loss = torch.stack([WEIGHTS[name] * value for name, value in values.items()]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def published_terms(output: MattingOutput, batch: Sample) -> dict[str, Tensor]:
    """Return the nine loss terms, computed as in the published code."""
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
    """Return the Laplacian loss of two mattes (N, 1, H, W), with pyramids built by convolutions."""
    bell = torch.exp(-(torch.arange(-2.0, 3.0) ** 2))
    kernel = bell[:, None] + bell[None, :]
    kernel = (kernel / kernel.sum())[None, None].to(alpha)
    total = alpha.new_zeros(())
    for _ in range(5):
        smooth = [nnf.conv2d(nnf.pad(m, (2, 2, 2, 2), mode="replicate"), kernel) for m in (alpha, target)]
        total = total + nnf.l1_loss(alpha - smooth[0], target - smooth[1])
        alpha, target = (nnf.avg_pool2d(m, 2) for m in smooth)
    return total + nnf.l1_loss(alpha, target)


def random_batch(count: int, size: int) -> Sample:
    """Draw random images and smooth mattes with an unknown region."""
    generator = torch.Generator().manual_seed(0)
    image, foreground, background = (torch.rand(count, 3, size, size, generator=generator) for _ in range(3))
    coarse = torch.rand(count, 1, size // 32, size // 32, generator=generator)
    alpha = nnf.interpolate(coarse, size=(size, size), mode="bicubic").mul(3).sub(1).clamp(0, 1)
    trimap = torch.where(alpha == 0, 0, torch.where(alpha == 1, 2, UNKNOWN))
    names: Any = [f"crop {i}" for i in range(count)]
    return Sample(image=image, alpha=alpha, trimap=trimap, name=names, foreground=foreground, background=background)


def _without_gradients(function: Callable[..., Any], *inputs: Any) -> Any:
    with torch.no_grad():
        return function(*inputs)


def _add_peaks(measured: dict[str, dict[str, Any]], ways: dict[str, Callable[[], Any]]) -> None:
    for name, way in ways.items():
        with PeakMemory() as memory:
            way()
        measured[name]["peak_bytes"] = memory.peak
