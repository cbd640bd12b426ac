"""Choice of the engine: the requested one, else one that is installed and suits the machine."""

from __future__ import annotations

import ctypes
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from p3m_lightning.inference.engines.exported import ArrayEngine
from p3m_lightning.inference.modes import Engine
from p3m_lightning.schema import InputError

if TYPE_CHECKING:  # exported files run without torch
    from torch import nn

ENGINES = ("auto", "torch", "compile", "onnx", "openvino")
"""Names of the engines; `auto` is `torch` for a network, and for an exported file an installed one, `onnx` first."""


def check_engine(engine: str) -> str:
    """Return the name of an engine.

    Raises:
        InputError: unknown engine.
    """
    if engine not in ENGINES:
        raise InputError(f"engine={engine}: choose from {', '.join(ENGINES)}")
    return engine


def engine_of_network(net: nn.Module, device: str, precision: str = "32", engine: str = "auto") -> Engine:
    """Return an engine that runs an optimized copy of a network in torch on `device`.

    Raises:
        InputError: an engine for exported files; unknown engine, device or precision.
    """
    if check_engine(engine) in ("onnx", "openvino"):
        raise InputError(f"engine={engine}: runs files of `p3m export --ckpt PATH -o FILE.onnx`; give FILE.onnx")
    from p3m_lightning.inference.engines.optimize import optimize_for_inference
    from p3m_lightning.inference.engines.torch_engine import TorchEngine, choose_device

    if not hasattr(net, "parameters"):
        told = "Predictor.from_checkpoint reads files" if isinstance(net, str | Path) else "give a network"
        raise InputError(f"net: a {type(net).__name__}; {told}")
    odd = {str(part.dtype) for part in net.parameters() if part.is_floating_point()} - {"torch.float32"}
    if odd:
        raise InputError(f"net: has weights of {', '.join(sorted(odd))}; call net.float(), and give precision='bf16'")
    ready = optimize_for_inference(net.to(choose_device(device)).eval())
    return TorchEngine(ready, precision, compile=engine == "compile")


def engine_of_file(path: str | Path, device: str = "auto", precision: str = "32", engine: str = "auto") -> ArrayEngine:
    """Return an engine that runs a file of `export.export_onnx`, without torch.

    Raises:
        InputError: an engine for networks in torch, or one that is not installed; anything that the engine refuses.
    """
    if check_engine(engine) in ("torch", "compile"):
        raise InputError(f"{path}: engine={engine} runs checkpoints; use onnx or openvino for an exported file")
    if engine == "auto":
        engine = "openvino" if find_spec("openvino") and not find_spec("onnxruntime") else "onnx"
    if engine == "openvino":
        from p3m_lightning.inference.engines.openvino_engine import OpenVinoEngine

        return OpenVinoEngine(path, device, precision)
    if precision != "32":
        raise InputError(
            f"{path}: engine=onnx has no precision={precision}; `p3m export --precision` makes such a file"
        )
    from p3m_lightning.inference.engines.exported import OnnxEngine

    return OnnxEngine(path, device)


def goes_without_torch(device: str, precision: str, engine: str) -> bool:
    """Return whether a network available in both forms should run from its exported file."""
    if engine in ("onnx", "openvino"):
        return True
    wants_torch = engine in ("torch", "compile") or precision != "32" or device not in ("auto", "cpu")
    return not wants_torch and bool(find_spec("onnxruntime")) and (device == "cpu" or not has_gpu())


def has_gpu() -> bool:
    """Return whether an NVIDIA driver reports a GPU, without importing torch, which takes seconds."""
    try:
        cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        count = ctypes.c_int(0)
        return cuda.cuInit(0) == 0 and cuda.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):
        return False
