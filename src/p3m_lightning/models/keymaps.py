"""Mapping of the names in published weights files to ours: one explicit, strict table per network.

A map is an ordered list of (pattern, replacement): the first pattern that matches a whole key of the file applies; its
replacement is our key, and `None` drops the entry. A key that no pattern matches is an error, and so is an entry of
ours that remains unfilled. Two keys of a file may map to one of ours; then their values must be equal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

Rules = tuple[tuple[str, str | None], ...]
"""(regular expression of a whole foreign key, our key); None drops the entry."""


@dataclass(frozen=True)
class KeyMap:
    """One layout of weights."""

    rules: tuple[tuple[str, str | None], ...]  # regular expression of a whole foreign key -> our key
    optional: str | None = None  # regular expression of our keys that the file may lack
    widened: str | None = None  # our key whose additional input channels, absent from the file, start at zero

    def translate(self, keys: Iterable[str]) -> dict[str, str | None]:
        """Return our name of every known foreign key, or `None` if it is dropped."""
        names = {}
        for key in keys:
            for pattern, replacement in self.rules:
                match = re.fullmatch(pattern, key)
                if match:
                    names[key] = None if replacement is None else match.expand(replacement)
                    break
        return names

    def may_lack(self, key: str) -> bool:
        """Return whether the file may lack our `key`."""
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


def _mobilenet(prefix: str) -> Rules:
    """Return rules for MobileNetV2 with flat blocks, nested in torchvision; `prefix` is a pattern before "features"."""
    features = prefix + r"features\."
    return (
        (features + r"(0|18)\.(.*)", r"backbone.\1.\2"),
        (features + r"1\.conv\.([01])\.(.*)", r"backbone.1.conv.0.\1.\2"),  # the first block has no expansion
        (features + r"1\.conv\.3\.(.*)", r"backbone.1.conv.1.\1"),
        (features + r"1\.conv\.4\.(.*)", r"backbone.1.conv.2.\1"),
        (features + r"(\d+)\.conv\.([01])\.(.*)", r"backbone.\1.conv.0.\2.\3"),
        (features + r"(\d+)\.conv\.3\.(.*)", r"backbone.\1.conv.1.0.\2"),
        (features + r"(\d+)\.conv\.4\.(.*)", r"backbone.\1.conv.1.1.\2"),
        (features + r"(\d+)\.conv\.6\.(.*)", r"backbone.\1.conv.2.\2"),
        (features + r"(\d+)\.conv\.7\.(.*)", r"backbone.\1.conv.3.\2"),
    )


_MODNET: Rules = (
    *_mobilenet(r"(?:lr_branch\.)?backbone\.model\."),  # a branch contains the backbone a second time
    (r"lr_branch\.se_block\.(.*)", r"low.weigh.\1"),
    (r"lr_branch\.conv_lr(16x|8x)\.layers\.(.*)", r"low.to\1.\2"),
    (r"lr_branch\.conv_lr\.layers\.0\.(.*)", r"low.head.\1"),
    (r"hr_branch\.tohr_(enc[24]x)\.layers\.(.*)", r"high.from_\1.\2"),
    (r"hr_branch\.conv_enc2x\.layers\.(.*)", r"high.halve.\1"),
    (r"hr_branch\.conv_enc4x\.layers\.(.*)", r"high.mix4x.\1"),
    (r"hr_branch\.conv_hr([24]x)\.(\d)\.layers\.(.*)", r"high.stage\1.\2.\3"),
    (r"hr_branch\.conv_hr\.0\.layers\.(.*)", r"high.head.0.\1"),
    (r"hr_branch\.conv_hr\.1\.layers\.0\.(.*)", r"high.head.1.\1"),
    (r"f_branch\.conv_lr4x\.layers\.(.*)", r"fusion.from_low.\1"),
    (r"f_branch\.conv_f2x\.layers\.(.*)", r"fusion.join.\1"),
    (r"f_branch\.conv_f\.0\.layers\.(.*)", r"fusion.head.0.\1"),
    (r"f_branch\.conv_f\.1\.layers\.0\.(.*)", r"fusion.head.1.\1"),
)
_MOBILENET_FLAT: Rules = _mobilenet("")  # where the MODNet authors start: a human segmentation network's backbone
_MOBILENET_TORCHVISION: Rules = (
    (r"classifier\..*", None),
    (r"features\.((?:0|18)\..*)", r"backbone.\1"),
    (r"features\.(\d+\.conv\.[0-3]\..*)", r"backbone.\1"),
)

_GFM_DECODERS: Rules = (
    (r"psp_module\.stages\.(\d)\.1\.(.*)", r"glance.psp.project.\1.\2"),
    (r"psp_module\.bottleneck\.(.*)", r"glance.psp.merge.\1"),
    *((rf"psp{stage + 1}\.(.*)", rf"glance.context.{stage}.\1") for stage in range(4)),
    (r"decoder(\d)_g\.(.*)", r"glance.stages.\1.\2"),
    (r"bridge_block\.(.*)", r"focus.bridge.\1"),
    (r"decoder(\d)_f\.(.*)", r"focus.stages.\1.\2"),
)
_GFM_R34: Rules = (
    (r"resnet\.fc\..*", None),  # the classifier
    (r"resnet\.(.*)", r"encoder.\1"),
    (r"encoder0\.0\.(.*)", r"encoder.conv1.\1"),  # the encoder a second time
    (r"encoder0\.1\.(.*)", r"encoder.bn1.\1"),
    (r"encoder1\.1\.(.*)", r"encoder.layer1.\1"),
    (r"encoder([234])\.(.*)", r"encoder.layer\1.\2"),
    *_GFM_DECODERS,
)
_GFM_D121: Rules = (
    (r"densenet\.(?:classifier|features\.norm5)\..*", None),  # used by nothing
    (r"densenet\.features\.(.*)", r"encoder.features.\1"),
    (r"encoder0\.0\.(.*)", r"encoder.features.conv0.\1"),  # the encoder a second time
    (r"encoder0\.1\.(.*)", r"encoder.features.norm0.\1"),
    (r"encoder([1-4])\.0\.(.*)", r"encoder.features.denseblock\1.\2"),
    (r"encoder([1-3])\.1\.(.*)", r"encoder.features.transition\1.\2"),
    (r"encoder4\.1\.(.*)", r"encoder.reduce.0.\1"),
    (r"encoder4\.2\.(.*)", r"encoder.reduce.1.\1"),
    *_GFM_DECODERS,
)
_DENSENET_TORCHVISION: Rules = (
    (r"classifier\..*|features\.norm5\..*", None),
    # its file says norm.1 where its module says norm1
    (r"features\.(denseblock\d\.denselayer\d+\.(?:norm|conv))\.?([12])\.(.*)", r"encoder.features.\1\2.\3"),
    (r"features\.((?:conv0|norm0|transition\d)\..*)", r"encoder.features.\1"),
)


def _pixel_level_module(prefix: str) -> Rules:
    """Return rules for Mask2Former's pixel-level module of transformers 4; `prefix` is a pattern before its names."""
    blocks = prefix + r"encoder\.(encoder\.layers\.\d\.blocks\.\d+\.)"
    swin = r"pixels.encoder.swin."
    return (
        (blocks + r"attention\.self\.relative_position_index", None),  # made when needed
        (blocks + r"attention\.self\.(relative_position_bias_table)", swin + r"\1attention.relative_position_bias.\2"),
        (blocks + r"attention\.self\.query\.(.*)", swin + r"\1attention.q_proj.\2"),
        (blocks + r"attention\.self\.key\.(.*)", swin + r"\1attention.k_proj.\2"),
        (blocks + r"attention\.self\.value\.(.*)", swin + r"\1attention.v_proj.\2"),
        (blocks + r"attention\.output\.dense\.(.*)", swin + r"\1attention.o_proj.\2"),
        (blocks + r"intermediate\.dense\.(.*)", swin + r"\1mlp.fc1.\2"),
        (blocks + r"output\.dense\.(.*)", swin + r"\1mlp.fc2.\2"),
        (prefix + r"encoder\.((?:embeddings|encoder)\..*)", swin + r"\1"),
        (prefix + r"encoder\.(hidden_states_norms\..*)", r"pixels.encoder.\1"),
        (prefix + r"(decoder\..*)", r"pixels.\1"),
    )


