"""Numbers stored as tensors on a device, cached on the host to avoid synchronizing every time."""

from __future__ import annotations

from torch import Tensor


class HostValue:
    """Value of a one-element tensor, fetched again only after other code has written to it."""

    def __init__(self) -> None:
        self._state: tuple[int, int] | None = None
        self._value = 0.0

    def of(self, tensor: Tensor) -> float:
        """Return the value."""
        state = tensor.data_ptr(), tensor._version
        if state != self._state:
            self._state, self._value = state, float(tensor)
        return self._value

    def add(self, tensor: Tensor, amount: float) -> float:
        """Add to the tensor in place; return the new value."""
        self._value = self.of(tensor) + amount
        tensor += amount
        self._state = tensor.data_ptr(), tensor._version
        return self._value
