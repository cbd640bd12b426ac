import io
import time

import pytest
from rich.console import Console

from p3m_lightning.progress import Occasionally, progress_bar, spent, track


@pytest.fixture
def log(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("p3m_lightning.progress.Console", lambda stderr: Console(file=stream))
    return stream


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_every_half_minute(log, clock):
    for i in track(range(100), "predicting"):
        clock[0] += 1
        if i == 89:
            break
    lines = log.getvalue().splitlines()
    assert [line.split(",")[0] for line in lines] == ["predicting 30/100", "predicting 60/100"]
    assert lines[0].endswith("0:00:30 gone, 0:01:10 left")


def test_quick_work_leaves_a_log_alone(log):
    assert list(track(iter("abc"), "scoring", total=3)) == ["a", "b", "c"]
    assert log.getvalue() == ""


def test_without_a_total_the_count_is_told(log, clock):
    with progress_bar() as bar:
        task = bar.add_task("frames", total=None)
        clock[0] += 31
        bar.advance(task)
    assert log.getvalue() == "frames 1, 0:00:31 gone\n"


def test_a_terminal_gets_a_bar(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("p3m_lightning.progress.Console", lambda stderr: Console(file=stream, force_terminal=True))
    list(track(range(3), "scoring"))
    assert "3/3" in stream.getvalue()


def test_lines_are_due_at_intervals(clock):
    lines = Occasionally(10)
    due = []
    for second in range(35):
        clock[0] = float(second)
        due += [second] if lines.due() else []
    assert due == [10, 20, 30]


def test_durations_read_as_clocks():
    assert spent(3723.4) == "1:02:03"
