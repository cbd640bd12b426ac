"""Overrides with values that Hydra's grammar would misread."""

from pathlib import Path

import pytest

from p3m_lightning.configuration import compose_run
from p3m_lightning.configuration.quoting import quoted, with_quoted_paths
from p3m_lightning.schema import InputError

AWKWARD = [
    "a=b",
    "a(1)",
    "a,b",
    "a b",
    "it's",
    'a"b',
    "a\\b",
    "a\\",
    "a\\'b",
    "[a]",
    "{a: b}",
    "$a",
    "#a",
    "~a",
    "1e-3",
    "null",
    "",
]


@pytest.mark.parametrize("name", AWKWARD)
def test_a_quoted_value_comes_out_as_it_was(tmp_path, name):
    for text in (name, f"/data/{name}/set", f"{name}\\", f"{name}'"):
        assert compose_run("train", [f"paths.data={quoted(text)}"], tmp_path)["paths"]["data"] == text


def test_a_name_that_is_a_reference_to_hydra_is_refused():
    with pytest.raises(InputError, match="rename"):
        quoted("/data/${seed}")


@pytest.mark.parametrize("name", AWKWARD[:10])
def test_a_path_that_is_there_needs_no_quotes(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    for path in (folder, folder / "last.ckpt", folder.absolute()):  # the file need not be there
        assert compose_run("train", [f"ckpt={path}"], tmp_path)["ckpt"] == str(path)


def test_values_that_hydra_understands_and_paths_that_are_not_there_stay_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("0", "[]", "a,b"):
        Path(name).mkdir()
    plain = ["seed=0", "frozen=[]", "~callbacks.best", "+x={a: 1}", "ckpt='a,b'", "ckpt=c,d", "ckpt=null", "seed="]
    assert with_quoted_paths(plain) == plain
    assert with_quoted_paths(["ckpt=a,b"]) == ["ckpt='a,b'"]
