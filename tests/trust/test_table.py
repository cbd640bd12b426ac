"""The table in docs/trust.md: new results replace old ones, and other rows keep their dates."""

from pathlib import Path

import pytest

PAGE = """# Trust
<!-- table: make trust -->
not run yet
<!-- end -->
more
"""


@pytest.fixture
def write_page(pytestconfig):
    plugins = pytestconfig.pluginmanager.get_plugins()
    here = str(Path(__file__).with_name("conftest.py"))
    return next(plugin for plugin in plugins if getattr(plugin, "__file__", None) == here).write_page


def test_what_ran_replaces_its_row_and_the_others_stay(write_page, tmp_path):
    page = tmp_path / "trust.md"
    page.write_text(PAGE)
    first = {"kills": ("5", "4", "1", "2026-01-02"), "test_x[a]": ("1", "0", "1", "2026-01-02")}
    write_page(page, first)
    assert "not run yet" not in page.read_text()
    write_page(page, {"disks": ("2", "2", "0", "2026-01-03")})
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    assert rows[0] == "| attack | tried | survived | lost | ran on |"
    assert rows[2:] == [
        "| disks | 2 | 2 | 0 | 2026-01-03 |",
        "| kills | 5 | 4 | 1 | 2026-01-02 |",
        "| test_x[a] | 1 | 0 | 1 | 2026-01-02 |",
        "| all | 8 | 6 | 2 |  |",
    ]
    write_page(page, {"kills": ("9", "9", "0", "2026-01-04")}, mended=["test_x[a]"])
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    assert rows[2:] == [
        "| disks | 2 | 2 | 0 | 2026-01-03 |",
        "| kills | 9 | 9 | 0 | 2026-01-04 |",
        "| all | 11 | 11 | 0 |  |",
    ]
    assert page.read_text().endswith("<!-- end -->\nmore\n")