_STYLEMATTE: Rules = (
    *_pixel_level_module(r"pixel_decoder\."),
    (r"fpn\.conv1x1\.(.*)", r"fpn.lateral.\1"),
    (r"fpn\.smooth_conv\.[012]\.(.*)", r"fpn.smooth.\1"),  # one convolution under three names
    (r"fpn\.conv_fusion\.(.*)", r"fpn.fuse.\1"),
    (r"conv\.(.*)", r"head.\1"),
)
_MASK2FORMER: Rules = (  # where the StyleMatte authors start: transformers' Mask2Former with Swin-T
    (r"(?:model\.transformer_module|class_predictor|criterion)\..*", None),
    *_pixel_level_module(r"model\.pixel_level_module\."),
)
_SWINV2: Rules = (  # transformers' Swin-v2 image classifier
    (r"classifier\..*|swinv2\.layernorm\..*", None),
    (r"swinv2\..*\.relative_(?:coords_table|position_index)", None),  # made when needed
    (r"swinv2\.((?:embeddings|encoder)\..*)", r"pixels.encoder.\1"),
)

_VITMATTE_TRANSFORMERS: Rules = (  # as on the hub
    (r"(backbone\.(embeddings|encoder)\..*)", r"network.\1"),
    (r"(decoder\.(convstream|fusion_blocks|matting_head)\..*)", r"network.\1"),
)

