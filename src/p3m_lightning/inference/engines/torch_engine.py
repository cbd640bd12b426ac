"""Networks that run in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as nnf
from torch import Tensor, nn

from p3m_lightning.inference.memory import free_memory
from p3m_lightning.inference.modes import MODES, TRIMAP_MODES, Engine, Passes, classes_as_values, has_branches
from p3m_lightning.ops import fuse, resize_smooth
from p3m_lightning.schema import InputError, MattingOutput

PRECISIONS = {"32": None, "bf16": torch.bfloat16}


class TorchEngine(Engine):
    """A network of `p3m_lightning.models` as a `modes.Engine` for `apply_mode`, run by PyTorch.

    Args:
        net: used unchanged; `eval()`, devices and `optimize_for_inference` are up to the caller.
        precision: "32", or "bf16" for autocast; results are float32 either way.
        compile: run through `torch.compile` with dynamic sizes; the first images are slow, later ones faster.
    """

    def __init__(self, net: nn.Module, precision: str = "32", compile: bool = False) -> None:
        if precision not in PRECISIONS:
            raise InputError(f"precision={precision}: choose from {', '.join(PRECISIONS)}")
        self.net = net
        self.dtype = PRECISIONS[precision]
        self._compiled: Callable = partial(torch.compile, dynamic=True) if compile else _as_it_is
        self._whole = self._compiled(net)

    @property
    def needs_trimap(self) -> bool:
        """True if the network takes a trimap."""
        return getattr(self.net, "needs_trimap", False)

    @cached_property
    def device(self) -> torch.device:
        """The device of the network."""
        return next((tensor.device for tensor in self.net.parameters()), torch.device("cpu"))

    @cached_property
    def modes(self) -> tuple[str, ...]:
        """The modes that the network offers, found by running it on a tiny image."""
        if self.needs_trimap:
            return TRIMAP_MODES
        if self._both is not None:
            return tuple(MODES)
        with torch.no_grad():
            output = self.net(torch.zeros(1, 3, 32, 32, device=self.device))
        return tuple(m for m in MODES if m != "hybrid" or has_branches(output))

    def infer(
        self,
        images: Tensor,
        mode: str | None,
        passes: Passes,
        trimap: Tensor | None = None,
        flips: bool = False,
    ) -> Tensor:
        """Do what `apply_mode` does, without gradients."""
        with torch.no_grad():
            return super().infer(images, mode, passes, trimap, flips)

    def run(self, images: Tensor, trimap: Tensor | None = None) -> MattingOutput:
        """Apply the network to float (N, 3, H, W) in [0, 1], with int64 trimap (N, 1, H, W) if it takes one.

        Outputs that no mode uses, such as `sides`, are not computed.
        """
        if trimap is None and self._both is not None:
            semantic, detail = self._call(self._both, images)
            return MattingOutput(fuse(semantic, detail), semantic, detail)
        output = self._call(self._whole, images) if trimap is None else self._call(self._whole, images, trimap)
        return output._replace(sides=())

    def trimap_of(self, images: Tensor, by_branch: bool = False) -> Tensor:
        """Return the trimap of one pass, without computing the matte if the network can skip it."""
        if self._semantic is None:
            return super().trimap_of(images, by_branch)
        return classes_as_values(self._call(self._semantic, images).semantic)

    def detail_of(self, images: Tensor) -> Tensor:
        """Return the detail of one pass, without computing the trimap if the network can skip it."""
        return super().detail_of(images) if self._detail is None else self._call(self._detail, images).detail

    @cached_property
    def _both(self) -> Callable | None:
        return self._branches()

    @cached_property
    def _semantic(self) -> Callable | None:
        return self._branches(detail=False)

    @cached_property
    def _detail(self) -> Callable | None:
        return self._branches(semantic=False)

    def _branches(self, **wanted: bool) -> Callable | None:
        branches = getattr(self.net, "branches", None)
        return self._compiled(lambda images: branches(images, **wanted)) if callable(branches) else None

    def _call(self, function: Callable, *inputs: Tensor) -> Any:
        """Call a network or a part of one in the requested precision; named results are float32."""
        with torch.autocast(inputs[0].device.type, self.dtype, enabled=self.dtype is not None):
            output = function(*inputs)
        whole = {name: v.float() if isinstance(v, Tensor) else v for name, v in output._asdict().items()}
        return type(output)(**whole)

    def resize(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Resize float (N, C, H, W) to `size`."""
        return resize_smooth(maps, size)

    def resize_nearest(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Resize int64 (N, C, H, W) of classes to `size`."""
        return nnf.interpolate(maps.float(), size=size, mode="nearest-exact").long()

    def flip(self, maps: Tensor) -> Tensor:
        """Mirror (N, C, H, W) left to right."""
        return maps.flip(-1)

    def asarray(self, values: np.ndarray) -> Tensor:
        """Move values to the device; floats become float32, integers int64."""
        dtype = torch.float32 if np.issubdtype(values.dtype, np.floating) else torch.int64
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device, dtype)

    def numpy(self, maps: Tensor) -> np.ndarray:
        """Return (N, C, H, W) as an array."""
        return maps.cpu().numpy()

    def free_memory(self) -> int | None:
        """Return the free memory of the device in bytes; None if unknown."""
        if self.device.type == "cuda":
            return torch.cuda.mem_get_info(self.device)[0]
        return free_memory() if self.device.type == "cpu" else None


def choose_device(device: str) -> torch.device:
    """Return the device named `device`; "auto" is the GPU if there is one.

    Raises:
        InputError: unknown, or not in this machine.
    """
    if device is None:
        raise InputError("device=None: choose from auto, cpu, cuda, cuda:1, ...")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        if "device type" in reason:  # PyTorch lists a score of accelerators
            raise InputError(f"device={device}: no such device; choose from auto, cpu, cuda, cuda:1, ...") from None
        raise InputError(f"device={device}: not usable here ({reason})") from None
    if chosen.type == "meta":
        raise InputError(f"device={device}: holds no numbers; choose from auto, cpu, cuda, cuda:1, ...")
    return chosen


def _as_it_is(function: Callable) -> Callable:
    return function
