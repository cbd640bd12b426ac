"""External programs behind one call, from named arrays to outputs: ONNX Runtime, TorchScript, torch.export."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from p3m_lightning.models.external.safety import verify_exported, verify_torchscript
from p3m_lightning.parallel import available_cores
from p3m_lightning.schema import InputError

Outputs = Any
"""A tensor, or nested lists, tuples and dictionaries of them."""


class Program(ABC):
    """An executable model file."""

    names: Sequence[str] | None = None  # of its inputs, if they are named

    @abstractmethod
    def __call__(self, inputs: Mapping[str, Tensor], device: torch.device) -> Outputs:
        """Run on `inputs`, in order, on `device` if possible; outputs may be on any device."""


class OnnxProgram(Program):
    """An ONNX file in ONNX Runtime.

    Raises:
        InputError: ONNX Runtime is not installed, or cannot run the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sessions: dict[str, Any] = {"cpu": self._session(["CPUExecutionProvider"])}
        self.names = [node.name for node in self.sessions["cpu"].get_inputs()]
        self.outputs = [node.name for node in self.sessions["cpu"].get_outputs()]

    def _session(self, providers: list[str]) -> Any:
        try:
            import onnxruntime
        except ModuleNotFoundError:
            raise InputError(f"{self.path}: needs ONNX Runtime; pip install 'p3m_lightning[export]'") from None
        options = onnxruntime.SessionOptions()
        given = os.environ.get("OMP_NUM_THREADS", "")
        options.intra_op_num_threads = int(given) if given.isdecimal() and int(given) else available_cores()
        options.add_session_config_entry(
            "session.intra_op.allow_spinning", "0"
        )  # spinning would take cores from other threads
        options.log_severity_level = 3  # hides warnings about shapes
        try:
            return onnxruntime.InferenceSession(str(self.path), options, providers=providers)
        except Exception as error:  # onnxruntime raises classes of its compiled part, which have no common base
            text = " ".join(str(error).split())[:200]
            raise InputError(f"{self.path}: not an ONNX file that ONNX Runtime can run ({text})") from None

    def __call__(self, inputs: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
        """Run; return outputs by name, in the order of the file."""
        if device.type not in self.sessions:
            self.sessions[device.type] = self._near(device)
        arrays = {name: value.cpu().numpy() for name, value in inputs.items()}
        try:
            found = self.sessions[device.type].run(None, arrays)
        except Exception as error:  # likewise
            text = " ".join(str(error).split())[:200]
            raise InputError(f"{self.path}: ONNX Runtime cannot run it on this image ({text})") from None
        return {name: torch.from_numpy(value) for name, value in zip(self.outputs, found, strict=True)}

    def _near(self, device: torch.device) -> Any:
        import onnxruntime

        cuda = "CUDAExecutionProvider"
        if device.type == "cuda" and cuda in onnxruntime.get_available_providers():
            return self._session([cuda, "CPUExecutionProvider"])
        return self.sessions["cpu"]


class TorchProgram(Program):
    """A TorchScript or torch.export file that `safety` has verified.

    Args:
        path: of the file.
        load: reads it.
        move: moves it to a device, if possible.
    """

    def __init__(self, path: Path, load: Callable[[], Any], move: Callable[[Any, torch.device], Any]) -> None:
        try:
            self.module = load()
        except Exception as error:  # the file is untrusted and may raise anything
            text = " ".join(str(error).split())[:200]
            raise InputError(f"{path}: PyTorch {torch.__version__} cannot read it ({text})") from None
        self.move, self.device = move, torch.device("cpu")

    def __call__(self, inputs: Mapping[str, Tensor], device: torch.device) -> Outputs:
        """Run on the inputs, in order."""
        if device != self.device:
            self.module, self.device = self.move(self.module, device), device
        return self.module(*(value.to(device) for value in inputs.values()))


def torchscript(path: Path) -> Program:
    """Read a TorchScript file.

    Raises:
        InputError: another kind of file, or one that could run code of its own.
    """
    verify_torchscript(path)

    def load() -> Any:
        return torch.jit.load(str(path), map_location="cpu").eval()

    return TorchProgram(path, load, lambda module, device: module.to(device))


def exported(path: Path) -> Program:
    """Read a file of `torch.export.save`.

    Raises:
        InputError: another kind of file, or one that could run code of its own.
    """
    verify_exported(path)

    def load() -> Any:
        # the guards of the file are Python code that torch would execute
        return torch.export.load(str(path)).module(check_guards=False)

    return TorchProgram(path, load, lambda module, device: module.to(device))


READERS: dict[str, Callable[[Path], Program]] = {
    ".onnx": OnnxProgram,
    ".pt": torchscript,
    ".ts": torchscript,
    ".pt2": exported,
}


def read_program(path: str | Path) -> Program:
    """Read a program by the suffix of its file.

    Raises:
        InputError: no such file, another suffix, another kind of file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.suffix not in READERS:
        raise InputError(f"{path}: third-party networks must be {', '.join(READERS)}; export it to ONNX")
    return READERS[path.suffix](path)
