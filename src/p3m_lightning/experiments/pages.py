"""Reports of headings, texts, tables and images, written as one HTML page and as Markdown."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import cv2
import numpy as np

from p3m_lightning.files import atomic_path
from p3m_lightning.markdown import inline, markdown_table, paragraph

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from matplotlib.figure import Figure

QUALITY = 88  # of JPEGs
LONGEST = 200  # bytes of a file name
DOTS = 110  # per inch, of charts


class Heading(NamedTuple):
    """A title of level 1 or 2."""

    text: str
    level: int = 2


class Text(NamedTuple):
    """A paragraph."""

    text: str


class Table(NamedTuple):
    """Rows of cells; `best` are the cells (row, column) that are printed bold."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    best: frozenset[tuple[int, int]] = frozenset()


class Picture(NamedTuple):
    """An encoded image; `name` is its file name beside the Markdown."""

    name: str
    content: bytes
    caption: str


Block = Heading | Text | Table | Picture

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1b1f24; background: #fff; margin: 2rem auto; max-width: 1200px;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #d0d7de; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #e4e8ec; text-align: right; }
th:first-child, td:first-child { text-align: left; white-space: nowrap; } th { background: #f3f5f7; }
td { overflow-wrap: anywhere; } figure { margin: 1rem 0; } img { max-width: 100%; height: auto; }
figcaption { color: #57606a; font-size: .9rem; }
"""


def write_html(path: Path, title: str, blocks: Sequence[Block]) -> None:
    """Write one page that needs no other file and no network; written atomically."""
    body = "\n".join(_html(block) for block in blocks)
    page = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
    with atomic_path(path) as aside:
        aside.write_text(page, encoding="utf-8")


def write_markdown(path: Path, blocks: Sequence[Block]) -> None:
    """Write Markdown, and its images into a folder beside it that is named after the file."""
    folder = path.with_name(path.stem + "_pictures")
    for block in blocks:
        if isinstance(block, Picture):
            with atomic_path(folder / _file_name(block.name)) as aside:
                aside.write_bytes(block.content)
    with atomic_path(path) as aside:
        aside.write_text("\n\n".join(_markdown(block, folder.name) for block in blocks) + "\n", encoding="utf-8")


def chart(name: str, figure: Figure, caption: str) -> Picture:
    """Encode a matplotlib figure."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DOTS, bbox_inches="tight", metadata={"Software": None})
    return Picture(f"{name}.png", content.getvalue(), caption)


def photograph(name: str, pixels: np.ndarray, caption: str) -> Picture:
    """Encode uint8 RGB (H, W, 3)."""
    encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return Picture(f"{name}.jpg", encoded.tobytes(), caption)


def latex_table(table: Table, caption: str) -> str:
    """Return a table for LaTeX with the package booktabs."""
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{_latex(caption)}}}"]
    lines += [rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}", r"\toprule"]
    lines += [" & ".join(map(_latex, table.header)) + r" \\", r"\midrule"]
    for row, cells in enumerate(table.rows):
        texts = (rf"\textbf{{{_latex(c)}}}" if (row, k) in table.best else _latex(c) for k, c in enumerate(cells))
        lines.append(" & ".join(texts) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def _latex(text: str) -> str:
    plain = text.replace("\\", r"\textbackslash ").replace("^", r"\textasciicircum{}")
    return "".join(f"\\{c}" if c in "_%&#$" else c for c in plain).replace("|", r"\textbar{}")


def _html(block: Block) -> str:
    if isinstance(block, Picture):
        kind = "png" if block.name.endswith(".png") else "jpeg"
        source = f"data:image/{kind};base64,{base64.b64encode(block.content).decode()}"
        text = html.escape(block.caption)
        return f'<figure><img src="{source}" alt="{text}"><figcaption>{text}</figcaption></figure>'
    rendered = _parser().render(_markdown(block, ""))
    return f'<div class="scroll">\n{rendered}</div>' if isinstance(block, Table) else rendered


def _file_name(name: str) -> str:
    """Return `name` if it is a valid file name, else its valid characters and a digest that keeps it distinct."""
    plain = re.sub(r"[^\w .,+()=@-]", "_", name)
    if plain == name and len(name.encode()) <= LONGEST:
        return name
    start, _, kind = plain.rpartition(".")
    digest = hashlib.sha1(name.encode(errors="surrogatepass"), usedforsecurity=False).hexdigest()[:8]
    return f"{start[: LONGEST // 8]}-{digest}.{kind}"


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def _markdown(block: Block, folder: str) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {inline(text)}"
        case Text(text):
            return paragraph(text)
        case Picture(name, _, caption):
            return f"![{inline(caption)}]({quote(f'{folder}/{_file_name(name)}')})"
    return markdown_table(*block)
