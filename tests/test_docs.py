"""The documents name files and Python names that are there."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = (ROOT, ROOT / "src/p3m_lightning", ROOT / "conf", ROOT / "docs")
DOCUMENTS = [ROOT / "README.md", ROOT / "Makefile", *ROOT.glob("docs/*.md"), *ROOT.glob("notebooks/*.ipynb")]

FILE = re.compile(r"(?<![\w./*{-])(?:[\w-]+/)+[\w-]+\.(?:py|yaml)\b|(?<![\w./*-])[a-z_]+\.py\b")
NAME = re.compile(r"\bp3m_lightning(?:\.[A-Za-z_]\w*)+")
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


def missing_files(text):
    names = (name for name in FILE.findall(text) if "NAME" not in name)  # which stands for any
    return [name for name in names if not any((place / name).exists() for place in PLACES)]


def missing_names(text):
    return [name for name in NAME.findall(text) if not is_there(name)]


def is_there(name):
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[count:]:
            found = getattr(found, attribute, None)
        return found is not None
    return False


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_and_name_in_a_document_is_there(document):
    text = document.read_text()
    assert not missing_files(text)
    assert not missing_names(text)
    if document.suffix == ".md":
        assert not [link for link in LINK.findall(text) if not (document.parent / link).exists()]


def test_what_is_not_there_is_seen():
    assert missing_files("`data/prepare/check.py`, `data/check.py` and run.yaml") == ["data/check.py"]
    assert missing_names("p3m_lightning.data.disk, p3m_lightning.load_model and p3m_lightning.schema.Sample") == [
        "p3m_lightning.data.disk"
    ]


SOURCES = sorted((ROOT / "src/p3m_lightning").rglob("*.py"))
QUESTION = re.compile(r"(?:What|How|Which|Where|Whether|When|Who|Why)\b")


def vague_docstrings(source):
    """First lines of docstrings that begin like a question, in place of a verb or a noun."""
    kinds = (ast.FunctionDef, ast.ClassDef, ast.Module)
    found = (ast.get_docstring(node) for node in ast.walk(ast.parse(source)) if isinstance(node, kinds))
    return [text.splitlines()[0] for text in found if text and QUESTION.match(text)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src/p3m_lightning")))
def test_docstrings_begin_with_a_verb_or_a_noun(path):
    assert vague_docstrings(path.read_text()) == []


def test_a_docstring_that_begins_like_a_question_is_seen():
    assert vague_docstrings('def f():\n    """How far it is."""\n') == ["How far it is."]
