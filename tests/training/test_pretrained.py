"""A training that starts from ImageNet weights in a file, which is not needed afterward."""

import json
from pathlib import Path

import pytest
import torch

from p3m_lightning.cli import main
from p3m_lightning.inference.export.metadata import checkpoint_facts
from p3m_lightning.training.history import recorded_history

timm = pytest.importorskip("timm")
ENCODER = "mobilenetv3_small_050"
TINY = [
    "experiment=p3m_synthetic",
    "data=synthetic",
    "trainer=cpu",
    "model=p3mnet",
    "~model.width",
    f"model.encoder={ENCODER}",
    "model.decoder_width=0.25",
    "scheduler=constant",
    "trainer.check_val_every_n_epoch=1",
    "data.num_workers=0",
    "data.batch_size=2",
    "data.train.transform.crop.size=64",
    "data.train.transform.crop.sides=[96,128]",
    "data.holdout=2",
    "data.prepare=null",
    "+lr_factors={encoder.backbone.*: 0.25}",
]


def test_weights_of_a_file_are_read_once_and_remembered(portraits, tmp_path, capsys):
    file = tmp_path / "imagenet.pth"
    torch.save(timm.create_model(ENCODER).state_dict(), file)

    def run(*overrides: str) -> Path:
        where = [f"paths.data={portraits}", f"paths.output={tmp_path / 'outputs'}"]
        assert main(["train", *TINY, *where, f"model.pretrained={file}", *overrides]) == 0
        return Path(capsys.readouterr().out.splitlines()[-1])

    folder = run("trainer.max_epochs=1")
    last = folder / "checkpoints" / "last.ckpt"
    said = "the file imagenet.pth"
    assert json.loads((folder / "results.json").read_text())["pretrained"] == said
    rates = {g["name"]: g["lr"] for g in torch.load(last, weights_only=True)["optimizer_states"][0]["param_groups"]}
    assert rates["encoder.backbone.*"] == pytest.approx(rates["rest"] / 4)
    file.unlink()
    assert run("trainer.max_epochs=2", "ckpt=last") == folder
    assert checkpoint_facts(last)["pretrained"] == said
    followed = run("trainer.max_epochs=1", f"init_from={last}", "model.pretrained=null", "experiment_name=followed")
    assert recorded_history(str(followed / "checkpoints/last.ckpt"), None, None)["pretrained"] == said
