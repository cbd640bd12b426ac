"""The floor under a computation: the time below which no schedule of its operations gets on a machine.

After the roofline model (Williams, Waterman and Patterson, CACM 2009): each operation takes at least its arithmetic
over the machine's, and the bytes that it reads and writes over the machine's; views are free.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


class Floor(TorchDispatchMode):
    """Counts what is computed while it is entered.

    Args:
        operations_per_second: ceiling of the arithmetic.
        bytes_per_second: ceiling of memory.
    """

    def __init__(self, operations_per_second: float, bytes_per_second: float) -> None:
        super().__init__()
        self.ceilings = operations_per_second, bytes_per_second
        self.operations, self.bytes, self.seconds = 0, 0, 0.0

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
        count: Callable | None = flop_registry.get(function.overloadpacket)
        operations = count(*args, **(kwargs or {}), out_val=result) if count else 0
        moved = sum(read.values()) + sum(written.values())
        self.operations += operations
        self.bytes += moved
        self.seconds += max(operations / self.ceilings[0], moved / self.ceilings[1])
        return result


def floor_of(work: Callable[[], object], ceilings: Mapping[str, Any], dtype: str = "float32") -> dict[str, float]:
    """Return `operations` of convolutions and products, `bytes` and `seconds` below which `work` cannot get.

    Args:
        work: is run once.
        ceilings: of `limits.ceilings`.
        dtype: whose arithmetic is the ceiling.
    """
    with Floor(ceilings["operations_per_second"][dtype], ceilings["bytes_per_second"]) as floor:
        work()
    return {"operations": floor.operations, "bytes": floor.bytes, "seconds": floor.seconds}


def _storages(tree: Any) -> dict[int, int]:
    """Return the bytes of the distinct tensors in a tree, by their storage."""
    tensors = [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
    return {tensor.untyped_storage()._cdata: tensor.numel() * tensor.element_size() for tensor in tensors}
