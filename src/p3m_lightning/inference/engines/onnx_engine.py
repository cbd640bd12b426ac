"""Networks that run in ONNX Runtime, without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from p3m_lightning.inference.engines.array_engine import METADATA, ArrayEngine, thread_count, verify_file
from p3m_lightning.schema import InputError


class OnnxEngine(ArrayEngine):
    """A file of `p3m export` as the `modes.Engine` that `apply_mode` asks for.

    Args:
        path: the file.
        device: "auto" (the GPU where ONNX Runtime has one), "cpu", "cuda", "cuda:1", ...

    Raises:
        InputError: onnxruntime is not installed, another kind of file, a device that is not there.
    """

    def __init__(self, path: str | Path, device: str = "auto") -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError:
            raise InputError(f"{path}: needs ONNX Runtime; pip install 'p3m_lightning[export]'") from None
        verify_file(path)
        providers = _providers(device, onnxruntime.get_available_providers())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = thread_count()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others have work for the cores
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # onnxruntime raises classes of its compiled part, which share no base
            raise InputError(f"{path}: not an ONNX file that ONNX Runtime can run ({error})") from None
        written = self.session.get_modelmeta().custom_metadata_map.get(METADATA)
        if written is None:
            raise InputError(f"{path}: not written by `p3m export`: its metadata is not there")
        super().__init__(json.loads(written))
        self._options = onnxruntime.RunOptions()
        self._options.only_execute_path_to_fetches = True

    def outputs_of(self, inputs: Mapping[str, np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
        """Compute the outputs called `names`."""
        return self.session.run(list(names), dict(inputs), self._options)


def _providers(device: str, available: list[str]) -> list[str | tuple[str, dict]]:
    cpu, cuda = "CPUExecutionProvider", "CUDAExecutionProvider"
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and not (kind == "cuda" and index.isdecimal())):
        raise InputError(f"device={device}: choose from auto, cpu, cuda, cuda:1, ...")
    if kind == "cuda" and cuda not in available:
        raise InputError(f"device={device}: this ONNX Runtime has no CUDA; pip install onnxruntime-gpu")
    return [cpu] if kind == "cpu" or cuda not in available else [(cuda, {"device_id": int(index or 0)}), cpu]
