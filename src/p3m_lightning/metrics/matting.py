"""The metrics as a torchmetrics class, for training and evaluation in one or several processes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from p3m_lightning.metrics.definitions import FACE, IOU
from p3m_lightning.metrics.functional import CONVENTIONS, face_metrics, intersection_over_union
from p3m_lightning.metrics.report import Row, means, medians
from p3m_lightning.schema import InputError


class MattingMetrics(Metric):
    """Means over images of every metric of one convention.

    The state is a float64 sum and a count per key, added up over processes, so that any split of the images gives the
    same means. The values of single images are kept beside it as `local_rows`.

    Args:
        convention: a key of `functional.CONVENTIONS`: `p3m` or `adobe`.
        options: for `torchmetrics.Metric`.

    Raises:
        InputError: no such convention.
    """

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    sums: Tensor
    counts: Tensor

    def __init__(self, convention: str = "p3m", **options: object) -> None:
        super().__init__(**options)
        if convention not in CONVENTIONS:
            raise InputError(f"convention: {convention!r} is not one of {', '.join(CONVENTIONS)}")
        self.measure, definitions = CONVENTIONS[convention]
        self.metric_keys = tuple(dict.fromkeys((*definitions, *FACE, *IOU)))
        self.local_rows: list[Row] = []
        zeros = torch.zeros(len(self.metric_keys), dtype=torch.float64)
        self.add_state("sums", zeros, dist_reduce_fx="sum")
        self.add_state("counts", zeros.clone(), dist_reduce_fx="sum")

    def update(
        self,
        pred: Tensor,
        target: Tensor,
        trimap: Tensor | None = None,
        names: Sequence[str] | None = None,
        face: Tensor | None = None,
        exact: Tensor | None = None,
    ) -> None:
        """Measure the images of a batch.

        Args:
            pred: predicted mattes, float (N, 1, H, W) in [0, 1].
            target: true mattes, float (N, 1, H, W) in [0, 1].
            trimap: (N, 1, H, W) of classes 0, 1, 2; None leaves the region metrics out.
            names: N stems of files; numbers by default.
            face: masks (N, 1, H, W) in [0, 1]; adds the errors inside the face for images that have one.
            exact: bool (N, 1, H, W), where the target is a true matte and not the edge of a mask; only these count,
                except for `iou`, which is added for images with such an edge.

        Raises:
            InputError: shapes that differ, values out of range.
        """
        if names is None:
            names = [str(len(self.local_rows) + i) for i in range(len(pred))]
        for given, what in ((target, "target"), (trimap, "trimap"), (names, "names"), (face, "face"), (exact, "exact")):
            if given is not None and len(given) != len(pred):
                raise InputError(f"{what}: {len(given)} for a batch of {len(pred)} images")
        for i, name in enumerate(names):
            seen = pred[i] if exact is None else torch.where(exact[i], pred[i], target[i])
            values = self.measure(seen, target[i], None if trimap is None else trimap[i])
            if face is not None:
                values |= face_metrics(seen, target[i], face[i])
            if exact is not None and not exact[i].all():
                values |= {"iou": intersection_over_union(pred[i], target[i])}
            self.local_rows.append({"name": name, **values})
            self.sums += self.sums.new_tensor([values.get(key, 0.0) for key in self.metric_keys])
            self.counts += self.counts.new_tensor([key in values for key in self.metric_keys])

    def forward(self, *batch: Any, **named: Any) -> dict[str, float]:
        """Call `update`, and return the means of this batch alone."""
        before = len(self.local_rows)
        self.update(*batch, **named)
        return means(self.local_rows[before:])

    def compute(self) -> dict[str, float]:
        """Return the mean of every key over the images that have it; over all processes."""
        totals = zip(self.metric_keys, self.sums.tolist(), self.counts.tolist(), strict=True)
        return {key: total / count for key, total, count in totals if count}

    def median(self) -> dict[str, float]:
        """Return the median of every key over the images that have it; every process must call this."""
        return medians(self.rows())

    def rows(self) -> list[Row]:
        """Return `{"name", key: value}` for each image of all processes, by name; every process must call this."""
        parts: list[Any] = [self.local_rows]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            parts = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(parts, self.local_rows)
        return sorted(chain.from_iterable(parts), key=lambda row: row["name"])

    def reset(self) -> None:
        """Discard all images."""
        super().reset()
        self.local_rows = []
