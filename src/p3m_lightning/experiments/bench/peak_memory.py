"""Peak memory of the tensors of a computation, on any device."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class PeakMemory(TorchDispatchMode):
    """Tracks the tensors made inside `with`; `peak` is the largest size alive at once, in bytes.

    Earlier tensors do not count, nor does the scratch space inside a kernel.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._alive = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(
        self, function: Callable, types: Sequence[type], args: Sequence = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation and count its results; a view shares the storage of its base."""
        known = {_storage_id(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and _storage_id(leaf) not in known | self._seen:
                self._add(leaf)
        return result

    def _add(self, tensor: Tensor) -> None:
        storage, identity = tensor.untyped_storage(), _storage_id(tensor)
        self._seen.add(identity)
        self._alive += storage.nbytes()
        self.peak = max(self.peak, self._alive)
        weakref.finalize(storage, self._remove, identity, storage.nbytes())

    def _remove(self, identity: int, size: int) -> None:
        self._seen.discard(identity)
        self._alive -= size


def _storage_id(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
