"""Types that every floor shares: trimap codes, samples, features, network outputs, and errors for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, NotRequired, TypedDict

if TYPE_CHECKING:  # so that the command line's help works without loading torch
    from torch import Tensor

BACKGROUND, UNKNOWN, FOREGROUND = 0, 1, 2
"""Trimap classes, in the order of the semantic logits; files hold 0, 128 and 255."""


LABELS = ("matte", "mask", "trimap")
"""Kinds of labels: a matte is true everywhere, a mask outside a band around its edge, a trimap in its known regions."""


class InputError(ValueError):
    """The caller's files, keys or arguments are wrong; the message names them and says what to do."""


class Sample(TypedDict):
    """One training or evaluation sample; the same keys hold a batch once collated."""

    image: Tensor  # float (3, H, W), RGB in [0, 1]
    alpha: Tensor  # float (1, H, W) in [0, 1]
    trimap: Tensor  # int64 (1, H, W): BACKGROUND, UNKNOWN, FOREGROUND
    name: str  # stem of the file
    foreground: NotRequired[Tensor]  # float (3, H, W), RGB in [0, 1]
    background: NotRequired[Tensor]  # float (3, H, W), RGB in [0, 1]
    face: NotRequired[Tensor]  # float (1, H, W), 1 inside the obfuscated face
    labels: NotRequired[Tensor]  # int64 (), index into LABELS; absent where all labels are mattes
    candidates: NotRequired[Tensor]  # float (K, H, W) in [0, 1]: mattes with faults, for the quality head
    before: NotRequired[MattingOutput]  # of the network before an adaptation; only in batches


class EncoderFeatures(NamedTuple):
    """Feature maps of an encoder whose pools keep their indices."""

    deepest: Tensor  # (N, channels[5], H/32, W/32)
    skips: tuple[Tensor, ...]  # five maps at strides 1, 2, 4, 8, 16: (N, channels[k], H/2^k, W/2^k)
    indices: tuple[Tensor, ...]  # index k leads from stride 2^(k+1) back to stride 2^k


class MattingOutput(NamedTuple):
    """Output of every network; only `alpha` is always present."""

    alpha: Tensor  # (N, 1, H, W) in [0, 1], the final matte
    semantic: Tensor | None = None  # P3M-Net: (N, 3, H, W) trimap logits
    detail: Tensor | None = None  # P3M-Net: (N, 1, H, W) in [0, 1], valid in the unknown region
    sides: tuple[Tensor, ...] = ()  # P3M-Net: (N, 3, H, W) trimap logits of dBFI 2, 1, 0


class Branches(NamedTuple):
    """The requested outputs of a network's two branches."""

    semantic: Tensor | None  # (N, 3, H, W), scores of background, unknown, foreground
    detail: Tensor | None  # (N, 1, H, W) in [0, 1], valid in the unknown region
