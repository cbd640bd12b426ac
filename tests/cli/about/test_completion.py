"""What a shell is offered: verbs, options, choices, names, groups with their options, and keys part by part."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from p3m_lightning.cli import VERBS, main
from p3m_lightning.cli.about.completion import SCRIPTS, completions
from p3m_lightning.models import MODELS


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tr", ["train"]),
        ("data ch", ["check"]),
        ("data check DIR --j", ["--json"]),
        ("score a b --conventions ", ["p3m", "adobe", "mask"]),
        ("data check DIR --name p3m", ["p3m-10k"]),
        ("train experiment=p3m_q", ["experiment=p3m_quick"]),
        ("train optimizer=", ["optimizer=adam", "optimizer=adamw", "optimizer=sgd"]),
        ("train trainer.max_e", ["trainer.max_epochs="]),
        ("train loss.weights", ["loss.weights."]),
        ("train optim", ["optimizer=", "optimizer."]),
        ("eval wei", ["weights="]),
        ("predict phot", []),
        ("train --nothing", []),
        ("train nothing.at.all=", []),
    ],
)
def test_what_fits_is_offered(line, expected):
    assert completions(line.split(" ")) == expected


def test_an_empty_line_offers_every_verb():
    assert completions([""]) == list(VERBS)


def test_keys_are_those_of_the_options_that_were_chosen_before():
    assert "loss.weights.composition=" in completions(["train", "loss=released", "loss.weights."])
    assert "loss.weights.composition=" not in completions(["train", "loss=vitmatte", "loss.weights."])


def test_models_are_offered_where_one_is_wanted():
    assert completions(["predict", "x", "--model", ""]) == list(MODELS)
    assert completions(["models", "styl"]) == ["stylematte"]


def test_the_words_are_printed_without_torch():
    code = (
        "import sys; from p3m_lightning.cli import main; main(['completion', 'words', '--', 'p3m train model=p3m']);"
        "sys.exit('torch' in sys.modules or 'hydra' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "model=p3mnet_r34" in done.stdout.splitlines()


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_script_of_a_shell_is_one_that_it_can_read(shell, capsys, tmp_path):
    assert main(["completion", shell]) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def put_p3m_into(folder):
    p3m = folder / "p3m"
    p3m.write_text(f'#!/bin/sh\nexec {sys.executable} -m p3m_lightning "$@"\n')
    p3m.chmod(0o755)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("line", "words", "replies"),
    [
        ("p3m tra", "p3m tra", ["train"]),
        # bash takes the = for a word of its own, and replaces what stands behind it alone
        ("p3m train experiment=p3m_q", "p3m train experiment = p3m_q", ["p3m_quick"]),
        ("p3m train optimizer=", "p3m train optimizer =", ["adam", "adamw", "sgd"]),
    ],
)
def test_bash_completes(line, words, replies, tmp_path):
    put_p3m_into(tmp_path)
    script = f"""PATH={tmp_path}:$PATH; {SCRIPTS["bash"]}
        COMP_LINE='{line}'; COMP_POINT={len(line)}; COMP_WORDS=({words}); COMP_CWORD={len(words.split()) - 1}
        _p3m; printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert done.stdout.split() == replies, done.stderr


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.parametrize(
    ("line", "replies"),
    [
        ("p3m tra", ["train"]),
        ("p3m quality ", ["rank", "train"]),
        ("p3m train experiment=p3m_q", ["experiment=p3m_quick"]),
        ("p3m predict ph", ["photo.jpg"]),  # no word of ours fits: files
    ],
)
def test_fish_completes(line, replies, tmp_path):
    put_p3m_into(tmp_path)
    (tmp_path / "photo.jpg").touch()
    script = f"set PATH {tmp_path} $PATH; {SCRIPTS['fish']}; complete -C '{line}'"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3] / "src"), "HOME": str(tmp_path)}
    done = subprocess.run(["fish", "-c", script], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.stdout.split() == replies, done.stderr
