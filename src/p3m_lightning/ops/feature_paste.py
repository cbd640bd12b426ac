"""Pasting the features of one face into another: the merge of feature-level copy and paste (P3M-CP)."""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from torch import Tensor


def paste_features(
    target_features: Tensor,
    source_features: Tensor,
    target_mask: Tensor,
    source_mask: Tensor,
    threshold: float = 0.5,
) -> Tensor:
    """Replace target features inside the face by source features, with the face centers aligned.

    Ma et al., Rethinking Portrait Matting with Privacy Preserving (IJCV 2023), P3M-CP at feature level. A feature is
    replaced where both faces are, after the source is moved by whole cells to align the centers of the boxes around
    both faces. Source features are detached.

    Args:
        target_features: (N, C, h, w).
        source_features: (N, C, h, w), or (1, C, h, w) for all targets.
        target_mask: (N, 1, H, W), 1 inside the target's face, 0 outside; h <= H, w <= W.
        source_mask: (N, 1, H, W) or (1, 1, H, W), the same for the source.
        threshold: share of a cell that must lie in the face.

    Returns:
        (N, C, h, w); a target is unchanged if either face is empty.
    """
    height, width = target_features.shape[-2:]
    inside, shift = pasted_region(target_mask, source_mask, (height, width), threshold)
    source = source_features.detach().to(target_features.dtype).expand_as(target_features)
    return torch.where(inside, _moved(source, shift), target_features)


def pasted_region(
    target_mask: Tensor, source_mask: Tensor, size: tuple[int, int], threshold: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Return the cells that `paste_features` replaces, bool (N, 1, h, w), and the moves (N, 2) in rows and columns."""
    target, source = (
        nnf.interpolate(m.float(), size=size, mode="area") > threshold for m in (target_mask, source_mask)
    )
    source = source.expand_as(target)
    shift = _box_center(target) - _box_center(source)
    shift = torch.round(shift).long()
    both_there = target.flatten(1).any(1) & source.flatten(1).any(1)
    return target & _moved(source, shift) & both_there.view(-1, 1, 1, 1), shift


def _box_center(masks: Tensor) -> Tensor:
    """Return the centers (N, 2) of the boxes around (N, 1, h, w) masks; arbitrary for empty ones."""
    centers = []
    for axis in (3, 2):  # reduce over columns to find rows, and vice versa
        line = masks.any(dim=axis).flatten(1).float()
        first, last = line.argmax(1), line.shape[1] - 1 - line.flip(1).argmax(1)
        centers.append((first + last) / 2)
    return torch.stack(centers, dim=1)


def _moved(maps: Tensor, shift: Tensor) -> Tensor:
    """Shift each of (N, C, h, w) by its own rows and columns (N, 2), filling with zeros."""
    batch, height, width = torch.arange(maps.shape[0], device=maps.device), *maps.shape[-2:]
    rows = torch.arange(height, device=maps.device) - shift[:, :1]  # (N, h)
    columns = torch.arange(width, device=maps.device) - shift[:, 1:]
    there = ((rows >= 0) & (rows < height)).unsqueeze(2) & ((columns >= 0) & (columns < width)).unsqueeze(1)
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    moved = maps.permute(0, 2, 3, 1)[batch.view(-1, 1, 1), rows.unsqueeze(2), columns.unsqueeze(1)]  # (N, h, w, C)
    return moved.permute(0, 3, 1, 2) * there.unsqueeze(1).to(maps.dtype)
