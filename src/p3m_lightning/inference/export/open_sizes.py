"""Replacements for third-party code that stay correct at every size after torch's exporter has traced them at one.

Parts of `transformers` and `timm` decide in Python by size whether to pad, crop, or interpolate; a trace keeps only the
branch that the example took. Here each of these has a form without branches that computes the same numbers. They
replace the originals only during an export.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from operator import attrgetter
from typing import Any

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

Size = tuple[int, int]


@contextmanager
def open_sizes() -> Iterator[None]:
    """Replace the originals by the forms of `FORMS` meanwhile, in modules that are already imported.

    Attention is decomposed too: the memory layout of heads in the fused kernels differs from that of the exporter's
    own decomposition, whose views then fail.
    """
    with ExitStack() as replaced:
        replaced.enter_context(sdpa_kernel(SDPBackend.MATH))
        for module, forms in FORMS.items():
            if module in sys.modules:
                for name, form in forms.items():
                    replaced.enter_context(replaced_attribute(sys.modules[module], name, form))
        yield


@contextmanager
def replaced_attribute(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Set `owner.name`, which may be dotted, to `value` meanwhile."""
    *parents, last = name.split(".")
    owner = attrgetter(".".join(parents))(owner) if parents else owner
    before = vars(owner)[last]  # not getattr, which would unwrap a static method
    setattr(owner, last, value)
    try:
        yield
    finally:
        setattr(owner, last, before)


def pad_to_windows(layer: Any, maps: Tensor, height: int, width: int) -> tuple[Tensor, tuple[int, ...]]:
    """Pad (N, H, W, C) with zeros to multiples of the layer's window.

    Returns:
        (N, H', W', C), and a padding that makes the layer always crop back, which is harmless if there is nothing to
        crop.
    """
    return _pad_end(maps, height, width, int(layer.window_size)), (0, 0, 0, 1, 0, 1)


def pad_to_even(merging: nn.Module, maps: Tensor, height: int, width: int) -> Tensor:
    """Pad (N, H, W, C) with zeros to even sides."""
    return _pad_end(maps, height, width, 2)


def cell_centers(sizes: Sequence[Size], valid_ratios: Tensor, device: torch.device) -> Tensor:
    """Return the centers of the cells of all levels in each level, x and y in [0, 1], (N, cells, levels, 2).

    Avoids the `linspace` of the original, which divides by the number of steps and gives NaN where a level is one cell
    wide, as at 1/32 of an image of up to 32 pixels.

    Args:
        sizes: height and width of each level.
        valid_ratios: (N, levels, 2), all 1, since no image of a batch is padded to the size of others.
        device: of the result.
    """
    centers = []
    for height, width in sizes:
        y, x = ((torch.arange(n, dtype=valid_ratios.dtype, device=device) + 0.5) / n for n in (height, width))
        centers.append(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1))
    return torch.cat(centers)[None, :, None].expand(len(valid_ratios), -1, len(sizes), -1)


def sine_positions(
    shape: torch.Size,
    device: torch.device,
    dtype: torch.dtype,
    features: int,
    normalize: bool,
    scale: float,
    temperature: float,
    mask: None,
) -> Tensor:
    """Return the sine embedding of every cell, (N, 2 features, H, W).

    The last step is a reduction: the exporter takes a slice of dynamic length to be as long as the side.

    Args:
        shape: (N, C, H, W) of the maps.
        device: of the result.
        dtype: of the result.
        features: of each axis.
        normalize: True, as in every pixel decoder.
        scale: of the last row and column, in radians.
        temperature: of the wavelengths.
        mask: None, since no image of a batch is padded to the size of others.
    """
    count, _, height, width = shape
    number = torch.arange(features, device=device).to(dtype)
    wavelength = temperature ** (2 * torch.div(number, 2, rounding_mode="floor") / features)
    axes = []
    for side in (height, width):
        steps = torch.arange(1, side + 1, dtype=dtype, device=device)
        angles = (steps / (steps.amax(0) + 1e-6) * scale)[:, None] / wavelength
        axes.append(torch.stack((angles[:, 0::2].sin(), angles[:, 1::2].cos()), -1).flatten(1))
    rows, columns = axes[0][:, None].expand(-1, width, -1), axes[1][None].expand(height, -1, -1)
    return torch.cat((rows, columns), -1).permute(2, 0, 1).expand(count, -1, -1, -1)


def relative_positions(queries: int, keys: int, table: Tensor) -> Tensor:
    """Return the embeddings (n, n, C) of all pairs of positions along one side of n = `queries` = `keys`.

    Args:
        queries: n.
        keys: the same: maps attend to themselves.
        table: (L, C), from the farthest before to the farthest after; interpolated to 2 n - 1, which leaves one of that
            length unchanged.
    """
    resized = nnf.interpolate(table.T[None], size=2 * queries - 1, mode="linear")[0].T
    steps = torch.arange(queries, device=table.device)
    return resized[steps[:, None] - steps + queries - 1]


def _pad_end(maps: Tensor, height: int, width: int, unit: int) -> Tensor:
    # as quotients times the unit: from remainders the exporter cannot infer divisibility
    rows, columns = ((side + unit - 1) // unit * unit for side in (height, width))
    return nnf.pad(maps, (0, 0, 0, columns - width, 0, rows - height))


def conv_of_even_sides(
    maps: Tensor, weight: Tensor, bias: Tensor | None, stride: Size, padding: Size, dilation: Size, groups: int
) -> Tensor:
    """Convolve (N, C, H, W) with TensorFlow's padding, for sides divisible by the stride, as in our encoders.

    Then the padding is the same at every size; computed from the size, it makes expressions that grow with every layer
    and keep the exporter busy for an hour.
    """
    pads = [max(0, (k - 1) * d + 1 - s) for k, d, s in zip(weight.shape[-2:], dilation, stride, strict=True)]
    (top, left), (height, width) = (pad // 2 for pad in pads), pads
    padded = nnf.pad(maps, (left, width - left, top, height - top))
    return nnf.conv2d(padded, weight, bias, stride, 0, dilation, groups)


FORMS: Mapping[str, Mapping[str, Callable]] = {
    "transformers.models.swin.modeling_swin": {
        "SwinLayer.maybe_pad": pad_to_windows,
        "SwinPatchMerging.maybe_pad": pad_to_even,
    },
    "transformers.models.swinv2.modeling_swinv2": {
        "Swinv2Layer.maybe_pad": pad_to_windows,
        "Swinv2PatchMerging.maybe_pad": pad_to_even,
    },
    "transformers.models.mask2former.modeling_mask2former": {
        "Mask2FormerSinePositionEmbedding.build_sine_position_embedding": staticmethod(sine_positions),
        "Mask2FormerPixelDecoderEncoderOnly.get_reference_points": staticmethod(cell_centers),
    },
    "timm.layers.conv2d_same": {"conv2d_same": conv_of_even_sides},
    "transformers.models.vitdet.modeling_vitdet": {"get_rel_pos": relative_positions},
}
"""By module: the replaced functions and their replacements."""
