"""Verbs under Hydra tell at once what is missing."""

import subprocess
import sys

import pytest

READING = (
    "eval ckpt",
    "train ckpt",
    "gan train ckpt",
    "quality train ckpt",
    "train init_from",
    "finetune paths.new=. init_from",
)


@pytest.mark.parametrize("verb", READING)
@pytest.mark.parametrize(
    ("checkpoint", "told"),
    [("bets.ckpt", "bets.ckpt: no such file; did you mean best.ckpt?"), ("3", "3: no such file")],
)
def test_a_missing_checkpoint_is_named_before_torch_is_imported(verb, checkpoint, told, tmp_path):
    (tmp_path / "best.ckpt").touch()
    run = f"from p3m_lightning.cli import main; main({f'{verb}={checkpoint}'.split()})"
    code = f"import sys; {run}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stderr.splitlines() == [f"p3m: {told}"]
    assert done.stdout == "False\n"
