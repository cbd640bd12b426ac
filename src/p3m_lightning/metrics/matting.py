"""The metrics as a torchmetrics class, for training and evaluation in one or several processes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from numbers import Integral
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from p3m_lightning.metrics.definitions import FACE, IOU
from p3m_lightning.metrics.functional import CONVENTIONS, face_metrics, intersection_over_union
from p3m_lightning.metrics.report import Row, means, medians
from p3m_lightning.schema import InputError

ROWS = "local_rows"
"""Name of the rows among the states."""


class MattingMetrics(Metric):
    """Means over images of every metric of one convention.

    The state is a float64 sum and a count per key, added up over processes, so that any split of the images gives the
    same means. The values of single images are kept beside it as `local_rows`, since the states of torchmetrics are
    tensors, which hold no names; they are merged, saved and loaded with the sums.

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
        names: Iterable[str | int] | None = None,
        face: Tensor | None = None,
        exact: Tensor | None = None,
    ) -> None:
        """Measure the images of a batch; all or, if one is refused, none of them are added.

        Args:
            pred: predicted mattes, float (N, 1, H, W) in [0, 1].
            target: true mattes, float (N, 1, H, W) in [0, 1].
            trimap: (N, 1, H, W) of classes 0, 1, 2; None leaves the region metrics out.
            names: N stems of files, or numbers, which come first in `rows`; by default the numbers of the images.
            face: masks (N, 1, H, W) in [0, 1]; adds the errors inside the face for images that have one.
            exact: bool (N, 1, H, W), where the target is a true matte and not the edge of a mask; only these count,
                except for `iou`, which is added for images with such an edge.

        Raises:
            InputError: shapes that differ, values out of range.
        """
        first = len(self.local_rows)
        names = range(first, first + len(pred)) if names is None else list(names)
        for given, what in ((target, "target"), (trimap, "trimap"), (names, "names"), (face, "face"), (exact, "exact")):
            if given is not None and len(given) != len(pred):
                raise InputError(f"{what}: {len(given)} for a batch of {len(pred)} images")
        if exact is not None:
            _check_exact(exact, pred, target)
        rows: list[Row] = []
        for i, name in enumerate(names):
            others = [None if given is None else given[i] for given in (trimap, face, exact)]
            values = self._measure(pred[i], target[i], *others)
            rows.append({"name": int(name) if isinstance(name, Integral) else str(name), **values})
        for row in rows:
            self.sums += self.sums.new_tensor([row.get(key, 0.0) for key in self.metric_keys])
            self.counts += self.counts.new_tensor([key in row for key in self.metric_keys])
        self.local_rows += rows

    def _measure(
        self, pred: Tensor, target: Tensor, trimap: Tensor | None, face: Tensor | None, exact: Tensor | None
    ) -> dict[str, float]:
        """Return the values of one image."""
        seen = pred if exact is None else torch.where(exact, pred, target)
        values = self.measure(seen, target, trimap)
        if face is not None:
            values |= face_metrics(seen, target, face)
        if exact is not None and not exact.all():
            values |= {"iou": intersection_over_union(pred, target)}
        return values

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
        rows = sorted(chain.from_iterable(parts), key=lambda row: (isinstance(row["name"], str), row["name"]))
        return [{**row, "name": str(row["name"])} for row in rows]

    def reset(self) -> None:
        """Discard all images."""
        super().reset()
        self.local_rows = []

    @property
    def metric_state(self) -> dict[str, Any]:
        """The sums, the counts and the rows, by name."""
        return {**super().metric_state, ROWS: self.local_rows}

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Add the images of another metric of the same convention.

        Raises:
            InputError: it is of another convention, or a dictionary without the rows that `metric_state` has.
        """
        state = incoming_state.metric_state if isinstance(incoming_state, Metric) else incoming_state
        if not isinstance(state, dict) or ROWS not in state or len(state["sums"]) != len(self.sums):
            raise InputError("incoming_state: no state of this convention with its rows; give the metric to merge")
        super().merge_state(incoming_state)
        self.local_rows = [*self.local_rows, *state[ROWS]]
        self._computed = None  # torchmetrics would return the means from before

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self._persistent["sums"]:
            destination[prefix + ROWS] = [dict(row) for row in self.local_rows]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        if prefix + ROWS in state_dict:
            self.local_rows = list(state_dict.pop(prefix + ROWS))
        elif prefix + "sums" in state_dict:
            raise InputError(
                f"state_dict: has {prefix}sums without {prefix}{ROWS}, so no medians follow; measure again"
            )
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self._computed = None


def _check_exact(exact: Tensor, pred: Tensor, target: Tensor) -> None:
    """Refuse an `exact` that cannot choose between the pixels of two mattes, or would be broadcast."""
    if getattr(exact, "dtype", None) != torch.bool:
        raise InputError(
            f"exact: {getattr(exact, 'dtype', type(exact).__name__)}; give a bool tensor, such as `exact > 0`"
        )
    shapes = [tuple(one.shape) for one in (exact, pred, target)]
    if len(set(shapes)) > 1:
        raise InputError("exact: {} for mattes of {} and {}; all need one shape".format(*shapes))
