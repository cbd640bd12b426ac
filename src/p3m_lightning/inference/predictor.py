"""Predictor: a photograph in, a Matte out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from p3m_lightning.images import to_unit
from p3m_lightning.inference.matte import Matte
from p3m_lightning.inference.memory import choose_mode, fits_memory
from p3m_lightning.inference.modes import DEFAULT_MODE, TRIMAP_MODES, Engine, Passes
from p3m_lightning.inference.photo import Photo, Source, read_photo
from p3m_lightning.schema import InputError

if TYPE_CHECKING:  # an ONNX file is run without torch
    from torch import Tensor, nn


LIMIT = 1080
"""Pixels of a photograph's shorter side, as the P3M authors treat photographs; not so their test sets."""

LIMITED = ("resize", "hybrid")
"""The modes in which the authors bring large photographs down first; the others are for their pixels."""


class Predictor:
    """Applies a network to photographs of any size, from 1 pixel to 100 megapixels.

    Args:
        net: a network of `p3m_lightning.models`, which is moved to `device` and put in `eval()`; or an `Engine`, which
            has its device, precision and compiler already; None is the network in the box, see `models.box`.
        device: "auto" (the GPU where there is one), "cpu", "cuda", "cuda:1", ...
        mode: `resize` (the published test figures), `hybrid` (two passes, finer), `native` (one pass at full size),
            `tiled` (full size in bounded memory), or `auto`, which picks for each picture, see `choose_mode`; None is
            the `recorded` one, else `native` for networks that need a trimap, `resize` for others.
        limit: `resize` and `hybrid` first bring a longer shorter side down to this many pixels; None for test sets,
            which the authors leave as they are.
        flips: average with the mirrored picture: twice the time, slightly better.
        precision: "32", or "bf16" (for GPUs; about three digits).
        compile: run through `torch.compile`.
        recorded: a configuration or metadata whose `inference` says how the network was evaluated; its mode and sizes
            are taken where none are given, and `auto` keeps to both.
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
        limit: int | None = LIMIT,
        flips: bool = False,
        precision: str = "32",
        compile: bool = False,
        recorded: Mapping[str, Any] | None = None,
        **passes: Any,
    ) -> None:
        if limit is not None and limit <= 0:
            raise InputError(f"limit={limit}: give pixels, or None for no limit")
        if net is None:
            from p3m_lightning.models.box import load_box

            net, recorded = load_box()
        usual, sizes = recorded_inference(recorded or {}, passes)
        engine = net if isinstance(net, Engine) else _torch_engine(net, device, precision, compile)
        mode = mode or usual or DEFAULT_MODE[engine.needs_trimap]
        # the modes of every network need no look at what it offers, for which torch would run it
        if mode not in (*TRIMAP_MODES, "auto") and mode not in engine.modes:
            raise InputError(f"mode={mode}: this network has {', '.join(engine.modes)} and auto")
        self.engine, self.mode, self.limit, self.flips = engine, mode, limit, flips
        self.usual, self.passes = usual, make_passes(sizes | passes)

    @classmethod
    def from_checkpoint(cls, path: str | Path, device: str = "auto", mode: str | None = None, **keys: Any) -> Predictor:
        """Make a predictor from a checkpoint of ours, used as it was evaluated in its training where you say nothing.

        Args:
            path: `.ckpt` of a training run, or `.safetensors`.
            device: as for the constructor.
            mode: as for the constructor.
            keys: the other arguments of the constructor.

        Raises:
            InputError: not a checkpoint of this package, or as the constructor.
        """
        from p3m_lightning.models import restore_model
        from p3m_lightning.models.weights import read_checkpoint

        checkpoint = read_checkpoint(path)
        net = restore_model(checkpoint, str(path))
        return cls(net, device, mode, recorded=checkpoint.config, **keys)

    @classmethod
    def from_onnx(cls, path: str | Path, device: str = "auto", mode: str | None = None, **keys: Any) -> Predictor:
        """Make a predictor from a file of `export.export_onnx`, run by ONNX Runtime; torch need not be installed.

        Args as for `from_checkpoint`; there is neither `precision` nor `compile`.

        Raises:
            InputError: ONNX Runtime is not installed, another kind of file, or as the constructor.
        """
        from p3m_lightning.inference.onnx_engine import OnnxEngine

        engine = OnnxEngine(path, device)
        return cls(engine, mode=mode, recorded=engine.metadata, **keys)

    def __call__(self, source: Source, trimap: np.ndarray | None = None) -> Matte:
        """Predict the matte of one photograph.

        Args:
            source: path, bytes of an image file, Pillow image, or uint8 / uint16 RGB array (H, W, 3); of RGBA the
                matte's alpha is at most the given one.
            trimap: uint8 (H, W) of BACKGROUND, UNKNOWN, FOREGROUND, for networks that need one.

        Raises:
            InputError: not a whole image; a trimap missing, too many or of another size; too large for the mode.
        """
        return self.batch([read_photo(source)], None if trimap is None else [trimap])[0]

    def batch(self, photos: Sequence[Photo], trimaps: Sequence[np.ndarray] | None = None) -> list[Matte]:
        """Predict photographs of one size, from `photo.read_photo`, in one pass; otherwise as for a single one."""
        size = photos[0].pixels.shape[:2]
        mode = self._mode_for(size)
        images = self._images(photos, self.limit if mode in LIMITED else None)
        trimap = None if trimaps is None else self._trimap(trimaps, size, (images.shape[-2], images.shape[-1]))
        alpha = self.engine.numpy(self.engine.infer(images, mode, self.passes, trimap, self.flips))
        return [
            Matte(photo.pixels, _enlarge(values, size), photo.profile, opacity=photo.alpha)
            for photo, values in zip(photos, alpha[:, 0], strict=True)
        ]

    def _images(self, photos: Sequence[Photo], limit: int | None) -> Tensor:
        pixels = np.stack([limit_short_side(photo.pixels, limit).transpose(2, 0, 1) for photo in photos])
        return self.engine.asarray(to_unit(pixels))

    def _mode_for(self, size: tuple[int, int]) -> str:
        if self.mode == "auto":
            return choose_mode(size, self.engine.modes, self.engine.free_memory(), self.passes, self.usual)
        if self.mode == "native" and not fits_memory(size, self.engine.free_memory()):
            smaller = "tiled" if "tiled" in self.engine.modes else "resize"
            raise InputError(
                f"mode=native: {size[1]} x {size[0]} pixels do not fit into the free memory; take mode={smaller}"
            )
        return self.mode

    def _trimap(self, trimaps: Sequence[np.ndarray], size: tuple[int, int], reduced: tuple[int, int]) -> Tensor:
        for trimap in trimaps:
            if trimap.shape != size:
                raise InputError(f"trimap: its size is {trimap.shape}, that of the image {size} (height, width)")
        return self.engine.resize_nearest(self.engine.asarray(np.stack(trimaps)[:, None]), reduced)


def _torch_engine(net: nn.Module, device: str, precision: str, compile: bool) -> Engine:
    from p3m_lightning.inference.torch_engine import TorchEngine, choose_device

    return TorchEngine(net.to(choose_device(device)).eval(), precision, compile)


def infer(
    net: nn.Module,
    images: Tensor,
    mode: str | None = "resize",
    trimap: Tensor | None = None,
    flips: bool = False,
    **passes: Any,
) -> Tensor:
    """Apply a network to whole pictures on its device, without gradients; for evaluation while training.

    Args:
        net: a network of `p3m_lightning.models`, in the state it is to be used in (`eval()`).
        images: float (N, 3, H, W), RGB in [0, 1].
        mode: `resize`, `hybrid`, `native`, `tiled` or None, see `Predictor`.
        trimap: int64 (N, 1, H, W) of BACKGROUND, UNKNOWN, FOREGROUND, for networks that need one.
        flips: average with the mirrored pictures.
        passes: the keys of `modes.Passes`.

    Returns:
        alpha float (N, 1, H, W) in [0, 1].

    Raises:
        InputError: unknown mode or key; a mode that the network does not have; a trimap missing or too many.
    """
    from p3m_lightning.inference.torch_engine import TorchEngine

    return TorchEngine(net).infer(images, mode, make_passes(passes), trimap, flips)


def recorded_inference(config: Mapping[str, Any], given: Iterable[str] = ()) -> tuple[str | None, dict[str, Any]]:
    """Return the mode and the sizes of passes with which a network was evaluated, as far as its `config` says.

    Args:
        config: of a checkpoint, or the metadata of an exported file.
        given: keys that are chosen anew; a chosen `scale` also replaces a recorded `short_side`.
    """
    recorded = config.get("inference") or {}
    sizes = {field.name: recorded[field.name] for field in fields(Passes) if recorded.get(field.name) is not None}
    if "scale" in given:
        sizes.pop("short_side", None)
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


def limit_short_side(pixels: np.ndarray, limit: int | None) -> np.ndarray:
    """Reduce a photograph to at most `limit` pixels on its shorter side, as the P3M authors do with OpenCV.

    Args:
        pixels: uint8 or uint16 (H, W, 3).
        limit: None leaves the photograph alone.
    """
    height, width = pixels.shape[:2]
    short = min(height, width)
    if limit is None or short <= limit:
        return pixels
    height, width = (limit if side == short else int(limit * side / short) for side in (height, width))
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)


def _enlarge(alpha: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring the alpha of a limited photograph (H, W) back to `size`."""
    if alpha.shape == size:
        return alpha
    return cv2.resize(alpha, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
