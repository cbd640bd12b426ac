"""How the weight files of others name what we name differently: one visible, strict table per network.

A map is an ordered list of (pattern, replacement): the first pattern that matches the whole key of the file decides,
its replacement is our key, `None` drops the entry. A key that no pattern matches is an error, and so is an entry of
ours that nothing filled. Two keys of a file may lead to one of ours: then their values must be equal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from p3m_lightning.models import rival_keys as rivals


@dataclass(frozen=True)
class KeyMap:
    """One layout of weights."""

    rules: tuple[tuple[str, str | None], ...]  # regular expression of a whole foreign key -> our key
    optional: str | None = None  # regular expression of our keys that the file may lack
    widened: str | None = None  # our key whose further input channels, which the file has not, start at zero

    def translate(self, keys: Iterable[str]) -> dict[str, str | None]:
        """Return our name, or `None` for what is dropped, of every foreign key that is known."""
        names = {}
        for key in keys:
            for pattern, replacement in self.rules:
                match = re.fullmatch(pattern, key)
                if match:
                    names[key] = None if replacement is None else match.expand(replacement)
                    break
        return names

    def may_lack(self, key: str) -> bool:
        """Return whether the file may do without our `key`."""
        return self.optional is not None and re.fullmatch(self.optional, key) is not None


_P3M_DECODERS = (  # the same in the three published networks, below a prefix in two of them
    (r"(?:decoder\.)?decoder(\d)_g\.(.*)", r"semantic.stages.\1.\2"),
    (r"(?:decoder\.)?decoder_final_g\.(.*)", r"semantic.head.\1"),
    (r"(?:decoder\.)?dbfi_(\d)\.(.*)", r"semantic.dbfi.\1.\2"),
    (r"(?:decoder\.)?decoder(\d)_l\.(.*)", r"matting.stages.\1.\2"),
    (r"(?:decoder\.)?decoder_final_l\.(.*)", r"matting.head.\1"),
    (r"(?:decoder\.)?(tfi|sbfi)_(\d)\.(.*)", r"matting.\1.\2.\3"),
)
_DECODERS = r"(semantic|matting|glance|focus)\..*"

_SWIN_BLOCKS = (
    (r"(?:encoder\.)?layers\.\d\.blocks\.\d\.(attn_mask|attn\.relative_position_index)", None),  # made when needed
    (r"(?:encoder\.)?layers\.(\d)\.blocks\.(.*)", r"encoder.stages.\1.blocks.\2"),
    (r"(?:encoder\.)?norm\.(.*)", r"encoder.norm.\1"),
)
_SWIN_POOLING = (
    *_SWIN_BLOCKS,
    (r"(?:encoder\.)?patch_embed\.((?:proj\d|norm)\..*)", r"encoder.stem.\1"),
    (r"(?:encoder\.)?layers\.(\d)\.downsample\.((?:norm|linear)\..*)", r"encoder.merges.\1.\2"),
)
_VITAE = (
    (r"(?:encoder\.)?head\..*", None),  # the classifier
    (r"(?:encoder\.)?layers\.0\.NC\.\d+\.attn\.norm1\..*", None),  # used by nothing
    (r"(?:encoder\.)?layers\.0\.RC\.(.*)", r"encoder.stem.\1"),
    (r"(?:encoder\.)?layers\.1\.RC\.(.*)", r"encoder.merges.0.\1"),
    (r"(?:encoder\.)?layers\.2\.RC\.(.*)", r"encoder.merges.1.\1"),
    (r"(?:encoder\.)?layers\.3\.RC\.(.*)", r"encoder.merges.2.\1"),
    (r"(?:encoder\.)?layers\.(\d)\.NC\.(\d+)\.PCM\.(.*)", r"encoder.stages.\1.\2.convs.\3"),
    (r"(?:encoder\.)?layers\.0\.NC\.(\d+)\.attn\.w", r"encoder.stages.0.\1.attn.features"),
    (r"(?:encoder\.)?layers\.(\d)\.NC\.(.*)", r"encoder.stages.\1.\2"),
)
_VITAE_FEATURES = r"encoder\.stages\.0\.\d+\.attn\.features"  # the authors' files lack them

_VITMATTE = (KeyMap(rivals.VITMATTE_TRANSFORMERS), KeyMap(rivals.VITMATTE))

KEY_MAPS: dict[str, tuple[KeyMap, ...]] = {
    "p3mnet_r34": (
        KeyMap(
            (
                (r"resnet\.fc\..*", None),  # the classifier
                (r"resnet\.(.*)", r"encoder.\1"),
                (r"encoder0\.0\.(.*)", r"encoder.conv1.\1"),  # the encoder a second time
                (r"encoder0\.1\.(.*)", r"encoder.bn1.\1"),
                (r"encoder1\.0\.(.*)", r"encoder.layer1.\1"),
                (r"encoder([234])\.(.*)", r"encoder.layer\1.\2"),
                *_P3M_DECODERS,
            )
        ),
    ),
    "p3mnet_swin_t": (KeyMap((*_SWIN_POOLING, *_P3M_DECODERS)),),
    "p3mnet_vitae_s": (KeyMap((*_VITAE, *_P3M_DECODERS), optional=_VITAE_FEATURES),),
    "modnet": (KeyMap(rivals.MODNET),),
    "gfm_r34_tt": (KeyMap(rivals.GFM_R34),),
    "gfm_d121_tt": (KeyMap(rivals.GFM_D121),),
    "stylematte": (KeyMap(rivals.STYLEMATTE),),
    "vitmatte_small": _VITMATTE,
    "vitmatte_base": _VITMATTE,
}
"""Registry name -> layouts of its authors' checkpoints; the first that knows all keys of a file counts."""

