"""Networks that run in ONNX Runtime, without torch."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy import ndimage

from p3m_lightning.inference.memory import free_memory
from p3m_lightning.inference.modes import Engine
from p3m_lightning.schema import InputError, MattingOutput

OUTPUTS = ("alpha", "semantic", "detail")
METADATA = "p3m_lightning"
"""Key of the metadata, JSON, that `export.export_onnx` writes and this engine needs."""


class OnnxEngine(Engine):
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
        if not Path(path).is_file():
            raise InputError(f"{path}: no such file")
        providers = _providers(device, onnxruntime.get_available_providers())
        try:
            self.session = onnxruntime.InferenceSession(str(path), providers=providers)
        except Exception as error:  # onnxruntime raises classes of its compiled part, which share no base
            raise InputError(f"{path}: not an ONNX file that ONNX Runtime can run ({error})") from None
        written = self.session.get_modelmeta().custom_metadata_map.get(METADATA)
        if written is None:
            raise InputError(f"{path}: not written by `p3m export`: its metadata is not there")
        self.metadata = json.loads(written)

    @property
    def needs_trimap(self) -> bool:
        """Whether `run` takes a trimap."""
        return self.metadata["needs_trimap"]

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes that the network offers."""
        return tuple(self.metadata["modes"])

    @cached_property
    def _outputs(self) -> list[str]:
        return [output.name for output in self.session.get_outputs()]

    def run(self, images: np.ndarray, trimap: np.ndarray | None = None) -> MattingOutput:
        """Apply the network to float32 (N, 3, H, W) in [0, 1], with int64 trimap (N, 1, H, W) where it takes one."""
        inputs = {"images": images.astype(np.float32, copy=False)}
        if trimap is not None:
            inputs["trimap"] = trimap
        return MattingOutput(**dict(zip(self._outputs, self.session.run(self._outputs, inputs), strict=True)))

    def resize(self, maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Resize float (N, C, H, W) to `size` as `ops.resize_smooth` does."""
        old = maps.shape[-2:]
        if old == size:
            return maps
        sigmas = [max(0.0, (before / after - 1) / 2) for before, after in zip(old, size, strict=True)]
        factors = [after / before for before, after in zip(old, size, strict=True)]
        smooth = ndimage.gaussian_filter(maps.astype(np.float32), (0, 0, *sigmas), mode="mirror")
        return ndimage.zoom(smooth, (1, 1, *factors), order=1, mode="mirror", grid_mode=True)

    def resize_nearest(self, maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Resize (N, C, H, W) of classes to `size`."""
        rows, columns = (
            ((np.arange(after) + 0.5) * before / after).astype(int)
            for before, after in zip(maps.shape[-2:], size, strict=True)
        )
        return maps[..., rows[:, None], columns]

    def flip(self, maps: np.ndarray) -> np.ndarray:
        """Mirror (N, C, H, W) left to right."""
        return np.ascontiguousarray(maps[..., ::-1])

    def asarray(self, values: np.ndarray) -> np.ndarray:
        """Return floats as float32, integers as int64."""
        return values.astype(np.float32 if np.issubdtype(values.dtype, np.floating) else np.int64, copy=False)

    def numpy(self, maps: np.ndarray) -> np.ndarray:
        """Return the maps as they are."""
        return maps

    def free_memory(self) -> int | None:
        """Return the bytes of main memory that are free."""
        return free_memory()


def _providers(device: str, available: list[str]) -> list[str | tuple[str, dict]]:
    cpu, cuda = "CPUExecutionProvider", "CUDAExecutionProvider"
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and not (kind == "cuda" and index.isdecimal())):
        raise InputError(f"device={device}: choose from auto, cpu, cuda, cuda:1, ...")
    if kind == "cuda" and cuda not in available:
        raise InputError(f"device={device}: this ONNX Runtime has no CUDA; pip install onnxruntime-gpu")
    return [cpu] if kind == "cpu" or cuda not in available else [(cuda, {"device_id": int(index or 0)}), cpu]
