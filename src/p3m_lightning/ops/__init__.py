"""Pure functions on image tensors, below every network, loss, metric and data set."""

from p3m_lightning.ops.geometry import crop_to, pad_to_multiple, region_means, resize, resize_smooth, upsample
from p3m_lightning.ops.guided import fast_guided_filter, guided_filter
from p3m_lightning.ops.matting import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    composite,
    constant,
    fuse,
    impose_trimap,
    normalize,
    trimap_from_alpha,
    unpool,
)
from p3m_lightning.ops.morphology import elliptic_kernel

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "composite",
    "constant",
    "crop_to",
    "elliptic_kernel",
    "fast_guided_filter",
    "fuse",
    "guided_filter",
    "impose_trimap",
    "normalize",
    "pad_to_multiple",
    "region_means",
    "resize",
    "resize_smooth",
    "trimap_from_alpha",
    "unpool",
    "upsample",
]
