"""Markdown output, parsed by an independent library, shows the intended text."""

import html
import re

import pytest
from markdown_it import MarkdownIt

from p3m_lightning.markdown import inline, markdown_table, paragraph

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
TEXTS = [
    "plain, 0.5 [0.4, 0.6] < 1 & more",
    "sad_unknown _x_ __y__ a_b_c",
    "a|b",
    "*bold* **x** ~~s~~ `code`",
    "[link](x) [link][x] ![i](http://x) a ](b",
    "[a]: javascript:x",
    "<script>alert(1)</script> <http://a.b> <!-- x -->",
    "&lt; &#60; &amp x",
    "C:\\folder\\ \\",
    "# heading",
    "> quotation",
    "1. first",
    "2) second",
    "- item",
    "+ item",
    "---",
    "-0.5",
    "\tcode",
    "two\nlines",
]


def shown(text):
    return html.escape(" ".join(text.split()), quote=False).replace('"', "&quot;")


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_shown_as_it_is(text):
    assert PARSER.render(paragraph(text)) == f"<p>{shown(text)}</p>\n"
    assert PARSER.render(f"## {inline(text)}") == f"<h2>{shown(text)}</h2>\n"


def test_a_table_is_shown_with_its_cells():
    rows = [[text, str(number)] for number, text in enumerate(TEXTS)]
    page = PARSER.render(markdown_table(["text | name", "number"], rows, bold={(1, 1)}))
    assert re.findall(r"<th.*?>(.*?)</th>", page) == ["text | name", "number"]
    cells = re.findall(r"<td(?: style=\"text-align:right\")?>(.*?)</td>", page)
    expected = [[shown(text), f"<strong>{k}</strong>" if k == 1 else str(k)] for k, text in enumerate(TEXTS)]
    assert cells == [cell for row in expected for cell in row]
