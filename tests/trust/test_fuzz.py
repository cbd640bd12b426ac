"""Bytes made by a fuzzer that is guided by coverage: a reader returns or raises InputError."""

from __future__ import annotations

import os

import pytest
from fuzz import READERS, fuzz
from verbs import LONG

SECONDS = float(os.environ.get("P3M_TRUST_FUZZ", 300 if LONG else 60 / len(READERS)))  # for each reader


@pytest.mark.parametrize("name", READERS)
def test_a_reader_answers_whatever_the_bytes(name, tmp_path, tally):
    pytest.importorskip("atheris")  # has wheels for Linux alone
    found = fuzz(name, SECONDS, tmp_path)
    tally(f"files made by the fuzzer, {name}", found.tried, [found.fault] if found.fault else [])
    assert found.covered > 0, "the fuzzer has seen nothing of the reader"


def test_what_a_reader_does_not_answer_is_found(tmp_path):
    """The fuzzer must be able to fail: a reader of JSON that takes for granted what is in it."""
    pytest.importorskip("atheris")
    found = fuzz("careless", 60, tmp_path)
    assert "ended with" in found.fault
    assert "KeyError" in found.fault or "TypeError" in found.fault or "JSONDecodeError" in found.fault
    assert list(tmp_path.glob("crash-*"))
