"""Composition onto other backgrounds, with steps that keep a network from telling composites from photographs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import albumentations as A
import cv2
import numpy as np

from p3m_lightning.data.loading.batches import Maps
from p3m_lightning.data.storage.layout import by_stem
from p3m_lightning.data.storage.readers import read_color
from p3m_lightning.schema import BACKGROUND, FOREGROUND, UNKNOWN, InputError

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_GAINS = (0.5, 2.0)


class ComposeOnBackground(A.DualTransform):
    """Composite the foreground of a crop over a photograph, after the composition route RSSN of GFM (IJCV 2022).

    Composites give themselves away by differences in resolution, sharpness and noise across the edge; so both layers
    are denoised together, the background is blurred as by a lens, and both get the same noise, each with a
    probability. Needs `foreground` and `alpha`, replaces `image` and `background`. Where there is no foreground but a
    mask (`own_colors`), the photograph's own colors are used, cut softly a little inside the mask.

    Args:
        backgrounds: folder of photographs, such as DIR/BG-20k/train; None never composes.
        p: probability of a composition.
        p_denoise: probability of denoising both layers (the authors: 0.5, with BM3D beforehand).
        denoise: color reach of the bilateral filter that denoises, in levels of 255.
        p_blur: probability of blurring the background (the authors: 0.5).
        blur: smallest and largest side of the box filter, in pixels (the authors: 20 to 60 of the whole image).
        p_noise: probability of noise (the authors: 0.5).
        noise: standard deviation of the noise, in levels of 255 (the authors: 10).
        match_brightness: how far the background's mean brightness is moved toward the foreground's, 0 to 1 (ours).
        augment: albumentations transforms of the background alone, before the rest.
        own_colors: where there is no foreground, use the image itself, its matte shrunk by this many pixels to avoid
            a rim of the old background; None refuses.

    Raises:
        InputError: no such folder or no images in it; also, at the first sample, if there is no foreground.
    """

    _targets = (A.core.type_definitions.Targets.IMAGE, A.core.type_definitions.Targets.MASK)

    def __init__(
        self,
        backgrounds: str | Path | None = None,
        p: float = 0.5,
        p_denoise: float = 0.5,
        denoise: float = 25,
        p_blur: float = 0.5,
        blur: tuple[int, int] = (20, 60),
        p_noise: float = 0.5,
        noise: float = 10,
        match_brightness: float = 0.5,
        augment: Sequence[A.BasicTransform] = (),
        own_colors: int | None = None,
    ) -> None:
        super().__init__(p=p if backgrounds else 0)
        if backgrounds and not Path(backgrounds).is_dir():
            raise InputError(f"compose.backgrounds: {backgrounds}: no such folder")
        self.files = sorted(by_stem(Path(backgrounds), nested=True).values()) if backgrounds else []
        self.p_denoise, self.denoise = p_denoise, denoise
        self.p_blur, self.blur = p_blur, tuple(blur)
        self.p_noise, self.noise = p_noise, noise
        self.match_brightness = match_brightness
        self.augment = A.Compose(list(augment))
        self.own_colors = own_colors

    def apply_with_params(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Replace image and background; the foreground changes only by denoising and noise."""
        foreground, alpha = self._layer(kwargs)
        background = random_part(read_color(self.py_random.choice(self.files)), foreground.shape[:2], self.py_random)
        self.augment.set_random_state(self.random_generator, self.py_random)
        background = self.augment(image=background)["image"]
        if self.py_random.random() < self.p_denoise:
            foreground, background = (cv2.bilateralFilter(x, 5, self.denoise, 2) for x in (foreground, background))
        if self.py_random.random() < self.p_blur:
            background = cv2.blur(background, 2 * (self.py_random.randint(*self.blur),))
        weight = (alpha / np.float32(np.iinfo(alpha.dtype).max))[..., None]
        background = background * brightness_gain(foreground, weight, background, self.match_brightness)
        layers = [foreground.astype(np.float32), background.astype(np.float32)]
        if self.py_random.random() < self.p_noise:
            grain = self.random_generator.normal(0, self.noise, foreground.shape).astype(np.float32)
            layers = [layer + grain for layer in layers]
        image = weight * layers[0] + (1 - weight) * layers[1]
        maps = dict(zip(("image", "foreground", "background"), (image, *layers), strict=True))
        return kwargs | {role: _rounded(layer) for role, layer in maps.items()}

    def _layer(self, maps: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Return the colors to lay over a background, and their matte."""
        if "foreground" in maps:
            return maps["foreground"], maps["alpha"]
        if self.own_colors is None:
            raise InputError("compose: there is no foreground to lay over a background; set foreground=cached or crop")
        return maps["image"], drawn_in(maps["alpha"], self.own_colors)


def lay_before(front: Maps, back: Maps, own_colors: int = 2) -> Maps:
    """Return a sample with two people: the one of `front` in front of the image of `back`.

    Args:
        front: maps (H, W[, 3]) of a sample: `image`, `alpha`, `trimap`; its `foreground` is used if it has one, else
            its image, shrunk as masks are.
        back: likewise, of the same size; its other maps are kept.
        own_colors: see `ComposeOnBackground`.

    Returns:
        the maps of `back`; the matte is that of both people, `foreground` and `background`, where both have them,
        compose to the image again.

    Raises:
        InputError: the sizes differ.
    """
    sizes = [maps["alpha"].shape for maps in (front, back)]
    if sizes[0] != sizes[1]:
        (height, width), (wanted_height, wanted_width) = sizes
        raise InputError(
            f"p_companion: a person of {width} x {height} pixels cannot stand in an image of {wanted_width} x"
            f" {wanted_height}; use a transform to one size, such as TrainTransform, or p_companion=0"
        )
    full = np.float32(np.iinfo(back["alpha"].dtype).max)
    ahead, behind = (maps["alpha"] / np.float32(np.iinfo(maps["alpha"].dtype).max) for maps in (front, back))
    colors, weight = front.get("foreground"), ahead[..., None]
    if colors is None:
        colors, weight = front["image"], drawn_in(front["alpha"], own_colors)[..., None] / np.float32(255)
    together = 1 - (1 - ahead) * (1 - behind)
    classes = np.stack([front["trimap"], back["trimap"]])
    known = np.where((classes == FOREGROUND).any(0), FOREGROUND, BACKGROUND)
    unknown = (classes == UNKNOWN).any(0) & (known != FOREGROUND)
    result = {
        "image": _rounded(weight * colors + (1 - weight) * back["image"]),
        "alpha": np.rint(together * full).astype(back["alpha"].dtype),
        "trimap": np.where(unknown, UNKNOWN, known).astype(back["trimap"].dtype),
    }
    if "foreground" in front and "foreground" in back:
        share = (ahead / np.maximum(together, 1e-6))[..., None]  # of the front in the colors of both
        result["foreground"] = _rounded(share * colors + (1 - share) * back["foreground"])
    if "face" in back:
        result["face"] = np.where(ahead > 0.5, front["face"], back["face"])
    return {**back, **result}


def drawn_in(mask: np.ndarray, pixels: int) -> np.ndarray:
    """Return a mask, uint8 (H, W), shrunk by `pixels` with a soft edge, to avoid a rim of its old background."""
    side = 2 * pixels + 1
    return cv2.GaussianBlur(cv2.erode(mask, np.ones((side, side), np.uint8)), (3, 3), 0.8)


def _rounded(colors: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(colors, 0, 255)).astype(np.uint8)


def random_part(image: np.ndarray, size: tuple[int, int], generator: random.Random) -> np.ndarray:
    """Cut a random part with the proportions of `size`, half to all of what fits, and resize it to `size` (H, W)."""
    scale = min(image.shape[0] / size[0], image.shape[1] / size[1]) * generator.uniform(0.5, 1)
    height, width = (max(1, int(side * scale)) for side in size)
    top = generator.randint(0, image.shape[0] - height)
    left = generator.randint(0, image.shape[1] - width)
    part = image[top : top + height, left : left + width]
    return cv2.resize(part, size[::-1], interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR)


def brightness_gain(foreground: np.ndarray, weight: np.ndarray, background: np.ndarray, strength: float) -> float:
    """Return the factor that moves the background's mean brightness toward the foreground's.

    Args:
        foreground: uint8 (H, W, 3).
        weight: float (H, W, 1) in [0, 1]; how much each pixel of the foreground counts.
        background: uint8 (H, W, 3).
        strength: 0 leaves it as it is, 1 makes it equal; the factor stays between 1/2 and 2.
    """
    if not weight.any():
        return 1.0
    wanted = float((foreground @ _LUMA * weight[..., 0]).sum() / weight.sum())
    found = float((background @ _LUMA).mean())
    return float(np.clip((wanted + 1) / (found + 1), *_GAINS)) ** strength
