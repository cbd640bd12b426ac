"""The tests marked `gpu`, in a process of their own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from p3m_lightning.experiments.bench.gpu.setting import Setting


def marked_tests(setting: Setting, seconds: float) -> dict[str, Any]:
    """Run the tests marked `gpu` for at most `seconds`.

    Returns:
        `passed`, `failed` (errors too), `skipped`, and `failures`: their names.
    """
    missing = [str(path) for path in setting.tests if not Path(path).exists()]
    if missing:
        return {"left_out": f"no {', '.join(missing)} here: run this in a checkout"}
    with tempfile.TemporaryDirectory(prefix="p3m-bench-") as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", f"--junitxml={report}", *map(str, setting.tests)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=max(1, seconds))
        except subprocess.TimeoutExpired:
            return {"left_out": f"not done in {seconds:.0f} seconds"}
        if not report.is_file():
            return {"left_out": f"pytest ended with {done.returncode}: {(done.stderr or done.stdout)[-300:]}"}
        return counted(report)


def counted(report: Path) -> dict[str, Any]:
    """Read the counts of a report in the format of JUnit."""
    suite = next(ElementTree.parse(report).getroot().iter("testsuite"))
    total, errors, failures, skipped = (int(suite.get(key, 0)) for key in ("tests", "errors", "failures", "skipped"))
    cases = suite.iter("testcase")
    broken = [case.get("name") for case in cases if case.find("failure") is not None or case.find("error") is not None]
    return {
        "passed": total - errors - failures - skipped,
        "failed": errors + failures,
        "skipped": skipped,
        "failures": broken,
    }
