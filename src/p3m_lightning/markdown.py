"""Text and tables in GitHub's Markdown; names and numbers are escaped, so they are never read as markup."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

INLINE = re.compile(
    r"[\\`*|~]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # inside a word it is not emphasis
    r"|<(?=[A-Za-z/!?])"  # tags
    r"|&(?=\w+;|#)"  # entities
    r"|(?<=\])[(\[:]"  # links
)
LINE_START = re.compile(r"^(?:[#>=\[]|[-+](?=[-\s]|$)|\d+[.)](?=\s|$))")
"""Headings, quotations, references and lists; the marker is the last character."""


def inline(text: str) -> str:
    r"""Return a text on one line, escaped so that Markdown shows it literally in a cell or after other text.

    >>> print(inline("a|b <i>, *c* [link](x)"))
    a\|b \<i>, \*c\* [link]\(x)
    >>> print(inline("sad_unknown < 0.5 [0.4, 0.6]"))
    sad_unknown < 0.5 [0.4, 0.6]
    """
    return INLINE.sub(r"\\\g<0>", " ".join(text.splitlines()).strip())


def paragraph(text: str) -> str:
    r"""Return a text escaped so that Markdown shows it literally at the beginning of a line.

    >>> print(paragraph("1. is no list"))
    1\. is no list
    """
    return LINE_START.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", inline(text))


def markdown_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], bold: Collection[tuple[int, int]] = frozenset()
) -> str:
    """Return a table with the first column left-aligned, the others right-aligned.

    Args:
        header: names of the columns.
        rows: cells.
        bold: cells (row, column) to print in bold.
    """
    lines = ["| " + " | ".join(map(inline, header)) + " |", "|---|" + "---:|" * (len(header) - 1)]
    for row, cells in enumerate(rows):
        texts = (f"**{inline(cell)}**" if (row, k) in bold else inline(cell) for k, cell in enumerate(cells))
        lines.append("| " + " | ".join(texts) + " |")
    return "\n".join(lines)