_RESNET_IMAGENET = KeyMap(  # torchvision's resnet34
    ((r"fc\..*", None), (r"((conv1|bn1|layer\d)\..*)", r"encoder.\1")),
    optional=rf"{_DECODERS}|.*\.num_batches_tracked",
)
_MODNET_OWN = r"(low|high|fusion)\..*|.*\.num_batches_tracked"
_STYLEMATTE_HEADS = r"(fpn|head|upsampler)\..*"

_VIT = KeyMap(  # DINO's and MAE's: no relative positions, no residual convolutions, no channel for the trimap
    rivals.VIT,
    optional=r"network\.(decoder|backbone\.encoder\.layer\.\d+\.(attention\.rel_pos_[hw]|residual))\b.*",
    widened="network.backbone.embeddings.projection.weight",
)

ENCODER_MAPS: dict[str, tuple[KeyMap, ...]] = {
    "p3mnet_r34": (_RESNET_IMAGENET,),
    "basic": (_RESNET_IMAGENET,),
    "p3mnet_swin_t": (
        KeyMap(((r"head\..*", None), *_SWIN_POOLING), optional=_DECODERS),  # the P3M authors' own
        KeyMap(  # Microsoft's and timm's: their patch embedding and merging have no counterpart, ours stay as they are
            ((r"head\..*", None), (r"patch_embed\..*", None), (r"layers\.\d\.downsample\..*", None), *_SWIN_BLOCKS),
            optional=rf"encoder\.(stem|merges)\..*|{_DECODERS}",
        ),
    ),
    "p3mnet_vitae_s": (KeyMap(_VITAE, optional=rf"{_VITAE_FEATURES}|{_DECODERS}"),),
    "modnet": (
        KeyMap(rivals.MOBILENET_TORCHVISION, optional=_MODNET_OWN),
        KeyMap(rivals.MOBILENET_FLAT, optional=_MODNET_OWN),
    ),
    "gfm_r34_tt": (_RESNET_IMAGENET,),
    "gfm_d121_tt": (
        KeyMap(rivals.DENSENET_TORCHVISION, optional=rf"{_DECODERS}|encoder\.reduce\..*|.*\.num_batches_tracked"),
    ),
    "stylematte": (
        KeyMap(rivals.MASK2FORMER, optional=_STYLEMATTE_HEADS),
        KeyMap(rivals.SWINV2, optional=rf"pixels\.decoder\..*|{_STYLEMATTE_HEADS}"),
    ),
    "dim": (KeyMap(rivals.VGG16_TORCHVISION, optional=r"encoder\.guide\..*|(decoder|refinement)\..*"),),
    "vitmatte_small": (_VIT,),
    "vitmatte_base": (_VIT,),
}
"""Registry name -> the layouts of ImageNet weights for its encoder; the first that knows all keys of a file counts."""
