"""Running a verb of `p3m` and judging its handling of the input."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from p3m_lightning.cli import main

LONG = os.environ.get("P3M_TRUST") == "long"
PATIENCE = 900  # seconds, on a busy machine; a verb that takes longer hangs
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f‮]")
ROOT = Path(__file__).resolve().parents[2]


class Ended(NamedTuple):
    """Outcome of a verb."""

    code: int
    out: str
    err: str

    def faults(self, allowed: Sequence[int] = (0, 2)) -> str:
        """Return what is wrong with the outcome: a traceback, a signal, or an unexpected exit code."""
        if "Traceback (most recent" in self.err + self.out:
            return "traceback: " + self.err.strip()[-600:]
        if self.code not in allowed:
            return f"exit code {self.code}: {self.err.strip()[-600:]}"
        if UNPRINTABLE.search(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", self.out)) or UNPRINTABLE.search(self.err):
            return f"raw control characters: {self.err[-300:]!r}"
        if self.code == 2 and not self.err.strip():
            return "exit code 2 without a word"
        return ""


def run_here(arguments: Sequence[object]) -> Ended:
    """Run a verb in this process, which is fast."""
    out, err = io.StringIO(), io.StringIO()

    def give_up(*_: object) -> None:
        raise TimeoutError(f"{arguments[0]} hangs")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(PATIENCE)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([str(a) for a in arguments])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        return Ended(1, out.getvalue(), err.getvalue() + traceback.format_exc())
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return Ended(code, out.getvalue(), err.getvalue())


def command(arguments: Sequence[object]) -> list[str]:
    """Return the command line of a verb in a process of its own."""
    return [sys.executable, "-m", "p3m_lightning", *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    """Return the environment for such a process."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "NO_ALBUMENTATIONS_UPDATE": "1", **more}


def run_apart(arguments: Sequence[object], cwd: Path | None = None, **more: str) -> Ended:
    """Run a verb in a process of its own, and capture output that bypasses Python too."""
    try:
        done = subprocess.run(
            command(arguments), capture_output=True, timeout=PATIENCE, cwd=cwd, env=environment(**more), check=False
        )
    except subprocess.TimeoutExpired as slow:
        return Ended(-1, "", f"hangs: {(slow.stderr or b'').decode(errors='replace')}")
    out, err = (text.decode("utf-8", errors="surrogateescape") for text in (done.stdout, done.stderr))
    return Ended(done.returncode, out, err)
