"""Encoders of timm by name: maps at strides 2 to 32 (or 4 to 32), with pooling indices for P3M-Net."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from p3m_lightning.models.blocks import conv_bn_relu, max_pool, scale_channels
from p3m_lightning.models.encoders.base import PoolingEncoder
from p3m_lightning.models.encoders.depthwise import keep_depthwise_in_float32
from p3m_lightning.models.encoders.pretrained import fill_backbone
from p3m_lightning.schema import EncoderFeatures, InputError

STRIDES = (2, 4, 8, 16, 32)
WIDEST = (64, 64, 64, 128, 256, 512)
"""Channels at strides 1 to 32 of the first P3M-Net (ResNet-34); wider encoders would only enlarge its decoders."""
SUCH_AS = "resnet50, tf_efficientnet_lite0, mobilenetv3_large_100, convnext_tiny and swinv2_tiny_window8_256 have them"


class HierarchicalEncoder(PoolingEncoder):
    """A timm network that halves its maps five times, with a stem of its own and index-keeping pools beside it.

    The stem makes the map at stride 1 and, by a second convolution, the one at stride 2 if the network begins at stride
    4. The indices are those of 2 x 2 max-pools over the skips, so unpooling restores the position where a skip is
    strongest; the maps of the network itself are not pooled. Takes images (N, 3, H, W)
    normalized by `mean` and `std`, H and W multiples of 32.

    Args:
        name: of timm, with a tag after a dot for the weights of one training, such as
            convnext_tiny.dinov3_lvd1689m.
        pretrained: source of the weights, see `fill_backbone`; None leaves them random.
        stem_width: channels at stride 1.
        decoder_width: maps with more than this times the channels of the first P3M-Net (64, 64, 64, 128, 256, 512) are
            projected to that number.

    Raises:
        InputError: an unknown name, maps at other strides, images of one size only; or as `fill_backbone` raises.
    """

    minimum_size = 32

    def __init__(self, name: str, pretrained: str | None = None, stem_width: int = 32, decoder_width: float = 1.0):
        super().__init__()
        self.name = name
        self.backbone, found = create_backbone(name)
        keep_depthwise_in_float32(self.backbone)
        widest = [scale_channels(widest, decoder_width, 8) for widest in WIDEST]
        half = found.get(2, min(found[4], 2 * stem_width))
        given = [stem_width, half, *(found[stride] for stride in STRIDES[1:])]
        self.channels = tuple(
            min(channels, most) // 2 * 2
            for channels, most in zip(given, widest, strict=True)  # later modules halve the channels
        )
        self.stem = conv_bn_relu(3, self.channels[0])
        self.stem2 = None if 2 in found else conv_bn_relu(self.channels[0], self.channels[1])
        self.projections = nn.ModuleList(
            nn.Identity() if found.get(stride, out) == out else _projection(found[stride], out)
            for stride, out in zip(STRIDES, self.channels[1:], strict=True)
        )
        self.channels_first = "NHWC" not in str(getattr(self.backbone, "output_fmt", None))
        self.mean, self.std = normalization(name)
        if pretrained is not None:
            fill_backbone(self.backbone, name, pretrained)
        verify_sizes(self, name)

    def forward(self, images: Tensor) -> EncoderFeatures:
        """Extract the features."""
        full = self.stem(images)
        maps = self.backbone(images)
        if not self.channels_first:
            maps = [m.permute(0, 3, 1, 2) for m in maps]
        if self.stem2 is not None:
            maps = [self.stem2(max_pool(full)[0]), *maps]
        maps = [project(m) for project, m in zip(self.projections, maps, strict=True)]
        skips = (full, *maps[:-1])
        return EncoderFeatures(maps[-1], skips, tuple(max_pool(skip)[1] for skip in skips))


def create_backbone(name: str) -> tuple[nn.Module, dict[int, int]]:
    """Build timm's network `name` with random weights, returning its maps at strides 4 to 32, and at 2 if it has one.

    Returns:
        The network, and the channels of its maps by stride.

    Raises:
        InputError: an unknown name, or maps at other strides.
    """
    import timm

    if not timm.is_model(name):
        near = get_close_matches(name.split(".")[0], timm.list_models(), n=4, cutoff=0.5)
        hint = f"closest: {', '.join(near)}" if near else "timm.list_models() lists them"
        raise InputError(f"model.encoder={name}: timm has no such network; {hint}")
    backbone = _features_only(name)
    info: Any = backbone.feature_info  # timm's `FeatureInfo`
    last = {stride: index for index, stride in enumerate(info.reduction())}
    if not set(STRIDES[1:]) <= set(last):
        strides = ", ".join(str(stride) for stride in sorted(last))
        raise InputError(
            f"model.encoder={name}: its maps have strides {strides}; 4, 8, 16 and 32 are needed, with or without 2:"
            f" {SUCH_AS}"
        )
    wanted = [stride for stride in STRIDES if stride in last]
    if wanted != info.reduction():
        backbone = _features_only(name, out_indices=tuple(last[stride] for stride in wanted))
        info = backbone.feature_info
    return backbone, dict(zip(wanted, info.channels(), strict=True))


def normalization(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and deviation of RGB channels that the weights of timm's network `name` expect.

    Raises:
        InputError: timm does not know them.
    """
    import timm

    settings = timm.get_pretrained_cfg(name)
    if settings is None:
        raise InputError(f"model.encoder={name}: timm has no mean and deviation for its images; {SUCH_AS}")
    return tuple(settings.mean), tuple(settings.std)


def verify_sizes(encoder: HierarchicalEncoder, name: str) -> None:
    """Check an encoder on a small image that is not square.

    Raises:
        InputError: it accepts only one size, or its maps have other sizes than announced.
    """
    was_training = encoder.training
    encoder.eval()
    try:
        with torch.no_grad():
            features = encoder(torch.zeros(1, 3, 64, 96))
        shapes = [m.shape[1:] for m in (*features.skips, features.deepest)]
    except (AssertionError, RuntimeError, ValueError):  # timm's messages are about its internals
        shapes = []
    encoder.train(was_training)
    expected = [(c, 64 // stride, 96 // stride) for c, stride in zip(encoder.channels, (1, *STRIDES), strict=True)]
    if [tuple(shape) for shape in shapes] != expected:
        raise InputError(f"model.encoder={name}: accepts one image size only; {SUCH_AS.replace('have them', 'do not')}")


def _features_only(name: str, **arguments: Any) -> nn.Module:
    import timm

    # window-based networks: accept any size by padding the last windows
    for options in ({"strict_img_size": False, **arguments}, arguments):
        try:
            return timm.create_model(name, features_only=True, pretrained=False, **options)
        except TypeError:
            continue
        except RuntimeError as error:
            raise InputError(f"model.encoder={name}: {str(error).splitlines()[0]}; {SUCH_AS}") from None
    raise InputError(f"model.encoder={name}: timm cannot return its feature maps; {SUCH_AS}")


def _projection(channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU())
