"""A run folder of an older version, made before modules moved, evaluates, compares and resumes.

`recorded_run/` is one epoch of a narrow DIM with a frozen encoder on the rendered set of the fixture `portraits`.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from hydra.utils import get_object

from p3m_lightning import load_model
from p3m_lightning.cli import main
from p3m_lightning.configuration import current_targets
from p3m_lightning.experiments.ppt.steps import is_finished
from p3m_lightning.experiments.run_folders import differing_keys, read_runs
from p3m_lightning.schema import InputError

RECORDED = Path(__file__).parent / "recorded_run"
RECIPE = [
    "experiment=dim",
    "data=synthetic",
    "trainer=cpu",
    "trainer.log_every_n_steps=1",
    "trainer.check_val_every_n_epoch=1",
    "trainer.max_epochs=2",
    "model.width=0.00390625",
    "frozen=[encoder.*]",
    "scheduler=warmup_cosine",
    "optimizer.lr=1e-3",
    "data.num_workers=0",
    "data.batch_size=2",
    "data.holdout=2",
    *[f"data.prepare.{key}={value}" for key, value in {"train": 6, "test": 4, "size": 160, "seed": 1}.items()],
    "data.train.transform.crop.size=64",
    "data.train.transform.crop.sides=[96,128]",
    "callbacks.mattes.side=48",
    "experiment_name=recorded",
]
# the network's own matte of the input below, every 8th row and 12th column, by the version that trained it
DETAIL = [
    [0.265458, 0.208331, 0.060911, 0.097052],
    [0.005298, 0.098315, 0.0, 0.0],
    [0.093534, 0.255756, 0.185194, 0.092404],
    [0.389553, 0.457057, 0.315174, 0.145382],
]


@pytest.fixture
def recorded(tmp_path):
    """A copy of the run folder, in a folder whose name is hard to write in Hydra's grammar."""
    return Path(shutil.copytree(RECORDED, tmp_path / "lr=0.1,a (b's)" / "run"))


def call(*arguments):
    assert main([str(argument) for argument in arguments]) == 0


def test_its_network_mattes_as_it_did():
    net = load_model(RECORDED / "checkpoints" / "last.ckpt")
    rows, columns = torch.meshgrid(torch.arange(32) / 31, torch.arange(48) / 47, indexing="ij")
    image = torch.stack([rows, columns, rows * columns])[None]
    trimap = (rows > 0.3).long() + (rows > 0.7).long()
    with torch.no_grad():
        detail = net(image, trimap[None, None]).detail[0, 0]
    torch.testing.assert_close(detail[::8, ::12], torch.tensor(DETAIL), atol=1e-4, rtol=0)


def test_it_is_evaluated_and_compared_with_the_evaluation(recorded, portraits, tmp_path, capsys):
    checkpoint = recorded / "checkpoints" / "last.ckpt"
    where = [f"paths.data={portraits}", f"paths.output={tmp_path / 'out'}", "data.prepare=null"]
    call("eval", f"ckpt={checkpoint}", "trainer=cpu", *where)
    folder = capsys.readouterr().out.splitlines()[-1]
    then, now = (json.loads((Path(run) / "results.json").read_text()) for run in (recorded, folder))
    assert now["inference"] == then["inference"] | {"optimize": True}  # an evaluation runs the folded network
    assert now["sets"].keys() == then["sets"].keys()
    call("compare", f"then={recorded}", f"now={folder}", "-o", tmp_path / "comparison")
    assert "then" in (tmp_path / "comparison" / "compare.html").read_text()


def test_it_is_resumed_as_the_next_epoch_with_the_optimizers_moments(recorded, portraits):
    checkpoint = recorded / "checkpoints" / "last.ckpt"
    before = torch.load(checkpoint, weights_only=True)
    call("train", *RECIPE, f"paths.data={portraits}", f"ckpt={checkpoint}", f"hydra.run.dir={recorded}")
    after = torch.load(checkpoint, weights_only=True)
    assert (before["epoch"], after["epoch"]) == (0, 1)
    assert after["global_step"] == 2 * before["global_step"]
    steps = [state["step"] for state in after["optimizer_states"][0]["state"].values()]
    assert steps
    assert all(step == after["global_step"] for step in steps)
    moved = {key for key, value in after["state_dict"].items() if not torch.equal(value, before["state_dict"][key])}
    assert moved
    assert not any(key.startswith("net.encoder.") for key in moved)
    differing = differing_keys(read_runs([str(RECORDED), str(recorded)]))
    assert differing["trainer.max_epochs"] == [1, 2]
    # what writes last.ckpt and shows progress are other classes by now, and one is new; all others have only moved
    new = {"callbacks.last._target_", "callbacks.progress._target_", "callbacks.finite._target_"}
    assert {key for key in differing if key.endswith("_target_")} == new


def test_what_it_finished_is_not_refused_for_names_that_have_moved(recorded):
    config = yaml.safe_load((recorded / "config.yaml").read_text())
    pictures = "p3m_lightning.training.callbacks.picture_sheet.PictureSheet"
    config["callbacks"]["pictures"]["_target_"] = pictures
    config["data"]["prepare"]["_target_"] = "p3m_lightning.synthetic.synthesize"
    today = current_targets(config)
    assert is_finished(recorded, today)
    today["callbacks"]["pictures"]["_target_"] = "another"
    with pytest.raises(InputError, match=f"{pictures} instead of another"):
        is_finished(recorded, today)


def test_every_target_that_it_names_is_there_today():
    found = []

    def walk(node):
        for key, value in node.items():
            if key == "_target_":
                found.append(get_object(value))
            elif isinstance(value, dict):
                walk(value)

    walk(current_targets(yaml.safe_load((RECORDED / "config.yaml").read_text())))
    assert len(found) > 20