_VITMATTE: Rules = (
    (r"backbone\.pos_embed", r"network.backbone.embeddings.position_embeddings"),
    (r"backbone\.patch_embed\.proj\.(.*)", r"network.backbone.embeddings.projection.\1"),
    (r"backbone\.blocks\.(\d+)\.attn\.(.*)", r"network.backbone.encoder.layer.\1.attention.\2"),
    (r"backbone\.blocks\.(\d+)\.(.*)", r"network.backbone.encoder.layer.\1.\2"),
    (r"decoder\.fusion_blks\.(\d)\.conv\.bn\.(.*)", r"network.decoder.fusion_blocks.\1.conv.batch_norm.\2"),
    (r"decoder\.fusion_blks\.(\d)\.(.*)", r"network.decoder.fusion_blocks.\1.\2"),
    (r"decoder\.convstream\.convs\.(\d)\.bn\.(.*)", r"network.decoder.convstream.convs.\1.batch_norm.\2"),
    (r"decoder\.(convstream|matting_head)\.(.*)", r"network.decoder.\1.\2"),
)

_VIT: Rules = (  # plain vision transformers: DINO's, MAE's, timm's
    (r"cls_token|(?:norm|fc_norm|head)\..*", None),
    (r"pos_embed", r"network.backbone.embeddings.position_embeddings"),
    (r"patch_embed\.proj\.(.*)", r"network.backbone.embeddings.projection.\1"),
    (r"blocks\.(\d+)\.attn\.(.*)", r"network.backbone.encoder.layer.\1.attention.\2"),
    (r"blocks\.(\d+)\.(.*)", r"network.backbone.encoder.layer.\1.\2"),
)

_VGG_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # places in torchvision's `features`

_VGG16_TORCHVISION: Rules = (
    *((rf"features\.{place}\.(.*)", rf"encoder.convs.{k}.\1") for k, place in enumerate(_VGG_CONVOLUTIONS)),
    (r"classifier\.0\.(.*)", r"encoder.fc6.\1"),
    (r"classifier\.[36]\..*", None),
)

_VITMATTE_FILES = (KeyMap(_VITMATTE_TRANSFORMERS), KeyMap(_VITMATTE))

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
    "modnet": (KeyMap(_MODNET),),
    "gfm_r34_tt": (KeyMap(_GFM_R34),),
    "gfm_d121_tt": (KeyMap(_GFM_D121),),
    "stylematte": (KeyMap(_STYLEMATTE),),
    "vitmatte_small": _VITMATTE_FILES,
    "vitmatte_base": _VITMATTE_FILES,
}
"""Registry name -> layouts of its authors' checkpoints; the first that knows all keys of a file is used."""

_RESNET_IMAGENET = KeyMap(  # torchvision's resnet34
    ((r"fc\..*", None), (r"((conv1|bn1|layer\d)\..*)", r"encoder.\1")),
    optional=rf"{_DECODERS}|.*\.num_batches_tracked",
)
_MODNET_OWN = r"(low|high|fusion)\..*|.*\.num_batches_tracked"
_STYLEMATTE_HEADS = r"(fpn|head|upsampler)\..*"

_VIT_IMAGENET = KeyMap(  # DINO's and MAE's: no relative positions, no residual convolutions, no channel for the trimap
    _VIT,
    optional=r"network\.(decoder|backbone\.encoder\.layer\.\d+\.(attention\.rel_pos_[hw]|residual))\b.*",
    widened="network.backbone.embeddings.projection.weight",
)

ENCODER_MAPS: dict[str, tuple[KeyMap, ...]] = {
    "p3mnet_r34": (_RESNET_IMAGENET,),
    "basic": (_RESNET_IMAGENET,),
    "p3mnet_swin_t": (
        KeyMap(((r"head\..*", None), *_SWIN_POOLING), optional=_DECODERS),  # the P3M authors' own
        KeyMap(  # Microsoft's and timm's: their patch embedding and merging have no counterpart, so ours are unchanged
            ((r"head\..*", None), (r"patch_embed\..*", None), (r"layers\.\d\.downsample\..*", None), *_SWIN_BLOCKS),
            optional=rf"encoder\.(stem|merges)\..*|{_DECODERS}",
        ),
    ),
    "p3mnet_vitae_s": (KeyMap(_VITAE, optional=rf"{_VITAE_FEATURES}|{_DECODERS}"),),
    "modnet": (
        KeyMap(_MOBILENET_TORCHVISION, optional=_MODNET_OWN),
        KeyMap(_MOBILENET_FLAT, optional=_MODNET_OWN),
    ),
    "gfm_r34_tt": (_RESNET_IMAGENET,),
    "gfm_d121_tt": (
        KeyMap(_DENSENET_TORCHVISION, optional=rf"{_DECODERS}|encoder\.reduce\..*|.*\.num_batches_tracked"),
    ),
    "stylematte": (
        KeyMap(_MASK2FORMER, optional=_STYLEMATTE_HEADS),
        KeyMap(_SWINV2, optional=rf"pixels\.decoder\..*|{_STYLEMATTE_HEADS}"),
    ),
    "dim": (KeyMap(_VGG16_TORCHVISION, optional=r"encoder\.guide\..*|(decoder|refinement)\..*"),),
    "vitmatte_small": (_VIT_IMAGENET,),
    "vitmatte_base": (_VIT_IMAGENET,),
}
"""Registry name -> layouts of ImageNet weights for its encoder; the first that knows all keys of a file is used."""
