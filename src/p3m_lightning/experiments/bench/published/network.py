"""P3M-Net computed as it was published, to be measured against: the same weights and results, no short cuts."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import cast

import torch.nn.functional as nnf
from torch import Tensor, nn

from p3m_lightning.models.p3mnet import SBFI, MattingDecoder, P3MNet
from p3m_lightning.schema import EncoderFeatures


class PublishedDecoder(MattingDecoder):
    """The matting decoder in which every sBFI pools the full-size features again, and torch unpools."""

    def forward(self, features: EncoderFeatures, semantic_maps: Sequence[Tensor]) -> Tensor:
        """Return what `MattingDecoder.forward` returns."""
        detail = features.deepest
        for k in (4, 3, 2, 1, 0):
            if k < len(self.tfi):
                detail = self.tfi[k](semantic_maps[3 - k], detail, features.skips[k + 1])
            if k < len(self.sbfi):
                detail = self.sbfi[k](detail, nnf.max_pool2d(features.skips[0], 2, stride=2 ** (k + 1)))
            detail = nnf.max_unpool2d(self.stages[k](detail), features.indices[k], (2, 2))
        return self.head(detail)


def as_published(net: nn.Module) -> nn.Module:
    """Return a copy of a P3M-Net that computes as published; any other network comes back as a plain copy."""
    copy = deepcopy(net)
    if isinstance(copy, P3MNet):
        copy.matting.__class__ = PublishedDecoder
        for module in copy.matting.sbfi:
            cast("SBFI", module).step = 1  # its features come pooled to its own size
    return copy
