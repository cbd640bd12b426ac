"""Predictor: makes a Matte of a photograph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import cv2
import numpy as np

from p3m_lightning.configuration.prepared import prepared_with
from p3m_lightning.images import Photo, Source, read_photo, to_unit
from p3m_lightning.inference.engines.choose import check_engine, engine_of_file, engine_of_network, goes_without_torch
from p3m_lightning.inference.matte import Matte
from p3m_lightning.inference.memory import choose_mode, fits_memory
from p3m_lightning.inference.modes import DEFAULT_MODE, TRIMAP_MODES, Engine, Passes, verify_mode
from p3m_lightning.metrics.arrays import checked_trimap
from p3m_lightning.models.box import BOX_FILE, BOX_GRAPH, load_box
from p3m_lightning.schema import InputError

if TYPE_CHECKING:  # ONNX files run without torch
    from torch import Tensor, nn


MAX_SHORT_SIDE = 1080
"""Limit in pixels of the shorter side of photographs, as the P3M authors use; their test sets are not limited."""

LIMITED = ("resize", "hybrid")
"""The modes in which the authors first reduce large photographs; the others are meant for full size."""


class Predictor:
    """Applies a network to photographs of any size, from 1 pixel to 100 megapixels.

    Args:
        net: a network of `p3m_lightning.models`, which is moved to `device`, put in `eval()`, and copied, see
            `engines.optimize`; or an `Engine`, which has its device and precision already; None is the network in the
            box, see `models.box`.
        device: "auto" (the GPU if there is one), "cpu", "cuda", "cuda:1", ...
        mode: `resize` (the published test figures), `hybrid` (two passes, finer), `native` (one pass at full size),
            `tiled` (full size in bounded memory), or `auto`, which chooses for each image, see `choose_mode`; None is
            the `recorded` one, else `native` for networks that need a trimap, `resize` for others.
        max_short_side: `resize` and `hybrid` first reduce the shorter side to at most this many pixels; None for test
            sets, which the authors do not reduce.
        flips: average with the mirrored picture: twice the time, slightly better.
        precision: "32", or "bf16" (for GPUs; about three digits).
        engine: `torch`; `compile`, through `torch.compile`: slow to start, then faster; `onnx` or `openvino`, for
            exported files and the network in the box; `auto`, see `engines.choose`.
        recorded: a configuration or metadata whose `inference` says how the network was evaluated; its mode and sizes
            are the defaults, and `auto` respects both.
        passes: the keys of `modes.Passes`.

    Raises:
        InputError: unknown mode, device or key; a mode that the network does not have.
    """

    def __init__(
        self,
        net: nn.Module | Engine | None = None,
        device: str = "auto",
        mode: str | None = None,
        *,
        max_short_side: int | None = MAX_SHORT_SIDE,
        flips: bool = False,
        precision: str = "32",
        engine: str = "auto",
        recorded: Mapping[str, Any] | None = None,
        **passes: Any,
    ) -> None:
        if max_short_side is not None and not (isinstance(max_short_side, Integral) and max_short_side > 0):
            raise InputError(f"max_short_side={max_short_side}: give whole pixels, or None for no limit")
        if not isinstance(recorded, Mapping | None):
            raise InputError(f"recorded: a {type(recorded).__name__}; give a configuration, a mapping")
        if net is None:
            net, recorded = _box(device, precision, engine)
        usual, sizes = recorded_inference(recorded or {}, passes)
        runs = net if isinstance(net, Engine) else engine_of_network(net, device, precision, engine)
        mode = (usual or DEFAULT_MODE[runs.needs_trimap]) if mode is None else mode
        # modes that every network offers need no check, for which torch would run the network
        if mode not in (*TRIMAP_MODES, "auto") and mode not in runs.modes:
            raise InputError(f"mode={mode}: this network has {', '.join(runs.modes)} and auto")
        self.engine, self.mode, self.max_short_side, self.flips = runs, mode, max_short_side, flips
        self.usual, self.passes = usual, make_passes(sizes | passes)

    @classmethod
    def from_checkpoint(cls, path: str | Path, device: str = "auto", mode: str | None = None, **keys: Any) -> Predictor:
        """Make a predictor from a checkpoint of this package; by default it is applied as in its own evaluation.

        Args:
            path: `.ckpt` of a training run, or `.safetensors`.
            device: as for the constructor.
            mode: as for the constructor.
            keys: the other arguments of the constructor.

        Raises:
            InputError: not a checkpoint of this package, or as the constructor.
        """
        if Path(path) == BOX_FILE:
            return cls(None, device, mode, **keys)
        from p3m_lightning.models import restore_model
        from p3m_lightning.models.weights import read_checkpoint

        checkpoint = read_checkpoint(path)
        net = restore_model(checkpoint, str(path))
        return cls(net, device, mode, recorded=checkpoint.config, **keys)

    @classmethod
    def from_onnx(cls, path: str | Path, device: str = "auto", mode: str | None = None, **keys: Any) -> Predictor:
        """Make a predictor from a file of `export.export_onnx`; does not need torch.

        Args as for `from_checkpoint`.

        Raises:
            InputError: neither ONNX Runtime nor OpenVINO is installed, another kind of file, or as the constructor.
        """
        precision, engine = keys.pop("precision", "32"), keys.pop("engine", "auto")
        runs = engine_of_file(path, device, precision, engine)
        return cls(runs, mode=mode, recorded=runs.metadata, **keys)

    def __call__(self, source: Source, trimap: np.ndarray | None = None) -> Matte:
        """Predict the matte of one photograph.

        Args:
            source: path, bytes of an image file, Pillow image, or uint8 / uint16 RGB array (H, W, 3); for RGBA, the
                matte's alpha is at most the given one.
            trimap: integers (H, W) of BACKGROUND, UNKNOWN, FOREGROUND, or of 0, 128, 255 as in files, for networks
                that need one.

        Raises:
            InputError: not a complete image; a trimap missing, unexpected, of another size or with other values; too
                large for the mode.
        """
        return self.batch([read_photo(source)], None if trimap is None else [trimap])[0]

    def batch(self, photos: Sequence[Photo], trimaps: Sequence[np.ndarray] | None = None) -> list[Matte]:
        """Predict photographs of one size, from `images.read_photo`, in one pass; otherwise as for a single one."""
        if not photos:
            return []
        size = photos[0].pixels.shape[:2]
        if other := next((photo.pixels.shape[:2] for photo in photos if photo.pixels.shape[:2] != size), None):
            raise InputError(f"photos: {size} and {other} (height, width) in one batch; predict them one by one")
        mode = self._mode_for(size)
        images = self._images(photos, self.max_short_side if mode in LIMITED else None)
        trimap = None if trimaps is None else self._trimap(trimaps, size, (images.shape[-2], images.shape[-1]))
        alpha = self.engine.numpy(self.engine.infer(images, mode, self.passes, trimap, self.flips))
        return [
            Matte(photo.pixels, _enlarge(values, size), photo.profile, opacity=photo.alpha, owned=True)
            for photo, values in zip(photos, alpha[:, 0], strict=True)
        ]

    def _images(self, photos: Sequence[Photo], max_short_side: int | None) -> Tensor:
        pixels = np.stack([limit_short_side(photo.pixels, max_short_side).transpose(2, 0, 1) for photo in photos])
        return self.engine.asarray(to_unit(pixels))

    def _mode_for(self, size: tuple[int, int]) -> str:
        if self.mode == "auto":
            return choose_mode(size, self.engine.modes, self.engine.free_memory(), self.passes, self.usual)
        if self.mode == "native" and not fits_memory(size, self.engine.free_memory()):
            smaller = "tiled" if "tiled" in self.engine.modes else "resize"
            raise InputError(
                f"mode=native: {size[1]} x {size[0]} pixels do not fit into the free memory; use mode={smaller}"
            )
        return self.mode

    def _trimap(self, trimaps: Sequence[np.ndarray], size: tuple[int, int], reduced: tuple[int, int]) -> Tensor:
        for trimap in trimaps:
            if np.shape(trimap) != size:
                raise InputError(f"trimap: its size is {np.shape(trimap)}, that of the image {size} (height, width)")
        classes = np.stack([checked_trimap(trimap, size) for trimap in trimaps])
        return self.engine.resize_nearest(self.engine.asarray(classes[:, None]), reduced)


def _box(device: str, precision: str, engine: str) -> tuple[nn.Module | Engine, Mapping[str, Any]]:
    """Return the network in the box, as an engine if it can run without torch, and its recorded configuration."""
    if goes_without_torch(device, precision, check_engine(engine)):
        runs = engine_of_file(BOX_GRAPH, device, precision, engine)
        return runs, runs.metadata
    return load_box()


def verify_infer(net: nn.Module, mode: str | None = None, **keywords: Any) -> None:
    """Check the arguments of `infer` before there are images.

    Raises:
        InputError: as `infer`, as far as can be known by then.
    """
    verify_mode(mode, needs_trimap=bool(getattr(net, "needs_trimap", False)))
    make_passes({key: value for key, value in keywords.items() if key not in ("flips", "optimize")})


@prepared_with((field.name for field in fields(Passes)), verify_infer)
def infer(
    net: nn.Module,
    images: Tensor,
    mode: str | None = "resize",
    trimap: Tensor | None = None,
    flips: bool = False,
    optimize: bool = False,
    **passes: Any,
) -> Tensor:
    """Apply a network to whole images on its device, without gradients; for evaluation during training.

    Args:
        net: a network of `p3m_lightning.models`, in the state to use it in (`eval()`).
        images: float (N, 3, H, W), RGB in [0, 1].
        mode: `resize`, `hybrid`, `native`, `tiled` or None, see `Predictor`.
        trimap: int64 (N, 1, H, W) of BACKGROUND, UNKNOWN, FOREGROUND, for networks that need one.
        flips: average with the mirrored images.
        optimize: for a network that no longer changes: run the copy that `engines.optimize` makes on the first call.
        passes: the keys of `modes.Passes`.

    Returns:
        alpha float (N, 1, H, W) in [0, 1].

    Raises:
        InputError: unknown mode or key; a mode that the network does not have; a missing or unexpected trimap.
    """
    from p3m_lightning.inference.engines.torch_engine import TorchEngine

    # a sharded network cannot be copied
    runs = _quick(net) if optimize and not hasattr(net, "unshard") else net
    return TorchEngine(runs).infer(images, mode, make_passes(passes), trimap, flips)


_QUICK: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()


def _quick(net: nn.Module) -> nn.Module:
    """Return the optimized copy of a network, made once."""
    if net not in _QUICK:
        from p3m_lightning.inference.engines.optimize import optimize_for_inference

        copy = optimize_for_inference(net)
        if copy is net:
            return net  # a value that refers to its own key would keep it alive
        _QUICK[net] = copy
    return _QUICK[net]


def recorded_inference(config: Mapping[str, Any], given: Iterable[str] = ()) -> tuple[str | None, dict[str, Any]]:
    """Return the mode and the sizes of passes with which a network was evaluated, as far as its `config` records them.

    Args:
        config: of a checkpoint, or the metadata of an exported file.
        given: keys that the caller sets; a given `scale` also replaces a recorded `short_side`, and a given
            `detail_scale` a recorded `detail_short_side`.

    Raises:
        InputError: a size that makes no sense.
    """
    recorded = config.get("inference") or {}
    sizes = {field.name: recorded[field.name] for field in fields(Passes) if recorded.get(field.name) is not None}
    for scale, short_side in (("scale", "short_side"), ("detail_scale", "detail_short_side")):
        if scale in given:
            sizes.pop(short_side, None)
    make_passes(sizes)  # of a file that anybody may have written
    return recorded.get("mode"), sizes


def make_passes(keys: dict[str, Any]) -> Passes:
    """Build `Passes` from keys.

    Raises:
        InputError: unknown key, or a value that makes no sense.
    """
    known = [field.name for field in fields(Passes)]
    unknown = sorted(set(keys) - set(known))
    if unknown:
        raise InputError(f"{', '.join(unknown)}: no such key; choose from {', '.join(known)}")
    try:
        return Passes(**keys)
    except TypeError as error:
        raise InputError(f"{', '.join(f'{key}={value!r}' for key, value in keys.items())}: {error}") from None


def limit_short_side(pixels: np.ndarray, most: int | None) -> np.ndarray:
    """Reduce a photograph to at most `most` pixels on its shorter side, as the P3M authors do with OpenCV.

    Args:
        pixels: uint8 or uint16 (H, W, 3).
        most: in pixels; None: no limit.
    """
    height, width = pixels.shape[:2]
    short = min(height, width)
    if most is None or short <= most:
        return pixels
    height, width = (most if side == short else int(most * side / short) for side in (height, width))
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)


def _enlarge(alpha: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize the alpha of a reduced photograph (H, W) back to `size`."""
    if alpha.shape == size:
        return alpha
    return cv2.resize(alpha, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
