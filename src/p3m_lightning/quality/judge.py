"""Judge: scores of mattes without true ones, for single mattes and folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import cv2
import numpy as np
import torch
from torch import Tensor

from p3m_lightning.images import images_by_stem, read_image, read_matte, to_uint8, to_unit
from p3m_lightning.inference.engines.optimize import optimize_for_inference
from p3m_lightning.inference.engines.torch_engine import choose_device
from p3m_lightning.models.box import load_box
from p3m_lightning.models.p3mnet import P3MNet
from p3m_lightning.models.weights import load_strictly, read_checkpoint
from p3m_lightning.quality.candidates import judged_size, reduced
from p3m_lightning.quality.network import QualityHead, create_head, opinion_of
from p3m_lightning.schema import InputError

NAME = "quality"
"""Value of `config.model.name` in a checkpoint of a quality head."""

HEAD_FILE = Path(__file__).with_name("head.safetensors")
"""The head that comes with the package; its card is README.md beside this file."""


CODES = (np.uint8, np.uint16)
"""Types of pixels that are codes of the full range."""


class Quality(NamedTuple):
    """Judgment of one matte."""

    sad: float  # predicted sum of absolute differences, in thousands, as in `p3m score`
    mean: float  # predicted mean absolute error, in [0, 1]
    errors: np.ndarray  # float32 (h, w) in [0, 1], predicted mean error at a quarter of the judged size
    disagreement: float  # mean absolute difference from the matte of the network in the box


class Judge:
    """Estimates from image and matte how wrong the matte is, and where.

    Args:
        head: checkpoint of `p3m quality train`; None uses the head in the box.
        device: "cpu", "cuda", ...; "auto" uses the GPU if there is one.

    Raises:
        InputError: no such file, or a checkpoint of something else.
    """

    def __init__(self, head: str | Path | None = None, device: str = "auto") -> None:
        net = cast("P3MNet", load_box()[0])
        self.head, self.short_side = load_head(head or HEAD_FILE, net)
        self.device = choose_device(device)
        self.head.to(self.device)
        self.net = cast("P3MNet", optimize_for_inference(net).to(self.device))

    def __call__(self, image: np.ndarray, alpha: np.ndarray) -> Quality:
        """Judge one matte.

        Args:
            image: uint8 or uint16 (H, W, 3), RGB.
            alpha: uint8, uint16 or float (H, W); floats in [0, 1].

        Raises:
            InputError: image or matte of another type or range, or they differ in size.
        """
        verify_image_and_matte(image, alpha)
        size = judged_size(alpha.shape, self.short_side)
        values = alpha if alpha.dtype.kind == "f" else to_unit(alpha)
        images = self._tensor(to_unit(reduced(image, size)).transpose(2, 0, 1))
        mattes = self._tensor(reduced(values.astype(np.float32), size)[None])
        with torch.inference_mode():
            opinion = opinion_of(self.net, images)
            errors = self.head(images, mattes, opinion).sigmoid()[0, 0].float().cpu().numpy()
        mean = float(errors.mean())
        return Quality(mean * alpha.size / 1000, mean, errors, float((mattes - opinion.alpha).abs().mean()))

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values))[None].to(self.device)


def verify_image_and_matte(image: np.ndarray, alpha: np.ndarray) -> None:
    """Check what is to be judged.

    Raises:
        InputError: another type or range, or two sizes.
    """
    if image.dtype not in CODES or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise InputError(f"image: {image.dtype} {image.shape}; give RGB as uint8 or uint16, (H, W, 3)")
    if alpha.ndim != 2 or not (alpha.dtype in CODES or alpha.dtype.kind == "f"):
        raise InputError(f"alpha: {alpha.dtype} {alpha.shape}; give uint8, uint16, or floats in [0, 1], (H, W)")
    if image.shape[:2] != alpha.shape:
        sizes = " and ".join(f"{shape[1]} x {shape[0]}" for shape in (image.shape, alpha.shape))
        raise InputError(f"image and matte differ in size: {sizes} pixels")
    least, most = alpha.min(), alpha.max()
    if alpha.dtype.kind == "f" and not (least >= 0 and most <= 1):  # NaN is neither
        raise InputError(f"alpha: from {least:g} to {most:g}; give floats in [0, 1], or uint8")


def load_head(path: str | Path, net: P3MNet) -> tuple[QualityHead, int]:
    """Load a quality head in `eval()` mode; also return the shorter side of the images that it judges.

    Raises:
        InputError: no such file, or a checkpoint of something else.
    """
    checkpoint = read_checkpoint(path)
    model: Any = checkpoint.config["model"]
    if model["name"] != NAME:
        raise InputError(f"{path}: holds a network called {model['name']}; give a checkpoint of p3m quality train")
    with torch.random.fork_rng(devices=[]):  # its random weights are replaced at once
        head = create_head(net, model["width"])
    load_strictly(head, checkpoint.state, str(path))
    return head.eval(), int(model["short_side"])


def judge_folder(
    judge: Judge, mattes: str | Path, photographs: str | Path
) -> Iterator[tuple[str, Quality | InputError]]:
    """Judge the mattes of a folder one after another, each beside the photograph of the same stem.

    Yields:
        The name, and the quality or the error of its files.

    Raises:
        InputError: a folder is missing or empty, or two files of one share their stem.
    """
    pictures = images_by_stem(photographs)
    for name, path in sorted(images_by_stem(mattes).items()):
        if name not in pictures:
            yield name, InputError(f"no photograph in {photographs}")
            continue
        try:
            yield name, judge(read_image(pictures[name]), read_matte(path))
        except InputError as error:
            yield name, error


def error_picture(image: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return the image, uint8 (H, W, 3), in gray, with errors (h, w) in [0, 1] drawn over it in red."""
    height, width = image.shape[:2]
    strength = np.clip(cv2.resize(errors, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)[..., None]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    paled = np.repeat(96 + 0.6 * grey, 3, axis=2)
    return to_uint8(np.rint(paled * (1 - strength) + np.array([224, 16, 32]) * strength).astype(np.uint8))
