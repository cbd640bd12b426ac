"""Moving averages of the weights in training: saving, validation and resuming."""

import json
from pathlib import Path

import pytest
import torch

import brief_training
from p3m_lightning import load_model
from p3m_lightning.cli import main
from p3m_lightning.schema import InputError
from p3m_lightning.training.callbacks.moving_average import MovingAverage


def train(portraits: Path, folder: Path, *overrides: str) -> dict:
    options = ("callbacks=averaged", "scheduler=constant", "callbacks.moving_average.decay=0.5", *overrides)
    assert brief_training.train(portraits, folder, *options) == 0
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def test_the_checkpoint_holds_the_average_and_the_run_goes_on_from_the_trained_weights(portraits, tmp_path):
    unbroken = train(portraits, tmp_path / "unbroken", "trainer.max_epochs=2")
    first = train(portraits, tmp_path / "resumed", "trainer.max_epochs=1")
    last = tmp_path / "resumed" / "checkpoints" / "last.ckpt"
    resumed = train(portraits, tmp_path / "resumed", "trainer.max_epochs=2", f"ckpt={last}")

    key = "net.encoder.conv1.weight"
    assert not torch.equal(first["state_dict"][key], first["current_model_state"][key])
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(value, unbroken[part][name]) for name, value in resumed[part].items())
    net = load_model(last)
    assert torch.equal(net.state_dict()[key.removeprefix("net.")], resumed["state_dict"][key])


def test_the_test_after_a_training_is_of_the_average(portraits, tmp_path):
    trained = tmp_path / "trained"
    train(portraits, trained, "trainer.max_epochs=1")
    same = ["data=synthetic", "data.prepare=null", "data.num_workers=0", f"paths.data={portraits}"]
    ckpt = trained / "checkpoints" / "best.ckpt"
    assert main(["eval", f"ckpt={ckpt}", *same, f"hydra.run.dir={tmp_path / 'again'}"]) == 0
    scores = [json.loads((folder / "results.json").read_text())["sets"] for folder in (trained, tmp_path / "again")]
    assert {name: kind["mean"]["sad"] for name, kind in scores[0].items()} == pytest.approx(
        {name: kind["mean"]["sad"] for name, kind in scores[1].items()}, rel=1e-4
    )


def test_the_average_follows_the_weights_quickly_at_first():
    average = MovingAverage(decay=0.9)._kwargs["avg_fn"]
    averaged = torch.zeros(1)
    for updates in range(200):
        kept = min(0.9, (1 + updates) / (10 + updates))
        expected = kept * averaged + (1 - kept) * torch.ones(1)
        averaged = average(averaged, torch.ones(1), torch.tensor(updates))
        torch.testing.assert_close(averaged, expected)
    assert float(averaged) > 0.999
    assert int(average(torch.tensor(3), torch.tensor(7), torch.tensor(1))) == 7  # counters are not averaged


@pytest.mark.parametrize("decay", [0.0, 1.0, -1])
def test_a_decay_that_averages_nothing_is_refused(decay):
    with pytest.raises(InputError, match=r"moving_average\.decay"):
        MovingAverage(decay)
