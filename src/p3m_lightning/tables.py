"""Printing of all tables on stdout: drawn in a terminal, tab-separated in a pipe, never with a truncated name."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from p3m_lightning.messages import printable

RULE = re.compile(r"\|[-:| ]+\|")
UNESCAPED_BAR = re.compile(r"(?<!\\)\|")
ESCAPED = re.compile(r"\\([\\`*|~_<&(\[:])")
"""Syntax of Markdown's tables: the line below the head, bars between cells, and escapes inside them."""

WRAPPED = 24
"""Smallest width of a column of sentences."""


def print_table(
    head: Sequence[str],
    rows: Sequence[Sequence[object]],
    title: str = "",
    *,
    left: Sequence[str] = (),
    sentences: Sequence[str] = (),
    bold: Sequence[int] = (),
    sections: Sequence[int] = (),
) -> None:
    """Print a table.

    In a pipe each row is a line of tab-separated cells, without frame or padding. If the terminal is too narrow for
    the table, each row starts with its first cell on a line of its own.

    Args:
        head: names of the columns; the first one's cells name the rows.
        rows: cells of each row; control characters in them are escaped.
        title: printed on a line before.
        left: further left-aligned columns, like the first one; all others are numbers.
        sentences: columns whose cells may be wrapped in a terminal; left-aligned.
        bold: indices of rows to emphasize.
        sections: indices of rows followed by a line.
    """
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for line in ([title] if title else []) + ["\t".join(row) for row in (head, *cells)]:
            print(line)
        return
    console = Console()
    if title:
        console.print(title, style="bold", markup=False, soft_wrap=True)
    if _width(head, cells, sentences) > console.width:
        _print_stacked(console, head, cells)
        return
    flush = {head[0], *left, *sentences}
    table = Table()
    for name in head:
        table.add_column(name, justify="left" if name in flush else "right", no_wrap=name not in sentences)
    for i, row in enumerate(cells):
        style: Any = "bold" if i in bold else None
        table.add_row(*map(escape, row), style=style, end_section=i in sections)
    console.print(table)


def print_markdown(text: str) -> None:
    """Print a report in Markdown: unchanged in a terminal; in a pipe its tables become tab-separated rows."""
    if sys.stdout.isatty():
        print(text)
        return
    for line in text.splitlines():
        if RULE.fullmatch(line):
            continue
        cells = [cell.strip() for cell in UNESCAPED_BAR.split(line)[1:-1]] if line.startswith("|") else [line]
        print("\t".join(ESCAPED.sub(r"\1", cell) for cell in cells))


def _width(head: Sequence[str], cells: Sequence[Sequence[str]], sentences: Sequence[str]) -> int:
    """Return the width of the table in columns of the terminal."""
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    wrapped = (min(width, WRAPPED) if name in sentences else width for name, width in zip(head, widths, strict=True))
    return sum(wrapped) + 3 * len(head) + 1


def _print_stacked(console: Console, head: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Print each name in full on a line of its own, with the other cells below."""
    for name, *others in cells:
        console.print(name, markup=False, soft_wrap=True)
        facts = [f"{key} {cell}" for key, cell in zip(head[1:], others, strict=True) if cell not in ("", "-")]
        if facts:
            console.print("    " + ", ".join(facts), markup=False, highlight=False)
