"""The lower bound on the time of a computation: its arithmetic over the peak rate of the machine.

Beside it the roofline of its operations one by one (Williams, Waterman and Patterson, CACM 2009): each takes its
arithmetic, or the bytes that it reads and writes from main memory, whichever takes longer; views are free. That is no
bound: data in caches arrives sooner, and operations can be fused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


class Floor(TorchDispatchMode):
    """Counts the operations computed inside `with`.

    Args:
        operations_per_second: ceiling of the arithmetic.
        bytes_per_second: ceiling of memory.
    """

    def __init__(self, operations_per_second: float, bytes_per_second: float) -> None:
        super().__init__()
        self.ceilings = operations_per_second, bytes_per_second
        self.operations, self.bytes, self.roofline = 0, 0, 0.0

    def __torch_dispatch__(
        self, function: Any, types: Sequence[type], args: Sequence = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation and count it."""
        result = function(*args, **(kwargs or {}))
        read = _storages((args, kwargs))
        written = _storages(result)
        schema = getattr(function, "_schema", None)
        if written.keys() <= read.keys() and not (schema and schema.is_mutable):
            return result  # a view
        operations = _operations(function, args, kwargs or {}, result)
        moved = sum(read.values()) + sum(written.values())
        self.operations += operations
        self.bytes += moved
        self.roofline += max(operations / self.ceilings[0], moved / self.ceilings[1])
        return result


def floor_of(work: Callable[[], object], ceilings: Mapping[str, Any], dtype: str = "float32") -> dict[str, float]:
    """Count what `work` computes; it is run once.

    Args:
        work: the computation.
        ceilings: of `limits.ceilings`.
        dtype: the type whose peak rate applies.

    Returns:
        `operations` of convolutions and products, `bytes` read and written, `seconds`: the floor, and
        `roofline_seconds`.
    """
    with Floor(ceilings["operations_per_second"][dtype], ceilings["bytes_per_second"]) as floor:
        work()
    return {
        "operations": floor.operations,
        "bytes": floor.bytes,
        "seconds": floor.operations / ceilings["operations_per_second"][dtype],
        "roofline_seconds": floor.roofline,
    }


def _operations(function: Any, args: Sequence, kwargs: Mapping[str, Any], result: Any) -> int:
    """Count multiplications and additions of convolutions and products."""
    if function.overloadpacket is torch.ops.aten.convolution_backward:
        # torch's own count ignores groups in the weight gradient of a convolution
        gradient, images, weight, transposed, wanted = args[0], args[1], args[2], args[7], args[10]
        places = images if transposed else gradient
        return 2 * places.numel() * weight[0].numel() * sum(wanted[:2])
    count: Callable | None = flop_registry.get(function.overloadpacket)
    return count(*args, **kwargs, out_val=result) if count else 0


def _storages(tree: Any) -> dict[int, int]:
    """Return the bytes of the distinct tensors in a tree, by their storage."""
    tensors = [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
    return {tensor.untyped_storage()._cdata: tensor.numel() * tensor.element_size() for tensor in tensors}
