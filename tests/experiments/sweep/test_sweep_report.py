import csv
import json

import pytest

from p3m_lightning.experiments.sweep.report import rank, settings_note, write_report
from p3m_lightning.images import read_image

KEYS = ["loss.weights.semantic", "model"]


def row(job, semantic, model, sad=None, reason=""):
    done = sad is not None
    return {
        "rank": None,
        "job": job,
        "state": "done" if done else "failed",
        "score": sad,
        "params": {"loss.weights.semantic": semantic, "model": model},
        "sets": {"P": {"sad": sad, "mse": sad / 100}, "NP": {"sad": sad + 1}} if done else {},
        "gradient_shares": {"semantic": 0.75, "side0": 0.25} if done else {},
        "seconds": 3.0,
        "folder": f"sweeps/{job}",
        "reason": reason,
        "settings": ["seed=0"],
    }


@pytest.fixture
def written(tmp_path, capsys):
    rows = [row(1, "3", "modnet", 2.0), row(0, "1", "modnet", 4.0), row(3, "3", "p3mnet_r34", 5.0)]
    rows += [row(2, "1", "p3mnet_r34", reason="a | b")]
    write_report(rows, KEYS, "val/sad", tmp_path)
    return tmp_path, capsys.readouterr().out


def test_tables_say_the_same_on_screen_and_in_files(written):
    folder, printed = written
    markdown = (folder / "ranking.md").read_text()
    assert "| - | 2 | 1 | p3mnet_r34 | - | - | - | failed: a \\| b |" in markdown
    assert "| 1 | 75.0 % | 25.0 % |" in markdown
    assert "| sad | sum of \\|pred - gt\\| over all pixels / 1000 |" in markdown
    with (folder / "ranking.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["job"] for r in rows] == ["1", "0", "3", "2"]
    assert (rows[0]["val/sad"], rows[0]["NP/sad"], rows[0]["loss.weights.semantic"]) == ("2.0", "3.0", "3")
    assert json.loads((folder / "ranking.json").read_text())["jobs"][3]["reason"] == "a | b"
    assert "failed: a | b" in printed


def test_jobs_that_were_run_with_other_settings_are_told_apart():
    rows = [row(job, "1", "modnet", 2.0) for job in range(4)]
    assert settings_note(rows) == ""
    rows[1]["settings"] = ["trainer.max_epochs=9", "seed=0"]
    rows[3]["settings"] = None  # not begun
    assert settings_note(rows).endswith("settings: 0, 2 with nothing more; 1 with trainer.max_epochs=9.")


def test_plots_are_drawn_for_numbers_and_names(written):
    folder, _ = written
    pictures = {name: read_image(folder / f"{name}.png") for name in ("metrics", "gradient_shares")}
    for picture in pictures.values():
        assert min(picture.shape[:2]) > 200
        assert (picture < 128).any()
    height, width = pictures["metrics"].shape[:2]
    assert height > 0.6 * width  # rows for the score and each of two metrics, columns for two keys


def test_pruned_jobs_rank_below_finished_ones_by_how_far_they_came():
    optuna = pytest.importorskip("optuna")
    study = optuna.create_study(direction="maximize")
    for values, state in (([1.0], "COMPLETE"), ([9.0], "PRUNED"), ([8.0], "PRUNED"), ([3.0], "COMPLETE"), ([], "FAIL")):
        study.enqueue_trial({}, user_attrs={"planned": True})
        trial = study.ask()
        for step, value in enumerate(values):
            trial.report(value, step)
        done = state == "COMPLETE"
        study.tell(trial, values[0] if done else None, state=optuna.trial.TrialState[state])
    rows = rank(study, direction="max")
    assert [(r["job"], r["rank"], r["score"]) for r in rows] == [
        (3, 1, 3.0),
        (0, 2, 1.0),
        (1, None, 9.0),
        (2, None, 8.0),
        (4, None, None),
    ]
    assert [r["reason"] for r in rows] == ["", "", "after epoch 0", "after epoch 0", ""]
