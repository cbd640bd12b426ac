"""The reference of configuration keys, written from conf/."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("configuration_reference", ROOT / "docs/configuration_reference.py")
reference = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(reference)


def test_the_page_is_that_of_conf():
    assert reference.PAGE.read_text() == reference.page(), "run .venv/bin/python docs/configuration_reference.py"


def test_every_key_has_a_meaning():
    files = sorted((ROOT / "conf").rglob("*.yaml"))
    known = reference.meanings(files)
    keys = [(file.stem, reference.elsewhere(one, known)) for file in files for one in reference.keys_of(file)]
    assert len(keys) > 500
    assert [f"{name}: {one.path}" for name, one in keys if not one.meaning] == []


def test_meanings_come_from_comments_and_from_docstrings(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(
        "_target_: p3m_lightning.training.optimization.gradient_clipping.AdaptiveGradientClipping\n"
        "factor: 2.0\nnested:\n  deep: 1  # a comment | of it\nlast: [1, 2]\n"
    )
    rows = {one.path: one for one in reference.keys_of(file)}
    assert rows["factor"].meaning.startswith("the norm is clipped at this many times the average")
    assert (rows["nested.deep"].meaning, rows["nested.deep"].type) == ("a comment | of it", "number")
    assert rows["last"].default == "`[1, 2]`"


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    pytest.importorskip("zensical")
    done = subprocess.run(
        [Path(sys.executable).parent / "zensical", "build", "--clean", "--strict"], cwd=ROOT, check=False
    )
    assert done.returncode == 0
    assert (ROOT / "build/site/reference/python.html").stat().st_size > 50_000
