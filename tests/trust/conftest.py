"""The trust program: what was attacked, counted over all tests of this folder and shown as one table.

`make trust` runs the long form and writes the table into docs/trust.md; `make test` runs the short one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

BEGIN, END = "<!-- table: make trust -->", "<!-- end -->"
HEADER = ("attack", "tried", "survived", "lost")

Tally = Callable[[str, int, Iterable[str]], None]


@pytest.fixture
def tally(record_property) -> Tally:
    """Return `count(attack, tried, lost)`: adds a row to the table, and fails where anything was lost."""

    def count(attack: str, tried: int, lost: Iterable[str]) -> None:
        lost = list(lost)
        record_property("trust", json.dumps([attack, tried, len(lost)]))
        assert tried > 0, f"{attack}: nothing was tried"
        assert not lost, f"{attack}: {len(lost)} of {tried} lost\n" + "\n".join(lost[:20])

    return count


def pytest_terminal_summary(terminalreporter) -> None:
    """Print the table; `P3M_TRUST_PAGE` names a page to write it into."""
    rows: dict[str, list[int]] = {}
    reports = [r for kind in ("passed", "failed", "error") for r in terminalreporter.stats.get(kind, ())]
    for report in reports:
        rows_of_test = [json.loads(v) for k, v in getattr(report, "user_properties", ()) if k == "trust"]
        if report.when != "call":
            continue
        for attack, tried, lost in rows_of_test:
            row = rows.setdefault(attack, [0, 0])
            row[0] += tried
            row[1] += lost
        if report.outcome == "failed" and not rows_of_test and "tests/trust/" in report.nodeid:
            rows.setdefault(report.nodeid.rpartition("::")[2], [0, 0])
            rows[report.nodeid.rpartition("::")[2]][0] += 1
            rows[report.nodeid.rpartition("::")[2]][1] += 1
    if not rows:
        return
    table = [(name, str(tried), str(tried - lost), str(lost)) for name, (tried, lost) in sorted(rows.items())]
    total = [sum(counts) for counts in zip(*rows.values(), strict=True)]
    table.append(("all", str(total[0]), str(total[0] - total[1]), str(total[1])))
    width = max(len(row[0]) for row in table)
    terminalreporter.section("trust")
    for name, *cells in (HEADER, *table):
        terminalreporter.write_line(f"{name:<{width}}  " + "  ".join(f"{cell:>9}" for cell in cells))
    if page := os.environ.get("P3M_TRUST_PAGE"):
        write_page(Path(page), table)


def write_page(page: Path, table: Iterable[tuple[str, ...]]) -> None:
    """Put the table between the marks of a page."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    lines = ["| " + " | ".join(row) + " |" for row in (HEADER, ("---", "---:", "---:", "---:"), *table)]
    text = before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + after
    page.write_text(text, encoding="utf-8")
