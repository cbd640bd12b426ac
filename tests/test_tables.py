import io

import pytest
import rich.console

from p3m_lightning.tables import print_markdown, print_table

HEAD = ("name", "SAD", "why")
NAME = "/data/portraits of a long name/with folders/and more folders/picture_0001.png"
ROWS = [(NAME, "1.25", "-"), ("b\x1b[31m.png", "12", "because it is")]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch):
    def of(width: int) -> Terminal:
        stream = Terminal()
        monkeypatch.setattr("sys.stdout", stream)
        plain = rich.console.Console(file=stream, width=width, color_system=None, force_terminal=False)
        monkeypatch.setattr("p3m_lightning.tables.Console", lambda: plain)
        return stream

    return of


def test_in_a_pipe_a_row_is_a_line_of_cells_between_tabs(capsys):
    print_table(HEAD, ROWS, "what was scored")
    assert capsys.readouterr().out.splitlines() == [
        "what was scored",
        "name\tSAD\twhy",
        f"{NAME}\t1.25\t-",
        "b\\x1b[31m.png\t12\tbecause it is",
    ]


def test_in_a_wide_terminal_it_is_drawn(terminal):
    stream = terminal(140)
    print_table(HEAD, ROWS, sentences=["why"])
    line = next(line for line in stream.getvalue().splitlines() if NAME in line)
    assert line.split() == ["│", *NAME.split(), "│", "1.25", "│", "-", "│"]


@pytest.mark.parametrize("width", [20, 60])
def test_in_a_narrow_terminal_names_stand_whole_on_lines_of_their_own(terminal, width):
    stream = terminal(width)
    print_table(HEAD, ROWS, "title", sentences=["why"])
    lines = stream.getvalue().splitlines()
    assert lines[0] == "title"
    assert NAME in lines
    assert lines[lines.index(NAME) + 1].strip() == "SAD 1.25"


def test_markup_in_names_stays_text(terminal):
    stream = terminal(60)
    print_table(("name", "n"), [("[bold]a[/bold]", 1)])
    assert "[bold]a[/bold]" in stream.getvalue()


def test_sentences_are_wrapped_before_names_are_stacked(terminal):
    stream = terminal(60)
    print_table(("name", "paper"), [("p3mnet_r34", "Li et al., " * 20)], sentences=["paper"])
    assert "│ p3mnet_r34 │" in stream.getvalue()


def test_tables_of_markdown_are_rows_and_tabs_in_a_pipe(capsys):
    print_markdown("Found:\n\n| name | SAD |\n|---|---:|\n| a\\|b\\_c | 1 |")
    assert capsys.readouterr().out == "Found:\n\nname\tSAD\na|b_c\t1\n"


def test_markdown_is_left_alone_in_a_terminal(terminal):
    stream = terminal(80)
    print_markdown("| a |\n|---|\n| 1 |")
    assert stream.getvalue() == "| a |\n|---|\n| 1 |\n"
