"""Training steps: the published way, eager and in float32, against ours."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from p3m_lightning.experiments.bench.gpu.setting import CURVES_APART, Setting
from p3m_lightning.experiments.bench.step import PRECISION_TYPES, WEIGHTS, Terms, published_terms, random_batch
from p3m_lightning.losses import P3MLoss
from p3m_lightning.models import create_model
from p3m_lightning.schema import Sample
from p3m_lightning.training.optimization.compilation import compile_in_place


class Learner:
    """A network with its optimizer and loss, trained in one of the compared ways.

    Args:
        net: is trained; put into training mode.
        terms: of the loss.
        precision: of the forward pass, "32" or "bf16".
        fused: update all parameters in one kernel; else PyTorch's default.
        backend: of `torch.compile`; None: not compiled.
    """

    def __init__(
        self, net: nn.Module, terms: Terms, precision: str = "32", fused: bool = False, backend: str | None = None
    ) -> None:
        self.net, self.terms, self.dtype = net.train(), terms, PRECISION_TYPES[precision]
        if backend:
            compile_in_place(net, backend)
        self.optimizer = torch.optim.Adam(net.parameters(), lr=1e-4, fused=fused or None)

    def __call__(self, batch: Sample) -> Tensor:
        """Do one step; return the loss before it, without waiting for the device."""
        with torch.autocast(batch["image"].device.type, self.dtype, enabled=self.dtype is not None):
            output = self.net(batch["image"])
        values = self.terms(output, batch)
        loss = torch.stack([WEIGHTS[name] * value for name, value in values.items()]).sum()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def training(setting: Setting) -> dict[str, Any]:
    """Train one network each way, from the same weights on the same crops.

    Returns:
        `ways` by name: `images_per_second`, `peak_bytes` (on CUDA), `losses` of ten equal parts of the steps; of the
        last against the first: `images_ratio`, `memory_ratio`, `curves_apart` and `curves_equal`.
    """
    torch.manual_seed(0)
    net = create_model(**setting.network).to(setting.device)
    batch = on_device(random_batch(setting.batch, setting.size), setting.device)
    found = {name: measure(make, batch, setting) for name, make in ways(net, setting).items()}
    first, last = found["eager float32"], list(found.values())[-1]
    apart = max(abs(a - b) / abs(a) for a, b in zip(first["losses"], last["losses"], strict=True))
    result = {"ways": found, "images_ratio": last["images_per_second"] / first["images_per_second"]}
    if first["peak_bytes"]:
        result["memory_ratio"] = first["peak_bytes"] / last["peak_bytes"]
    return {**result, "curves_apart": apart, "curves_equal": apart < CURVES_APART}


def ways(net: nn.Module, setting: Setting) -> dict[str, Callable[[], Learner]]:
    """Return a factory of learners for each way; the published one comes first, the fastest last."""

    def ours(precision: str, backend: str | None = None) -> Learner:
        quick = deepcopy(net).to(memory_format=torch.channels_last)
        return Learner(quick, P3MLoss(), precision, fused=True, backend=backend)

    found = {
        "eager float32": lambda: Learner(deepcopy(net), published_terms),
        "ours, float32": lambda: ours("32"),
        "ours, bfloat16": lambda: ours("bf16"),
    }
    if setting.backend:
        found["ours, bfloat16, compiled"] = lambda: ours("bf16", setting.backend)
    return found


def measure(make: Callable[[], Learner], batch: Sample, setting: Setting) -> dict[str, Any]:
    """Do all steps of one way; the first ones, which compile, are not timed."""
    on_gpu = setting.device.type == "cuda"
    learner = make()
    losses = [learner(batch) for _ in range(setting.warm)]
    wait(setting.device)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(setting.device)
    begin = time.perf_counter()
    losses += [learner(batch) for _ in range(setting.steps - setting.warm)]
    wait(setting.device)
    seconds = time.perf_counter() - begin
    parts = torch.stack(losses).chunk(min(10, len(losses)))
    return {
        "images_per_second": setting.batch * (setting.steps - setting.warm) / seconds,
        "peak_bytes": torch.cuda.max_memory_allocated(setting.device) if on_gpu else None,
        "losses": [float(part.mean()) for part in parts],
    }


def on_device(batch: Mapping[str, Any], device: torch.device) -> Sample:
    """Move the tensors of a batch to a device."""
    moved: Any = {
        key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value for key, value in batch.items()
    }
    return moved


def wait(device: torch.device) -> None:
    """Wait until a GPU is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
