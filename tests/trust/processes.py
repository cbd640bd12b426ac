"""Running commands of `p3m` to kill them, limit their disk space, or delete their folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from verbs import Ended, command, environment

HERE = Path(__file__).parent
GRACE = 1800  # seconds, after which a command hangs


class Outcome(NamedTuple):
    """Outcome of a command: its exit code, or the signal that ended it."""

    ended: Ended
    signal: int
    seconds: float


class Zygote:
    """A `zygote.py`, as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, HERE / "zygote.py"], stdin=pipe, stdout=pipe, text=True, bufsize=1, env=environment()
        )
        assert self._answer() == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait(60)

    def run(
        self,
        arguments: Sequence[object],
        kill_after: float | None = None,
        number: int = signal.SIGKILL,
        meanwhile: Callable[[], object] | None = None,
        **limits: int,
    ) -> Outcome:
        """Run a command to its end.

        Args:
            arguments: of `p3m`.
            kill_after: seconds, after which it gets the signal `number`.
            meanwhile: called repeatedly while the command runs, until it returns a true value.
            limits: of `resource.setrlimit`.
        """
        self.number += 1
        files = {name: self.folder / f"{self.number}.{name}" for name in ("out", "err")}
        for path in files.values():
            path.touch()  # a kill may come before the command has opened them
        order = {"arguments": [str(a) for a in arguments], "limits": limits, **{k: str(v) for k, v in files.items()}}
        started = time.monotonic()
        self.process.stdin.write(json.dumps(order) + "\n")
        pid = int(self._answer())
        if meanwhile is not None:
            while not meanwhile() and _is_alive(pid) and time.monotonic() < started + GRACE:
                time.sleep(0.01)
        if kill_after is not None:
            time.sleep(max(0.0, kill_after))
            if _is_alive(pid):
                os.kill(pid, number)
        status = int(self._answer())
        out, err = (path.read_text(errors="surrogateescape") for path in files.values())
        code = os.waitstatus_to_exitcode(status)
        return Outcome(Ended(max(code, 0), out, err), max(-code, 0), time.monotonic() - started)

    def _answer(self) -> str:
        line = self.process.stdout.readline()
        assert line, "the zygote has died"
        return line.strip()


class Apart:
    """Commands in processes of their own, which start others; a kill ends all of them, as a power failure would."""

    def run(self, arguments: Sequence[object], kill_after: float | None = None) -> Outcome:
        """Run a command to its end, or kill it after some seconds."""
        started = time.monotonic()
        with tempfile.TemporaryFile("w+", errors="surrogateescape") as said:
            process = subprocess.Popen(command(arguments), stdout=said, stderr=subprocess.STDOUT, env=environment())
            killed, hangs = 0, ""
            try:
                process.wait(GRACE if kill_after is None else kill_after)
            except subprocess.TimeoutExpired:
                killed = 0 if kill_after is None else signal.SIGKILL
                hangs = f"\nhangs: not done after {GRACE} s" if kill_after is None else ""
                _kill_family(process.pid)
                process.wait()
            said.seek(0)
            text = said.read() + hangs
        code = 1 if killed or process.returncode < 0 else process.returncode  # by a signal is no success
        return Outcome(Ended(max(code, 0), "", text), killed, time.monotonic() - started)


def _kill_family(pid: int) -> None:
    """Kill a process and all its descendants, which are stopped first so that none starts another."""
    family = [pid]
    for member in family:
        with suppress(OSError):
            os.kill(member, signal.SIGSTOP)
        family += _children(member)
    for member in family:
        with suppress(OSError):
            os.kill(member, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def _is_alive(pid: int) -> bool:
    """Tell whether a process still runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
