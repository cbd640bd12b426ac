"""What a verb prints and cannot be written: one line and exit code 2, as for files."""

import errno
import io
import sys

import pytest

from p3m_lightning.cli import main


class Full(io.StringIO):
    """A stream on a full disk: nothing gets through, at once or when it is flushed."""

    def __init__(self, at_once: bool, number: int = errno.ENOSPC) -> None:
        super().__init__()
        self.at_once, self.number = at_once, number

    def write(self, text: str) -> int:
        if self.at_once:
            raise OSError(self.number, "No space left on device")
        return len(text)

    def flush(self) -> None:
        raise OSError(self.number, "No space left on device")


@pytest.mark.parametrize("at_once", [True, False])
def test_a_full_standard_output_is_named(at_once, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Full(at_once))
    assert main(["--version"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("p3m: standard output: cannot be written (No space left on device); free some")
    assert said.count("\n") == 1


def test_a_reader_that_has_gone_is_no_fault(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Full(False, errno.EPIPE))
    assert main(["--version"]) == 0
    assert capsys.readouterr().err == ""


def test_what_went_wrong_before_is_told_rather_than_the_output(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Full(False))
    assert main(["predict", str(tmp_path / "nobody.jpg"), "-o", str(tmp_path / "out")]) == 2
    assert "nobody.jpg: no such file" in capsys.readouterr().err


def test_a_full_standard_error_changes_no_exit_code(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Full(True))
    assert main(["predict", str(tmp_path / "nobody.jpg"), "-o", str(tmp_path / "out"), "--ckpt", "x.ckpt"]) == 2


def test_a_read_only_file_system_has_a_cure(monkeypatch, capsys):
    def fail(_):
        raise OSError(errno.EROFS, "Read-only file system", "/somewhere/else")

    monkeypatch.setattr("p3m_lightning.cli._run", fail)
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("p3m: /somewhere/else: cannot be written (Read-only file system); choose")
