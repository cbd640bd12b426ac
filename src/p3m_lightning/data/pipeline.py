"""Training samples made by albumentations alone: whole images through a list of its transforms."""

from __future__ import annotations

import random
from collections.abc import Sequence

import albumentations as A
import numpy as np

from p3m_lightning.data.storage.readers import SampleFiles
from p3m_lightning.data.transforms import TARGETS
from p3m_lightning.images import to_uint8
from p3m_lightning.ops import trimap_from_alpha
from p3m_lightning.schema import InputError


class PipelineTransform:
    """Send image, matte and layers through albumentations transforms together; make the trimap from the result.

    Mattes are masks to albumentations: give `mask_interpolation` wherever a step resizes or turns.

    Args:
        steps: the transforms in order; they must end in one fixed size, so that samples form batches.
        kernels: smallest and largest side of the trimap's structuring element, both included.

    Raises:
        InputError: no steps, or kernels that make no sense.
    """

    def __init__(self, steps: Sequence[A.BasicTransform], kernels: Sequence[int] = (15, 30)) -> None:
        if not steps:
            raise InputError(
                "transform.steps: the list is empty; include a crop at least, so that samples form batches"
            )
        if len(kernels) != 2 or not 1 <= kernels[0] <= kernels[1]:
            raise InputError(f"transform.kernels: {list(kernels)}; give a smallest and a largest size")
        self.kernels = tuple(kernels)
        self.pipeline = A.Compose(list(steps), additional_targets=TARGETS, is_check_shapes=False)

    def __call__(self, files: SampleFiles, seed: int) -> dict[str, np.ndarray]:
        """Read, cut and augment one sample; all draws follow from `seed`."""
        generator = np.random.default_rng(seed)
        kernel = int(generator.integers(self.kernels[0], self.kernels[1] + 1))
        self.pipeline.set_random_state(generator, random.Random(seed))
        alpha = to_uint8(files.alpha())
        maps = self.pipeline(alpha=alpha, estimate=files.estimate, **files.maps(alpha.shape))
        return maps | {"trimap": trimap_from_alpha(maps["alpha"], kernel)}
