import re

import pytest

from brief_training import train

TARGET = "p3m_lightning.training.callbacks.progress.TrainingProgress"


@pytest.mark.parametrize("end", ["trainer.max_epochs=2", "trainer.max_steps=6"])
def test_a_log_gets_lines_of_epoch_step_loss_validation_and_time_left(portraits, tmp_path, capfd, end):
    progress = f"callbacks.progress={{_target_: {TARGET}, every_seconds: 0}}"
    assert train(portraits, tmp_path / "run", progress, end) == 0
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("epoch ")]
    first, last = lines[0], lines[-1]
    assert re.match(r"epoch 1/\d+, step 1/\d+, loss [\d.]+, \d:\d\d:\d\d left$", first)
    assert re.search(r", val/sad [\d.]+, 0:00:00 left$", last)


def test_a_log_of_a_short_training_stays_short(portraits, tmp_path, capfd):
    assert train(portraits, tmp_path / "run", f"callbacks.progress={{_target_: {TARGET}}}", "trainer.max_epochs=1") == 0
    assert "epoch 1" not in capfd.readouterr().err
