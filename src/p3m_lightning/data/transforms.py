"""From files to samples: multi-scale crops at the unknown band for training, whole images for evaluation."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import albumentations as A
import cv2
import numpy as np

from p3m_lightning.data.foreground_colors import estimate_layers
from p3m_lightning.data.storage.readers import SampleFiles
from p3m_lightning.data.windows import RULES, Window, check_rule, choose_side, choose_window
from p3m_lightning.images import from_unit
from p3m_lightning.ops import trimap_from_alpha
from p3m_lightning.schema import BACKGROUND, FOREGROUND, UNKNOWN, InputError

TARGETS = {"foreground": "image", "background": "image", "alpha": "mask", "face": "mask", "trimap": "mask"}
_CODES = np.zeros(256, np.uint8)
"""Trimap class -> its gray value while a trimap is resized like an image."""
_CODES[[BACKGROUND, UNKNOWN, FOREGROUND]] = 0, 128, 255
_CLASSES = {rule: np.full(256, UNKNOWN, np.uint8) for rule in RULES}
"""Rule of the crop -> class of every resized gray value, 0 to 255."""
_CLASSES["2021"][[0, 255]] = BACKGROUND, FOREGROUND
_CLASSES["2024"][:50], _CLASSES["2024"][181:] = BACKGROUND, FOREGROUND


class CropPlan(NamedTuple):
    """The draws of one training crop."""

    window: Window
    kernel: int  # side of the trimap's structuring element


class UnknownBandCrop(A.DualTransform):
    """Crop a square window, half of the time on the unknown band, and resize it: P3M's training crop (released code).

    An albumentations transform: it takes `image`, `alpha` and further targets, adds `trimap`, and draws its plan unless
    one is given as `plan`. The trimap is that of the whole matte, cut and resized, as the authors make it.

    Args:
        sides: sides of the window in pixels, equally likely; see `choose_side` for those that do not fit.
        size: side of the result.
        kernels: smallest and largest side of the trimap's structuring element, both included.
        p_unknown: probability of placing the window on an unknown pixel.
        rule: "2024": drawn pixel in the center, window shifted into the image, resized trimap split into classes at
            50 and 180; "2021": drawn pixel in the top left corner, all in-between values of the resized trimap unknown.
        p: probability of the whole transform, for albumentations.

    Raises:
        InputError: sides, kernels or rule that make no sense.
    """

    _targets = (A.core.type_definitions.Targets.IMAGE, A.core.type_definitions.Targets.MASK)

    class InitSchema(A.core.transforms_interface.BaseTransformInitSchema):
        """The arguments, as albumentations validates them."""

        sides: Sequence[int]
        size: int
        kernels: Sequence[int]
        p_unknown: float
        rule: str | int

    def __init__(
        self,
        sides: Sequence[int] = (512, 768, 1024),
        size: int = 512,
        kernels: Sequence[int] = (15, 30),
        p_unknown: float = 0.5,
        rule: str = "2024",
        p: float = 1.0,
    ) -> None:
        super().__init__(p=p)
        if not sides or min(*sides, size) < 1:
            raise InputError(f"crop: sides {list(sides)} and size {size} must be 1 or more")
        if len(kernels) != 2 or not 1 <= kernels[0] <= kernels[1]:
            raise InputError(f"crop.kernels: {list(kernels)}; give a smallest and a largest size")
        self.sides, self.size, self.kernels = tuple(sides), size, tuple(kernels)
        self.p_unknown = p_unknown
        self.rule = check_rule(rule)

    def draw(self, alpha: np.ndarray) -> CropPlan:
        """Draw the plan of one crop from the matte, uint8 or uint16 (H, W)."""
        generator = self.random_generator
        kernel = int(generator.integers(self.kernels[0], self.kernels[1] + 1))
        side = choose_side(alpha.shape, self.sides, self.rule, generator)
        on_unknown = generator.random() < self.p_unknown
        window = choose_window(alpha, side, kernel if on_unknown else None, self.rule, generator)
        return CropPlan(window, kernel)

    @property
    def targets_as_params(self) -> list[str]:
        """Return the targets that the draws depend on."""
        return ["alpha"]

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the plan of one call, unless it is given, and make the trimap of its window."""
        plan = data.get("plan") or self.draw(data["alpha"])
        return {"plan": plan, "trimap": self.trimap(data["alpha"], plan)}

    def apply_with_params(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Cut and resize every target and add the trimap."""
        return super().apply_with_params(params, *args, **kwargs) | {"trimap": params["trimap"]}

    def apply(self, img: np.ndarray, plan: CropPlan, **params: Any) -> np.ndarray:
        """Cut and resize one array (H, W[, 3])."""
        return resize_window(img[plan.window.slices], self.size)

    def trimap(self, alpha: np.ndarray, plan: CropPlan) -> np.ndarray:
        """Return the trimap of a crop, uint8 (size, size) of classes, from the whole matte."""
        trimap = trimap_of_window(alpha, plan.window, plan.kernel)
        if trimap.shape == (self.size, self.size):
            return trimap
        return cv2.LUT(resize_window(cv2.LUT(trimap, _CODES), self.size), _CLASSES[self.rule])


class EstimateForeground(A.DualTransform):
    """Estimate `foreground` and `background` of a crop from `image` and `alpha` by pymatting's multi-level method.

    Acts where `estimate` is true, that is, where there are no files of them.
    """

    _targets = (A.core.type_definitions.Targets.IMAGE, A.core.type_definitions.Targets.MASK)

    def apply_with_params(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Add the two layers, uint8 (h, w, 3)."""
        if not kwargs.get("estimate"):
            return kwargs
        layers = estimate_layers(kwargs["image"], kwargs["alpha"])
        return kwargs | dict(zip(("foreground", "background"), map(from_unit, layers), strict=True))


class TrainTransform:
    """Training samples: a crop at the unknown band, a flip, and any other albumentations transforms.

    The crop is drawn from the matte alone, so only its window of the other files need be read.

    Args:
        crop: the crop, configured with the numbers of the recipe.
        p_flip: probability of a left-right flip.
        compose: composition onto another background, such as `ComposeOnBackground`.
        augment: further albumentations transforms, applied to the crop; color transforms change image, foreground and
            background alike.
    """

    def __init__(
        self,
        crop: UnknownBandCrop | None = None,
        p_flip: float = 0.5,
        compose: A.BasicTransform | None = None,
        augment: Sequence[A.BasicTransform] = (),
    ) -> None:
        self.crop = crop or UnknownBandCrop()
        composed = [compose] if compose else []
        self.pipeline = A.Compose(
            [EstimateForeground(p=1), *composed, A.HorizontalFlip(p=p_flip), *augment],
            additional_targets=TARGETS,
            is_check_shapes=False,
        )

    def __call__(self, files: SampleFiles, seed: int) -> dict[str, np.ndarray]:
        """Read, cut and augment one sample; all draws follow from `seed`."""
        draws = np.random.default_rng(seed), random.Random(seed)
        self.crop.set_random_state(*draws)
        self.pipeline.set_random_state(*draws)
        alpha = files.alpha()
        plan = self.crop.draw(alpha)
        maps = {"alpha": alpha[plan.window.slices], **files.maps(alpha.shape, plan.window)}
        maps = {role: resize_window(pixels, self.crop.size) for role, pixels in maps.items()}
        return self.pipeline(**maps, trimap=self.crop.trimap(alpha, plan), plan=plan, estimate=files.estimate)


class EvalTransform:
    """Evaluation samples: the whole image, with the trimap of the data set or one made from the matte.

    Args:
        kernel: side of the structuring element where the data set has no trimap.
    """

    def __init__(self, kernel: int = 25) -> None:
        self.kernel = kernel

    def __call__(self, files: SampleFiles, seed: int) -> dict[str, np.ndarray]:
        """Read one sample; nothing is drawn."""
        alpha = files.alpha()
        trimap = files.trimap(alpha.shape)
        if trimap is None:
            trimap = trimap_from_alpha(alpha, self.kernel)
        return {"alpha": alpha, "trimap": trimap, **files.maps(alpha.shape)}


def trimap_of_window(alpha: np.ndarray, window: Window, kernel: int) -> np.ndarray:
    """Return the window (h, w) of the trimap of a whole matte, uint8 classes, without computing the rest.

    Args:
        alpha: uint8 or uint16 (H, W), full range.
        window: inside the matte.
        kernel: side of the structuring element.
    """
    reach = kernel // 2 + 1
    top, left = max(window.top - reach, 0), max(window.left - reach, 0)
    surroundings = alpha[top : window.top + window.height + reach, left : window.left + window.width + reach]
    inside = Window(window.top - top, window.left - left, window.height, window.width)
    return trimap_from_alpha(surroundings, kernel)[inside.slices]


def resize_window(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resize (h, w[, 3]) to (size, size[, 3]): bilinear, half-pixel centers, no antialiasing."""
    if pixels.shape[:2] == (size, size):
        return pixels
    return cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR)
