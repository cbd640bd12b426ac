"""The published checkpoints: addresses, licenses, and training data.

Facts as the authors' pages state them; what a page does not say is `None` here, never guessed.
Nothing is downloaded by this package: download a file by hand, then `p3m weights convert NAME FILE OUT.safetensors`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedCheckpoint:
    """One published weights file."""

    model: str  # registry name
    what: str  # as its authors call it
    address: str | None  # `None`: announced, never published
    license: str
    trained_on: tuple[str, ...]  # names of data sets; those of `data.DATASETS` where it is one of them
    source: str  # the page with these facts
    sha256: str | None = None  # 64 digits or the first ones, where published
    encoder_only: bool = False  # starting weights for `encoder_weights`, not a matting network
    recipe: str | None = None  # experiment whose file quotes the scores of these weights


_P3M = "https://github.com/JizhiziLi/P3M"
_P3M_NET = "https://github.com/ViTAE-Transformer/P3M-Net"
_GFM = "https://github.com/JizhiziLi/GFM"
_MODNET = "https://github.com/ZHKKKe/MODNet"
_STYLEMATTE = "https://github.com/chroneus/stylematte"
_VITMATTE = "https://github.com/hustvl/ViTMatte"
_P3M_BACKBONES = "https://drive.google.com/drive/folders/1sBRVgvFNtkZql1_ti_CxCgZs2O8U4RmW"
_MODNET_FOLDER = "https://drive.google.com/drive/folders/1umYmlCulvIFNaqPjwod1SayFmSRHziyR"
_STYLEMATTE_FOLDER = "https://drive.google.com/drive/folders/1mptFt_Mwl3UfQd-cyxsxRl-8tcYFnhLT"
_STYLEMATTE_LICENSE = "unclear: the file LICENSE is Apache-2.0, the README names a variant of CC BY-SA 4.0"
_COMPOSITION_1K = "adobe-composition-1k"
_DISTINCTIONS_646 = "distinctions-646"


def _vitmatte(size: str, data: str) -> PublishedCheckpoint:
    address = f"https://huggingface.co/hustvl/vitmatte-{size}-{data.removeprefix('adobe-')}"
    title = f"ViTMatte-{size[0].upper()}, {data}"
    return PublishedCheckpoint(f"vitmatte_{size}", title, address, "Apache-2.0 (the code: MIT)", (data,), _VITMATTE)


PUBLISHED: dict[str, PublishedCheckpoint] = {
    "p3mnet_r34": PublishedCheckpoint(
        "p3mnet_r34",
        "P3M-Net (ResNet-34)",
        "https://drive.google.com/uc?export=download&id=1smX2YQGIpzKbfwDYHAwete00a_YMwoG1",
        "MIT",
        ("p3m-10k",),
        _P3M,
        recipe="p3m_released",
    ),
    "p3mnet_swin_t": PublishedCheckpoint("p3mnet_swin_t", "P3M-Net (Swin-T)", None, "MIT", ("p3m-10k",), _P3M_NET),
    "p3mnet_vitae_s": PublishedCheckpoint(
        "p3mnet_vitae_s",
        "P3M-Net (ViTAE-S)",
        "https://drive.google.com/file/d/1QbSjPA_Mxs7rITp_a9OJiPeFRDwxemqK",
        "MIT",
        ("p3m-10k",),
        _P3M_NET,
        recipe="p3m_vitae_s",
    ),
    "modnet": PublishedCheckpoint(
        "modnet",
        "modnet_photographic_portrait_matting.ckpt",
        _MODNET_FOLDER,
        "Apache-2.0",
        ("unpublished portraits of the authors",),
        _MODNET,
    ),
    "modnet_webcam": PublishedCheckpoint(
        "modnet",
        "modnet_webcam_portrait_matting.ckpt",
        _MODNET_FOLDER,
        "Apache-2.0",
        ("unpublished portraits and webcam frames of the authors",),
        _MODNET,
    ),
    "gfm_r34_tt": PublishedCheckpoint(
        "gfm_r34_tt",
        "GFM(r)-TT",
        "https://drive.google.com/uc?export=download&id=1AdtoIdYTLsjXfVe_a50tin0cFwZMSz93",
        "MIT",
        ("am-2k",),
        _GFM,
    ),
    "gfm_d121_tt": PublishedCheckpoint(
        "gfm_d121_tt",
        "GFM(d)-TT",
        "https://drive.google.com/uc?export=download&id=1knbK5uU8AitE5OFpul9FXaQm47pZO0N8",
        "MIT",
        ("am-2k",),
        _GFM,
    ),
    "stylematte": PublishedCheckpoint(
        "stylematte",
        "stylematte_pure.pth",
        _STYLEMATTE_FOLDER,
        _STYLEMATTE_LICENSE,
        ("p3m-10k",),
        _STYLEMATTE,
        recipe="stylematte_released",
    ),
    "stylematte_synth": PublishedCheckpoint(
        "stylematte",
        "stylematte_synth.pth",
        _STYLEMATTE_FOLDER,
        _STYLEMATTE_LICENSE,
        ("p3m-10k", "portraits of StyleMatteGAN"),
        _STYLEMATTE,
    ),
    "vitmatte_small": _vitmatte("small", _COMPOSITION_1K),
    "vitmatte_small_646": _vitmatte("small", _DISTINCTIONS_646),
    "vitmatte_base": _vitmatte("base", _COMPOSITION_1K),
    "vitmatte_base_646": _vitmatte("base", _DISTINCTIONS_646),
    "resnet34_imagenet": PublishedCheckpoint(
        "p3mnet_r34",
        "ResNet-34 of torchvision, IMAGENET1K_V1",
        "https://download.pytorch.org/models/resnet34-b627a593.pth",
        "BSD-3-Clause",
        ("imagenet-1k",),
        "https://docs.pytorch.org/vision/stable/models.html",
        sha256="b627a593",  # torch.hub writes the first digits into the name
        encoder_only=True,
    ),
    "vgg16_imagenet": PublishedCheckpoint(
        "dim",
        "VGG-16 of torchvision, IMAGENET1K_V1",
        "https://download.pytorch.org/models/vgg16-397923af.pth",
        "BSD-3-Clause",
        ("imagenet-1k",),
        "https://docs.pytorch.org/vision/stable/models.html",
        sha256="397923af",  # torch.hub writes the first digits into the name
        encoder_only=True,
    ),
    "resnet34_p3m_imagenet": PublishedCheckpoint(
        "p3mnet_r34",
        "ResNet-34 with max-pooling, of the P3M authors",
        "https://drive.google.com/uc?export=download&id=18Pt-klsbkiyonMdGi6dytExQEjzBnHwY",
        "MIT",
        ("imagenet-1k",),
        _P3M,
        encoder_only=True,
    ),
    "swin_t_imagenet": PublishedCheckpoint(
        "p3mnet_swin_t",
        "swin_tiny_patch4_window7_224.pth of Microsoft",
        "https://github.com/SwinTransformer/storage/releases/download/v1.0.0/swin_tiny_patch4_window7_224.pth",
        "MIT",
        ("imagenet-1k",),
        "https://github.com/microsoft/Swin-Transformer",
        encoder_only=True,
    ),
    "swin_t_p3m_imagenet": PublishedCheckpoint(
        "p3mnet_swin_t",
        "Swin-T with max-pooling, of the P3M authors",
        _P3M_BACKBONES,
        "MIT",
        ("imagenet-1k",),
        _P3M_NET,
        encoder_only=True,
    ),
    "vitae_s_p3m_imagenet": PublishedCheckpoint(
        "p3mnet_vitae_s",
        "ViTAE-S with max-pooling, of the P3M authors",
        _P3M_BACKBONES,
        "MIT",
        ("imagenet-1k",),
        _P3M_NET,
        encoder_only=True,
    ),
    "mobilenet_v2_imagenet": PublishedCheckpoint(
        "modnet",
        "MobileNetV2 of torchvision, IMAGENET1K_V1",
        "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth",
        "BSD-3-Clause",
        ("imagenet-1k",),
        "https://docs.pytorch.org/vision/stable/models.html",
        sha256="b0353104",
        encoder_only=True,
    ),
    "mobilenet_v2_human_seg": PublishedCheckpoint(
        "modnet",
        "mobilenetv2_human_seg.ckpt, where the MODNet authors start",
        _MODNET_FOLDER,
        "not stated",
        ("human segmentation data of thuyngch/Human-Segmentation-PyTorch",),
        "https://github.com/ZHKKKe/MODNet/issues/77",
        encoder_only=True,
    ),
    "densenet121_imagenet": PublishedCheckpoint(
        "gfm_d121_tt",
        "DenseNet-121 of torchvision, IMAGENET1K_V1",
        "https://download.pytorch.org/models/densenet121-a639ec97.pth",
        "BSD-3-Clause",
        ("imagenet-1k",),
        "https://docs.pytorch.org/vision/stable/models.html",
        sha256="a639ec97",
        encoder_only=True,
    ),
    "vit_s_dino": PublishedCheckpoint(
        "vitmatte_small",
        "ViT-S/16 of DINO, where the authors of ViTMatte start",
        "https://dl.fbaipublicfiles.com/dino/dino_deitsmall16_pretrain/dino_deitsmall16_pretrain.pth",
        "Apache-2.0",
        ("imagenet-1k",),
        "https://github.com/facebookresearch/dino",
        encoder_only=True,
    ),
    "vit_b_mae": PublishedCheckpoint(
        "vitmatte_base",
        "ViT-B/16 of MAE, where the authors of ViTMatte start",
        "https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_base.pth",
        "CC BY-NC 4.0",
        ("imagenet-1k",),
        "https://github.com/facebookresearch/mae",
        encoder_only=True,
    ),
    "mask2former_coco": PublishedCheckpoint(
        "stylematte",
        "Mask2Former with Swin-T, COCO instances, where the StyleMatte authors start",
        "https://huggingface.co/facebook/mask2former-swin-tiny-coco-instance",
        '"other", says its card; the repository it comes from has been under CC BY-NC 4.0',
        ("imagenet-1k", "coco"),
        "https://huggingface.co/facebook/mask2former-swin-tiny-coco-instance",
        encoder_only=True,
    ),
    "swinv2_t_imagenet": PublishedCheckpoint(
        "stylematte",
        "Swin-v2-T, windows of 8, for encoder=swinv2_t",
        "https://huggingface.co/microsoft/swinv2-tiny-patch4-window8-256",
        "Apache-2.0",
        ("imagenet-1k",),
        "https://huggingface.co/microsoft/swinv2-tiny-patch4-window8-256",
        encoder_only=True,
    ),
}
"""Name for `p3m weights convert` -> checkpoint; the first of a network has its registry name."""
