"""The data sets of the field by name: layout, size, license, and where to get them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Split:
    """One part of a data set."""

    folders: tuple[str, ...]  # below the root; the first that exists is used
    count: int | None = None  # images it is published with


@dataclass(frozen=True)
class DatasetCard:
    """Facts about a data set, known before it is read; folder names are tried in order, below the split's folder."""

    title: str
    splits: dict[str, Split]
    size: str
    license: str
    source: str
    image: tuple[str, ...] = ("original",)
    alpha: tuple[str, ...] = ("mask",)
    trimap: tuple[str, ...] = ("trimap",)
    face: tuple[str, ...] = ("facemask",)
    background: tuple[str, ...] = ("bg",)
    foreground: tuple[str, ...] = ("fg",)
    foreground_of: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by image folder, before `foreground`
    labels: str = "matte"  # one of schema.LABELS
    images_only: bool = False
    nested: bool = False  # images lie in subfolders
    stems: str | None = None  # pattern of the published files' names, without suffix


_P3M_IMAGE = ("blurred_image", "original_image")
_P3M_FOREGROUND_OF: dict[str, tuple[str, ...]] = {"blurred_image": ("fg_blurred",)}
_P3M_SPLITS = {
    "train": Split(("train",), 9421),
    "P3M-500-P": Split(("validation/P3M-500-P", "P3M-500-P"), 500),
    "P3M-500-NP": Split(("validation/P3M-500-NP", "P3M-500-NP"), 500),
}

DATASETS = {
    "p3m-10k": DatasetCard(
        title="P3M-10k: portraits with blurred faces (Li et al., ACM MM 2021; Ma et al., IJCV 2023)",
        splits=_P3M_SPLITS,
        size="10,421 portraits of about 1.7 megapixels; 9,421 for training, 500 blurred and 500 not blurred for tests",
        license="MIT (release agreement)",
        source="https://github.com/JizhiziLi/P3M (2021), https://github.com/ViTAE-Transformer/P3M-Net (2024: with "
        "foregrounds, backgrounds and face masks); Google Drive or Baidu, after reading the agreement",
        image=_P3M_IMAGE,
        foreground_of=_P3M_FOREGROUND_OF,
        stems=r"p_[0-9a-f]{8}",
    ),
    "synthetic": DatasetCard(
        title="procedural portraits of this package, in the layout of P3M-10k",
        splits={name: Split(split.folders) for name, split in _P3M_SPLITS.items()},
        size="as many as requested",
        license="MIT, like this package",
        source="p3m data synthesize DIR",
        image=_P3M_IMAGE,
        foreground_of=_P3M_FOREGROUND_OF,
    ),
    "am-2k": DatasetCard(
        title="AM-2k: animals (Li et al., IJCV 2022)",
        splits={"train": Split(("train",), 1800), "validation": Split(("validation",), 200)},
        size="2,000 animals of 20 kinds, shorter side at least 1,080",
        license="MIT (release agreement)",
        source="https://github.com/JizhiziLi/GFM",
    ),
    "bg-20k": DatasetCard(
        title="BG-20k: backgrounds without salient objects (Li et al., IJCV 2022)",
        splits={"train": Split(("train",), 15000), "testval": Split(("testval",), 5000)},
        size="20,000 photographs, shorter side at least 1,080",
        license="MIT (release agreement)",
        source="https://github.com/JizhiziLi/GFM",
        image=("",),
        images_only=True,
    ),
    "ppm-100": DatasetCard(
        title="PPM-100: photographic portraits (Ke et al., AAAI 2022)",
        splits={"test": Split(("", "val"), 100)},
        size="100 portraits between 1080p and 4k",
        license="photographs under Flickr's Creative Commons, mattes CC BY-NC-SA 4.0",
        source="https://github.com/ZHKKKe/PPM",
        image=("image", "fg"),
        alpha=("matte", "alpha"),
    ),
    "aim-500": DatasetCard(
        title="AIM-500: natural objects, opaque, transparent and without salient object (Li et al., IJCAI 2021)",
        splits={"test": Split(("validation", ""), 500)},
        size="500 photographs, 100 of them portraits",
        license="MIT (release agreement)",
        source="https://github.com/JizhiziLi/AIM",
    ),
    "rwp-636": DatasetCard(
        title="RWP / RealWorldPortrait-636 (Yu et al., CVPR 2021)",
        splits={"test": Split(("",), 636)},
        size="636 portraits, the longer side from 650 to 6,000",
        license="research only, by the repository's terms; look before you use it",
        source="https://github.com/yucornetto/MGMatting",
        image=("image",),
        alpha=("alpha",),
    ),
    "ffhq": DatasetCard(
        title="FFHQ: aligned faces, no mattes (Karras et al., CVPR 2019)",
        splits={"train": Split(("images1024x1024", ""), 70000)},
        size="70,000 PNG of 1024 x 1024, 89 GB",
        license="the collection CC BY-NC-SA 4.0; the photographs under their own Creative Commons licenses",
        source="https://github.com/NVlabs/ffhq-dataset",
        image=("",),
        images_only=True,
        nested=True,
    ),
    "images": DatasetCard(
        title="your own photographs, no mattes",
        splits={"train": Split(("",))},
        size="yours",
        license="yours",
        source="any folder of photographs, searched recursively",
        image=("",),
        images_only=True,
        nested=True,
    ),
    "folder": DatasetCard(
        title="your own images and mattes, paired by stem",
        splits={"train": Split(("train", "")), "test": Split(("test", "validation", ""))},
        size="yours",
        license="yours",
        source="two folders side by side, images in `image`, mattes in `alpha` (or another of the usual names)",
        image=("image", "images", "original", "original_image", "blurred_image"),
        alpha=("alpha", "alphas", "matte", "mattes", "mask", "masks"),
        foreground_of={"blurred_image": ("fg_blurred",)},
    ),
}

TERMS = {
    "imagenet-1k": "terms of access: non-commercial research and education; the photographs are other people's",
    "coco": "annotations CC BY 4.0; the photographs under their own terms at Flickr, look at those",
    "adobe-composition-1k": "by agreement with its authors, for research only",
    "distinctions-646": "on request from its authors; look at their terms",
}
"""Terms of data sets that published weights were trained on and that this package does not read."""
