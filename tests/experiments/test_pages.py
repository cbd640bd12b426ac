"""Pages show names literally, and contain their tables and images."""

import re
from urllib.parse import unquote

import numpy as np
import pytest

from p3m_lightning.experiments.pages import Heading, Table, Text, photograph, write_html, write_markdown

NAME = "<img src=x onerror=alert(1)> [a](javascript:alert) *b*"
SHOWN = "&lt;img src=x onerror=alert(1)&gt; [a](javascript:alert) *b*"


@pytest.fixture
def blocks():
    table = Table(["run", NAME], [["a", "1"], [NAME, "2"]], frozenset({(1, 1)}))
    return [Heading(NAME, 1), Text(NAME), table, photograph("a (b) [c]", np.full((4, 4, 3), 128, np.uint8), NAME)]


def test_markup_in_names_stays_text_on_the_page(blocks, tmp_path):
    write_html(tmp_path / "page.html", NAME, blocks)
    body = (tmp_path / "page.html").read_text().split("<body>")[1]
    assert f"<h1>{SHOWN}</h1>" in body
    assert f"<p>{SHOWN}</p>" in body
    assert re.search(rf"<td>{re.escape(SHOWN)}</td>\s*<td[^>]*><strong>2</strong></td>", body)
    assert f"<figcaption>{SHOWN}</figcaption>" in body
    assert set(re.findall(r"<(\w+)", body)) == {
        "h1",
        "p",
        "div",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "strong",
        "figure",
        "img",
        "figcaption",
    }
    assert len(re.findall("<img", body)) == 1


def test_pictures_lie_beside_the_markdown_that_shows_them(blocks, tmp_path):
    write_markdown(tmp_path / "report.md", blocks)
    (link,) = re.findall(r"\((report_pictures/.*?\.jpg)\)", (tmp_path / "report.md").read_text())
    assert (tmp_path / unquote(link)).read_bytes() == blocks[-1].content
