import sys

import pytest

from p3m_lightning.data import foreground_colors
from p3m_lightning.data.foreground_colors import import_pymatting


@pytest.fixture
def told(monkeypatch):
    """What is told while pymatting is imported."""
    lines = []
    monkeypatch.setattr(foreground_colors, "tell", lines.append)
    return lines


def test_whoever_waits_for_the_compilation_is_told(tmp_path, monkeypatch, told):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert import_pymatting() is sys.modules["pymatting"]
    assert told == ["pymatting compiles its solver; this happens once and takes about a minute"]


def test_where_it_is_compiled_nothing_is_said(tmp_path, monkeypatch, told):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    (tmp_path / "pymatting").mkdir()
    (tmp_path / "pymatting/kernel.py310.nbi").touch()
    import_pymatting()
    assert told == []
