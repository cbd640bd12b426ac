"""From files to samples: multi-scale crops at the unknown band for training, whole images for evaluation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else the import asks the package index for a newer version

import albumentations as A
import cv2
import numpy as np
import torch

from p3m_lightning.data.readers import SampleFiles
from p3m_lightning.data.windows import Window, check_rule, choose_side, choose_window
from p3m_lightning.images import to_unit
from p3m_lightning.ops import trimap_from_alpha
from p3m_lightning.schema import BACKGROUND, FOREGROUND, UNKNOWN, Sample

_TARGETS = {"foreground": "image", "background": "image", "alpha": "mask", "face": "mask", "trimap": "mask"}
_CODES = np.array([0, 128, 255], np.uint8)


class CropPlan(NamedTuple):
    """The draws of one training crop."""

    window: Window
    kernel: int  # side of the trimap's structuring element


class UnknownBandCrop(A.DualTransform):
    """Cut a square window, half of the time on the unknown band, and resize it: P3M's training crop (released code).

    As an albumentations transform it takes `image`, `alpha` and further targets and adds `trimap`, made from the whole
    matte with a kernel of random size before the cut, as the authors do.

    Args:
        sides: sides of the window in pixels, drawn with equal probability.
        size: side of the result.
        kernels: smallest and largest side of the trimap's structuring element, both included.
        p_unknown: probability of drawing the place among the unknown pixels.
        rule: "2024": drawn pixel in the center, window pushed into the image, resized trimap cut into classes again at
            50 and 180; "2021": drawn pixel in the top left corner, all in-between values of the resized trimap unknown.
        p: probability of the whole transform, for albumentations.
    """

    _targets = (A.core.type_definitions.Targets.IMAGE, A.core.type_definitions.Targets.MASK)

    class InitSchema(A.core.transforms_interface.BaseTransformInitSchema):
        """Arguments as albumentations checks them."""

        sides: Sequence[int]
        size: int
        kernels: tuple[int, int]
        p_unknown: float
        rule: str | int

    def __init__(
        self,
        sides: Sequence[int] = (512, 768, 1024),
        size: int = 512,
        kernels: tuple[int, int] = (15, 30),
        p_unknown: float = 0.5,
        rule: str = "2024",
        p: float = 1.0,
    ) -> None:
        super().__init__(p=p)
        self.sides = tuple(sides)
        self.size = size
        self.kernels = tuple(kernels)
        self.p_unknown = p_unknown
        self.rule = check_rule(rule)

    def draw(self, alpha: np.ndarray) -> tuple[CropPlan, np.ndarray]:
        """Draw a plan for the matte `alpha` (H, W); also return the trimap (H, W) the place was drawn with."""
        generator = self.random_generator
        kernel = int(generator.integers(self.kernels[0], self.kernels[1] + 1))
        side = choose_side(alpha.shape, self.sides, self.rule, generator)
        on_unknown = bool(generator.random() < self.p_unknown)
        trimap = trimap_from_alpha(alpha, kernel)
        return CropPlan(choose_window(trimap, side, on_unknown, self.rule, generator), kernel), trimap

    def resize(self, pixels: np.ndarray) -> np.ndarray:
        """Resize a window (h, w[, 3]) to (size, size[, 3]), bilinear with half-pixel centers, not smoothed before."""
        if pixels.shape[:2] == (self.size, self.size):
            return pixels
        return cv2.resize(pixels, (self.size, self.size), interpolation=cv2.INTER_LINEAR)

    def resize_trimap(self, trimap: np.ndarray) -> np.ndarray:
        """Resize trimap classes (h, w) to (size, size) by the rule's thresholds."""
        codes = self.resize(_CODES[trimap])
        low, high = (50, 180) if self.rule == "2024" else (1, 254)
        classes = np.full(codes.shape, UNKNOWN, np.uint8)
        classes[codes < low] = BACKGROUND
        classes[codes > high] = FOREGROUND
        return classes

    @property
    def targets_as_params(self) -> list[str]:
        """What the draws depend on."""
        return ["alpha"]

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the plan of one call."""
        plan, trimap = self.draw(data["alpha"])
        return {"plan": plan, "whole_trimap": trimap}

    def apply_with_params(self, params: dict[str, Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Cut and resize every target and add the trimap."""
        result = super().apply_with_params(params, *args, **kwargs)
        result["trimap"] = self.resize_trimap(params["whole_trimap"][params["plan"].window.slices])
        return result

    def apply(self, img: np.ndarray, plan: CropPlan, **params: Any) -> np.ndarray:
        """Cut and resize one array (H, W[, 3])."""
        return self.resize(np.ascontiguousarray(img[plan.window.slices]))


class TrainTransform:
    """Training samples: a crop at the unknown band, a flip, and whatever else albumentations offers.

    Args:
        crop: the crop; its arguments are the recipe's numbers.
        p_flip: probability of a left-right flip.
        augment: further albumentations transforms, applied to the crop; color transforms change image, foreground and
            background alike.
    """

    def __init__(
        self,
        crop: UnknownBandCrop | None = None,
        p_flip: float = 0.5,
        augment: Sequence[A.BasicTransform] = (),
    ) -> None:
        self.crop = crop or UnknownBandCrop()
        self.pipeline = A.Compose(
            [self.crop, A.HorizontalFlip(p=p_flip), *augment], additional_targets=_TARGETS, is_check_shapes=False
        )

    def __call__(self, files: SampleFiles, seed: int) -> dict[str, np.ndarray]:
        """Read, cut and augment one sample; all draws follow from `seed`."""
        self.pipeline.set_random_seed(seed)
        alpha = files.alpha()
        return self.pipeline(alpha=alpha, **files.colors(alpha.shape))


class EvalTransform:
    """Evaluation samples: the whole image, with the trimap of the data set or one made from the matte.

    Args:
        kernel: side of the structuring element where no trimap came with the data set.
    """

    def __init__(self, kernel: int = 25) -> None:
        self.kernel = kernel

    def __call__(self, files: SampleFiles, seed: int) -> dict[str, np.ndarray]:
        """Read one sample; nothing is drawn."""
        alpha = files.alpha()
        trimap = files.trimap()
        if trimap is None:
            trimap = trimap_from_alpha(alpha, self.kernel)
        return {"alpha": alpha, "trimap": trimap, **files.colors(alpha.shape)}


def to_sample(maps: Mapping[str, np.ndarray], name: str) -> Sample:
    """Make a Sample of arrays: colors uint8 (H, W, 3), mattes uint8 or uint16 (H, W), trimap classes (H, W)."""
    sample: dict[str, Any] = {"name": name}
    for role, pixels in maps.items():
        if role == "trimap":
            sample[role] = torch.from_numpy(pixels.astype(np.int64))[None]
        elif pixels.ndim == 3:
            planes = torch.from_numpy(np.require(pixels, requirements=["C", "W"])).permute(2, 0, 1)
            sample[role] = planes.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
        else:
            sample[role] = torch.from_numpy(np.ascontiguousarray(to_unit(pixels)))[None]
    return sample
