"""Networks that run in OpenVINO, without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from p3m_lightning.inference.engines.exported import METADATA, ArrayEngine, thread_count, verify_file
from p3m_lightning.schema import InputError
from p3m_lightning.silence import import_openvino


class OpenVinoEngine(ArrayEngine):
    """A file of `p3m export` as a `modes.Engine` for `apply_mode`, run by OpenVINO on the CPU.

    Args:
        path: the file.
        device: "auto" or "cpu".
        precision: "32", or "bf16" if the processor supports it.

    Raises:
        InputError: openvino is not installed, the file is of another kind, or the device or precision is not available.
    """

    def __init__(self, path: str | Path, device: str = "auto", precision: str = "32") -> None:
        try:
            openvino = import_openvino()
        except ModuleNotFoundError:
            raise InputError("engine=openvino: needs OpenVINO; pip install 'p3m_lightning[openvino]'") from None
        verify_file(path)
        if device not in ("auto", "cpu"):
            raise InputError(f"device={device}: engine=openvino runs on the CPU; give auto or cpu")
        self._core = openvino.Core()
        if precision == "bf16" and "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise InputError("precision=bf16: this processor does not support it; use 32")
        self._path, self._precision = str(path), precision
        model = self._read()
        if not model.has_rt_info(["framework", METADATA]):
            raise InputError(f"{path}: not written by `p3m export`: it has no metadata")
        super().__init__(model.get_rt_info(["framework", METADATA]).astype(str), path)
        self._compiled: dict[tuple[str, ...], Any] = {}

    def __reduce__(self) -> tuple:
        """Let copies and other processes open the file again; a compiled network cannot be moved."""
        return type(self), (self._path, "cpu", self._precision)

    def outputs_of(self, inputs: Mapping[str, np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
        """Compute the outputs named `names`; the part of the network that they need is compiled at first use."""
        wanted = tuple(names)
        if wanted not in self._compiled:
            self._compiled[wanted] = self._compile(wanted)
        results = self._compiled[wanted](dict(inputs))
        return [np.array(results[name]) for name in wanted]  # copies: the buffers are reused

    def _read(self) -> Any:
        try:
            return self._core.read_model(self._path)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"{self._path}: not an ONNX file that OpenVINO can run ({reason})") from None

    def _compile(self, names: Sequence[str]) -> Any:
        model = self._read()
        for output in list(model.outputs):
            if not output.names & set(names):
                model.remove_result(output.node)
        hints = {
            "INFERENCE_PRECISION_HINT": "bf16" if self._precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": thread_count(),
        }
        return self._core.compile_model(model, "CPU", hints)
