"""W&B sweeps, with an agent that is not there: its environment, and the command that it would run."""

import json

import pytest
import yaml

from brief_training import BRIEF
from p3m_lightning.cli import main


@pytest.fixture
def sweep(tmp_path, capsys):
    def write(*words: str) -> dict:
        file = tmp_path / "sweep.yaml"
        assert main(["sweep", "wandb", *BRIEF, *words, "-o", str(file)]) == 0
        capsys.readouterr()
        return yaml.safe_load(file.read_text())

    return write


def test_choices_make_a_grid(sweep):
    written = sweep("loss.weights.semantic=0.5,3", "optimizer=adam,adamw")
    assert written["method"] == "grid"
    assert written["metric"] == {"name": "val/sad", "goal": "minimize"}
    assert written["parameters"] == {
        "loss.weights.semantic": {"values": [0.5, 3]},
        "optimizer": {"values": ["adam", "adamw"]},
    }
    assert written["command"][:3] == ["p3m", "train", "logger=wandb"]
    assert written["command"][-1] == "${args_no_hyphens}"


def test_intervals_make_a_bayesian_search(sweep):
    written = sweep("optimizer.lr=tag(log, interval(0.001,0.1))", "data.batch_size=int(interval(1,4))")
    assert written["method"] == "bayes"
    assert written["parameters"]["optimizer.lr"] == {"distribution": "log_uniform_values", "min": 0.001, "max": 0.1}
    assert written["parameters"]["data.batch_size"] == {"distribution": "int_uniform", "min": 1, "max": 4}


def test_parameters_of_a_search_group_are_taken(sweep):
    assert "loss.weights.fusion_alpha" in sweep("hparams_search=loss_weights")["parameters"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to sweep over"),
        (["seed=1,2", "optimzer.lr=1"], "did you mean optimizer.lr?"),
        (["optimizer.lr=interval(0,1)", "--method", "grid"], "--method grid: optimizer.lr is an interval"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_a_file_is_there(tmp_path, capsys, words, message):
    assert main(["sweep", "wandb", *BRIEF, *words, "-o", str(tmp_path / "sweep.yaml")]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_agent_s_run_keeps_its_id_and_goes_on_after_a_preemption(portraits, tmp_path, monkeypatch, capsys):
    for key, value in {"WANDB_MODE": "offline", "WANDB_SWEEP_ID": "s1", "WANDB_RUN_ID": "agent123"}.items():
        monkeypatch.setenv(key, value)
    command = [
        "train",
        *BRIEF,
        f"paths.data={portraits}",
        f"paths.output={tmp_path}",
        "logger=wandb",
        "--loss.weights.semantic=3",
    ]
    folders = []
    for epochs in (1, 2):  # the agent is stopped after the first, and starts the same command again
        assert main([*command, f"trainer.max_epochs={epochs}"]) == 0
        folders.append(capsys.readouterr().out.splitlines()[-1])
    assert folders[0] == folders[1]
    (run,) = (tmp_path / "p3m_synthetic").iterdir()
    assert (run / "wandb_id.txt").read_text().strip() == "agent123"
    assert json.loads((run / "results.json").read_text())["task"] == "train"
    monkeypatch.setenv("WANDB_RUN_ID", "another")
    assert main([*command, "trainer.max_epochs=1"]) == 0
    assert len(list((tmp_path / "p3m_synthetic").iterdir())) == 2
