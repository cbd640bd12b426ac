"""Counts of what the tests of this folder attacked, shown as one table.

`make trust` runs the long form and writes the table into docs/trust.md; `make test` runs the short one. A partial run
replaces its own rows; the others keep their results and dates.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

BEGIN, END = "<!-- table: make trust -->", "<!-- end -->"
HEADER = ("attack", "tried", "survived", "lost", "ran on")

Tally = Callable[[str, int, Iterable[str]], None]


@pytest.fixture
def tally(record_property) -> Tally:
    """Return `count(attack, tried, lost)`, which adds a row to the table and fails if anything was lost."""

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
    today = datetime.date.today().isoformat()
    table = {name: (str(tried), str(tried - lost), str(lost), today) for name, (tried, lost) in rows.items()}
    width = max(map(len, table))
    terminalreporter.section("trust")
    for name, *cells in (HEADER, *((name, *table[name]) for name in sorted(table))):
        terminalreporter.write_line(f"{name:<{width}}  " + "  ".join(f"{cell:>10}" for cell in cells))
    total = [sum(counts) for counts in zip(*rows.values(), strict=True)]
    terminalreporter.write_line(f"{'all':<{width}}  {total[0]:>10}  {total[0] - total[1]:>10}  {total[1]:>10}")
    if page := os.environ.get("P3M_TRUST_PAGE"):
        passed = {report.nodeid.rpartition("::")[2] for report in terminalreporter.stats.get("passed", ())}
        write_page(Path(page), table, passed)


def write_page(page: Path, table: dict[str, tuple[str, ...]], mended: Iterable[str] = ()) -> None:
    """Write the rows between the marks of a page; rows that did not run are kept.

    Args:
        page: Markdown.
        table: rows that ran, from attack to the other cells.
        mended: tests that were listed because they failed, and now pass.
    """
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    old, after = rest.split(END)
    standing = [[cell.strip() for cell in line.strip("|").split("|")] for line in old.splitlines()]
    kept = {name: tuple(cells) for name, *cells in standing if len(cells) == len(HEADER) - 1 and cells[0].isdecimal()}
    merged = {name: cells for name, cells in kept.items() if name not in ("all", *mended)} | table
    total = [str(sum(int(cells[k]) for cells in merged.values())) for k in range(3)]
    rows = [HEADER, ("---", "---:", "---:", "---:", "---"), *((name, *merged[name]) for name in sorted(merged))]
    rows.append(("all", *total, ""))
    text = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
