"""A damaged record of a folder is named in one line by whoever resumes there; it never ends in a traceback."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from own_records import damaged, whole_records, write_record
from verbs import LONG

from p3m_lightning.schema import InputError

RECORDS = whole_records()


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_a_whole_record_is_read(record, tmp_path):
    record.read(write_record(tmp_path, record.files))


@pytest.mark.parametrize("kind", RECORDS)
def test_a_damaged_record_is_named_in_a_line(kind, tmp_path, tally):
    files, read = RECORDS[kind]
    cases = [(name, content) for name, whole in files.items() for content in damaged(name, whole)]
    cases = cases if LONG else cases[::5]
    lost = []
    for number, (name, content) in enumerate(cases):
        folder = write_record(tmp_path / str(number), {**files, name: content})
        fault = fault_of(read, folder)
        lost += [f"{name} = {content[:80]!r}: {fault}"] if fault else []
        shutil.rmtree(folder)
    tally("damaged records of resumed work", len(cases), lost)


def fault_of(read, folder: Path) -> str:
    try:
        read(folder)
    except InputError as error:
        lines = len(str(error).splitlines())
        return "" if lines == 1 and str(folder) in str(error) else f"says {str(error)[:200]!r}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}"[:300]
    return ""
