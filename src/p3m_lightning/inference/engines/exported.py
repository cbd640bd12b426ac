"""Exported files, run without torch: their metadata, arithmetic on numpy arrays, and ONNX Runtime."""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from p3m_lightning.images.pixels import resize_smooth_array
from p3m_lightning.inference.memory import free_memory
from p3m_lightning.inference.modes import Engine, classes_as_values
from p3m_lightning.messages import no_such
from p3m_lightning.models.box import BOX_GRAPH
from p3m_lightning.parallel import available_cores
from p3m_lightning.schema import InputError, MattingOutput

OUTPUTS = ("alpha", "semantic", "detail")
CHANNELS = {"alpha": 1, "semantic": 3, "detail": 1}
METADATA = "p3m_lightning"
"""Key of the metadata, JSON, that `export.export_onnx` writes and these engines need."""
SHAPES = {
    "": dict,
    "needs_trimap": bool,
    "modes": list,
    "modes.*": str,
    "inference": dict | None,
    "inference.mode": str | None,
    "inference.*": str | int | float | None,
}
"""Types of the metadata that are read."""


class ArrayEngine(Engine):
    """An exported file that runs on numpy arrays; only the outputs that are used are computed.

    Args:
        metadata: of the file, JSON.
        path: the file, which is untrusted.

    Raises:
        InputError: the file is not one of `p3m export`.
    """

    def __init__(self, metadata: str, path: str | Path) -> None:
        self.path = path
        self.metadata = read_metadata(metadata, path)

    @abstractmethod
    def outputs_of(self, inputs: Mapping[str, np.ndarray], names: Sequence[str]) -> list[np.ndarray]:
        """Compute the outputs called `names`."""

    @property
    def needs_trimap(self) -> bool:
        """True if `run` takes a trimap."""
        return self.metadata["needs_trimap"]

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes that the network offers."""
        return tuple(self.metadata["modes"])

    def run(self, images: np.ndarray, trimap: np.ndarray | None = None) -> MattingOutput:
        """Apply the network to float32 (N, 3, H, W) in [0, 1], with int64 trimap (N, 1, H, W) if it takes one."""
        inputs = {"images": np.ascontiguousarray(images, np.float32)}
        if trimap is not None:
            inputs["trimap"] = trimap
        alpha: Any = self._map(inputs, "alpha")  # an array: engines without torch do not return tensors
        return MattingOutput(alpha)

    def trimap_of(self, images: np.ndarray, by_branch: bool = False) -> np.ndarray:
        """Return the trimap of one pass, without computing the matte if the file has branches."""
        if "hybrid" not in self.modes:
            return super().trimap_of(images, by_branch)
        semantic = self._map({"images": np.ascontiguousarray(images, np.float32)}, "semantic")
        return classes_as_values(semantic).astype(np.float32)

    def detail_of(self, images: np.ndarray) -> np.ndarray:
        """Return the detail of one pass, without computing the trimap if the file has branches."""
        name = "detail" if "hybrid" in self.modes else "alpha"
        return self._map({"images": np.ascontiguousarray(images, np.float32)}, name)

    def _map(self, inputs: Mapping[str, np.ndarray], name: str) -> np.ndarray:
        """Compute one output, and check that it is the map (N, C, H, W) that its name implies."""
        try:
            (found,) = self.outputs_of(inputs, [name])
        except Exception as error:  # the runtimes raise classes of their compiled parts, which have no common base
            text = " ".join(str(error).split())[:200]
            raise InputError(f"{self.path}: its network cannot be run ({text}); export it again") from None
        number, _, height, width = inputs["images"].shape
        if found.shape != (number, CHANNELS[name], height, width) or not np.issubdtype(found.dtype, np.floating):
            told = f"{found.dtype} of the shape {tuple(found.shape)}"
            raise InputError(f"{self.path}: its output {name} is {told}, which is not a map of the image's size")
        if not np.isfinite(found).all():
            raise InputError(f"{self.path}: its output {name} contains NaN or infinity; export it again")
        return found

    def resize(self, maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Resize float (N, C, H, W) to `size` as `ops.resize_smooth` does."""
        return resize_smooth_array(maps.astype(np.float32, copy=False), size)

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
        """Return the free main memory in bytes."""
        return free_memory()


class OnnxEngine(ArrayEngine):
    """A file of `p3m export` as a `modes.Engine` for `apply_mode`, run by ONNX Runtime.

    Args:
        path: the file.
        device: "auto" (the GPU if ONNX Runtime can use one), "cpu", "cuda", "cuda:1", ...

    Raises:
        InputError: onnxruntime is not installed, the file is of another kind, or the device is not available.
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
        options.add_session_config_entry(
            "session.intra_op.allow_spinning", "0"
        )  # spinning would take cores from other threads
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=providers)
            written = self.session.get_modelmeta().custom_metadata_map.get(METADATA)
        except Exception as error:  # onnxruntime raises classes of its compiled part, which have no common base
            raise InputError(f"{path}: not an ONNX file that ONNX Runtime can run ({error})") from None
        if written is None:
            raise InputError(f"{path}: not written by `p3m export`: it has no metadata")
        super().__init__(written, path)
        self._device = device
        self._options = onnxruntime.RunOptions()
        self._options.only_execute_path_to_fetches = True

    def __reduce__(self) -> tuple:
        """Let copies and other processes open the file again; a session cannot be moved."""
        return type(self), (self.path, self._device)

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


def read_metadata(text: str, path: str | Path) -> dict[str, Any]:
    """Parse the metadata of an exported file.

    Raises:
        InputError: the text is not metadata of `p3m export`.
    """
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{path}: its metadata is not JSON; export the network again") from None
    if Path(path) != BOX_GRAPH:  # the box's graph comes with the package and is trusted
        from p3m_lightning.records import verify_shapes

        verify_shapes(metadata, SHAPES, f"{path}: its metadata")
    lacking = sorted({"needs_trimap", "modes"} - metadata.keys())
    if lacking:
        raise InputError(f"{path}: its metadata lacks {', '.join(lacking)}; export the network again")
    return metadata


def verify_file(path: str | Path) -> None:
    """Raise InputError if there is no such file."""
    if not Path(path).is_file():
        raise InputError(no_such(path))


def thread_count() -> int:
    """Return the number of threads for a network: OMP_NUM_THREADS, parsed as torch does, else one per core."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) else available_cores()
