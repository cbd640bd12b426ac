"""Counts of photographs over all processes of a run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from torch.distributed import PrefixStore, Store, TCPStore

from p3m_lightning.inference.folder import Outcome


class Ledger:
    """Counts and failures of all processes, in the store that PyTorch's processes use to find each other.

    Every query is answered at once: no process waits for another, so shares may take any time.

    Args:
        store: shared by all processes.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        store.append("failures", "")  # type: ignore[attr-defined]  # not declared by torch

    @classmethod
    def open(cls) -> Ledger:
        """Open the ledger of this process group, at the address of its store."""
        store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)  # torchrun's store survives a restart
        return cls(PrefixStore(f"p3m_predict_{attempt}", store))

    def expect(self, photographs: int) -> None:
        """Announce the number of photographs of this process."""
        self._store.add("expected", photographs)

    @property
    def expected(self) -> int:
        """Number of photographs of all processes that have announced theirs."""
        return self._store.add("expected", 0)

    def note(self, outcome: Outcome) -> None:
        """Record the outcome of one photograph."""
        if outcome.reason:
            line = json.dumps([str(outcome.source), outcome.reason]) + "\n"
            self._store.append("failures", line)  # type: ignore[attr-defined]
        self._store.add("done", 1)

    @property
    def done(self) -> int:
        """Number of photographs whose outcome is known."""
        return self._store.add("done", 0)

    def failures(self) -> Iterator[Outcome]:
        """Yield the outcomes of those that failed."""
        for line in self._store.get("failures").decode().splitlines():
            source, reason = json.loads(line)
            yield Outcome(Path(source), reason)

    def stop(self) -> None:
        """Ask all processes to stop."""
        self._store.add("stopped", 1)

    @property
    def stopped(self) -> bool:
        """True once any process has asked all to stop."""
        return self._store.add("stopped", 0) > 0
