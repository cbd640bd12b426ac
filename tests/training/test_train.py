"""Training and evaluation from the command line, on a small synthetic set with a narrow P3M-Net."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from pytorch_lightning.callbacks import LearningRateMonitor

import p3m_lightning as p3m
from p3m_lightning.cli import main
from p3m_lightning.configuration import compose_run
from p3m_lightning.losses import AlphaLoss
from p3m_lightning.models.weights import save_weights
from p3m_lightning.schema import InputError
from p3m_lightning.training import MattingModule
from p3m_lightning.training.callbacks.interrupt import StopBetweenBatches
from p3m_lightning.training.run import build_trainer

TINY = [
    "experiment=p3m_synthetic",
    "data=synthetic",
    "trainer=cpu",
    "trainer.log_every_n_steps=1",
    "trainer.check_val_every_n_epoch=1",
    "model.width=0.125",
    "data.num_workers=0",
    "data.batch_size=2",
]
CROPS = [
    "data.train.transform.crop.size=64",
    "data.train.transform.crop.sides=[96,128]",
    "data.holdout=2",
    "data.prepare=null",
]


@pytest.fixture
def run(portraits, tmp_path, capsys):
    """Call p3m in this process; returns the run folder, or what it said on stderr."""

    def call(*overrides, verb="train", code=0, options=(*TINY, *CROPS)):
        fixed = [f"paths.data={portraits}", f"paths.output={tmp_path / 'outputs'}"]
        assert main([verb, *options, *fixed, *overrides]) == code
        captured = capsys.readouterr()
        return Path(captured.out.splitlines()[-1]) if code == 0 else captured.err

    return call


@pytest.fixture(scope="module")
def trained(portraits, tmp_path_factory):
    """The run folder of two epochs."""
    folder = tmp_path_factory.mktemp("trained")
    where = [f"paths.data={portraits}", f"paths.output={folder}"]
    assert main(["train", *TINY, *CROPS, *where, "trainer.max_epochs=2"]) == 0
    return next((folder / "p3m_synthetic").iterdir())


def weights(folder: Path) -> dict:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def test_run_folder_holds_what_the_contract_names(trained):
    config = yaml.safe_load((trained / "config.yaml").read_text())
    assert config["model"]["name"] == "p3mnet_r34"
    assert config["model"]["width"] == 0.125
    assert (trained / "checkpoints" / "best.ckpt").is_file()
    results = json.loads((trained / "results.json").read_text())
    assert set(results["sets"]) == {"P3M-500-P", "P3M-500-NP"}
    assert results["seed"] == 0
    assert {"git_revision", "versions", "seconds"} <= results.keys()
    assert {f"{name}.png" for name in results["sets"]} <= {p.name for p in (trained / "report").iterdir()}


def test_csv_log_has_every_loss_term_and_the_held_out_split(trained):
    with (trained / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    config = yaml.safe_load((trained / "config.yaml").read_text())
    terms = {f"train/loss/{name}" for name in config["loss"]["weights"]}
    assert terms | {"train/loss/total", "val/sad", "val/holdout/sad"} <= rows[0].keys()
    assert sum(bool(row["val/sad"]) for row in rows) == 2
    assert all(row["val/sad"] == row["val/holdout/sad"] for row in rows)  # to the last digit: runs are ranked by it


def test_results_are_the_means_of_the_images(trained):
    results = json.loads((trained / "results.json").read_text())
    for name, report in results["sets"].items():
        images = json.loads((trained / f"metrics_{name}.json").read_text())["images"]
        assert len(images) == 4
        assert report["mean"]["sad"] == pytest.approx(sum(i["sad"] for i in images) / 4)


def test_checkpoint_loads_without_lightning_and_is_the_trained_network(trained):
    code = (
        "import sys, torch, p3m_lightning as p3m\n"
        f"net = p3m.load_model({str(trained / 'checkpoints' / 'last.ckpt')!r})\n"
        "assert net(torch.rand(1, 3, 40, 56)).alpha.shape == (1, 1, 40, 56)\n"
        "assert not any(m.startswith(('pytorch_lightning', 'omegaconf')) for m in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    net = p3m.load_model(trained / "checkpoints" / "last.ckpt")
    saved = weights(trained)
    assert all(torch.equal(value, saved[f"net.{key}"]) for key, value in net.state_dict().items())


LAYOUT = 1e-4
"""Training scores with weights in `channels_last`, an evaluation without: on some processors another order of sums."""


def test_eval_of_the_best_checkpoint_repeats_the_scores_of_training(trained, run):
    folder = run(
        f"ckpt={trained / 'checkpoints' / 'best.ckpt'}", verb="eval", options=["trainer=cpu", "data.prepare=null"]
    )
    ours, theirs = (json.loads((f / "results.json").read_text())["sets"] for f in (folder, trained))
    for name in theirs:
        assert ours[name]["mean"] == pytest.approx(theirs[name]["mean"], rel=LAYOUT)
    assert (folder / "metrics_P3M-500-P.csv").is_file()


def test_resuming_goes_on_in_the_same_folder_and_ends_where_an_unbroken_run_ends(run):
    constant = "scheduler=constant"  # the shape of a warm-up depends on the number of epochs
    folder = run("trainer.max_epochs=1", constant)
    assert run("trainer.max_epochs=2", constant, "ckpt=last") == folder
    with (folder / "metrics.csv").open() as file:
        assert sum(bool(row["val/sad"]) for row in csv.DictReader(file)) == 2
    resumed = weights(folder)
    unbroken = weights(run("trainer.max_epochs=2", constant, "experiment_name=unbroken"))
    assert all(torch.equal(value, unbroken[key]) for key, value in resumed.items())


def test_weights_alone_are_no_training_to_go_on_from(trained, run, tmp_path):
    net = p3m.load_model(trained / "checkpoints" / "last.ckpt")
    path = tmp_path / "net.safetensors"
    save_weights(net, {"model": {"name": "p3mnet_r34", "width": 0.125}}, path)
    renamed = tmp_path / "net.ckpt"
    renamed.write_bytes(path.read_bytes())
    for given in (path, renamed):
        error = run(f"ckpt={given}", code=2)
        assert f"init_from={given}" in error
        assert error.count("\n") == 1
    assert not list((tmp_path / "outputs").rglob("*.*"))
    page = tmp_path / "page.ckpt"
    page.write_text("<html>")
    assert "a page in HTML" in run(f"ckpt={page}", code=2)


def test_an_experiment_is_resumed_whatever_its_folder_is_called(run, trained, tmp_path):
    parent = tmp_path / "lr=0.1, a(1) [it's]"
    shutil.copytree(trained.parents[1], parent)
    last = next(parent.glob("*/*/checkpoints/last.ckpt"))
    assert run(f"paths.output={parent}", "trainer.max_epochs=3", "ckpt=last") == last.parents[1]
    assert torch.load(last, weights_only=True)["epoch"] == 2


def test_a_compiled_networks_training_is_resumed(run, trained, tmp_path):
    folder = Path(shutil.copytree(trained, tmp_path / "compiled"))
    last = folder / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    state = content["state_dict"]
    content["state_dict"] = {key.replace("net.", "net._orig_mod.", 1): value for key, value in state.items()}
    torch.save(content, last)
    run("trainer.max_epochs=2", f"ckpt={last}", f"hydra.run.dir={folder}")  # nothing is left to train
    assert json.loads((folder / "results.json").read_text())["sets"]


def test_a_run_interrupted_inside_an_epoch_ends_where_an_unbroken_run_ends(run, monkeypatch):
    def strike(stopper, trainer, module, batch, index):
        if (trainer.current_epoch, index) == (1, 1):
            raise KeyboardInterrupt

    folder = run("trainer.max_epochs=2")
    unbroken = weights(folder)
    with monkeypatch.context() as patch:
        patch.setattr(StopBetweenBatches, "on_train_batch_start", strike)
        run("trainer.max_epochs=2", "experiment_name=broken", code=130)
    (last,) = folder.parents[1].glob("broken/*/checkpoints/last.ckpt")
    # processes that load ahead must know the epoch, and how much of it is done
    run("trainer.max_epochs=2", f"ckpt={last}", f"hydra.run.dir={last.parents[1]}", "data.num_workers=1")
    resumed = weights(last.parents[1])
    assert all(torch.equal(value, unbroken[key]) for key, value in resumed.items())


def test_same_seed_gives_the_same_weights_and_another_seed_others(run):
    first, second, other = (weights(run("trainer.max_epochs=1", f"seed={seed}")) for seed in (3, 3, 4))
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    assert not all(torch.equal(value, other[key]) for key, value in first.items())


def test_nothing_to_resume_is_said(run):
    assert "no " in run("ckpt=last", code=2)


@pytest.mark.slow
def test_three_processes_score_every_image_once_and_alike(trained, portraits, tmp_path):
    command = [sys.executable, "-m", "p3m_lightning", "eval", f"ckpt={trained / 'checkpoints' / 'best.ckpt'}"]
    command += [f"paths.data={portraits}", f"paths.output={tmp_path}", "trainer=ddp_sim", "trainer.devices=3"]
    command += ["data.prepare=null"]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.splitlines()[-1])
    for name in ("P3M-500-P", "P3M-500-NP"):  # four images each: three processes cannot share them evenly
        ours, theirs = (json.loads((f / f"metrics_{name}.json").read_text()) for f in (folder, trained))
        assert sorted(i["name"] for i in ours["images"]) == sorted(i["name"] for i in theirs["images"])
        assert ours["mean"] == pytest.approx(theirs["mean"], rel=LAYOUT)


@pytest.mark.slow
def test_more_processes_than_images_are_refused(trained, portraits, tmp_path):
    command = [sys.executable, "-m", "p3m_lightning", "eval", f"ckpt={trained / 'checkpoints' / 'best.ckpt'}"]
    command += [f"paths.data={portraits}", f"paths.output={tmp_path}", "trainer=ddp_sim", "data.prepare=null"]
    command += ["data.tests.P3M-500-P.limit=1"]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode != 0
    assert "2 processes cannot share 1 images" in done.stderr


def test_two_processes_of_torchrun_train_one_network_in_one_folder(portraits, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "p3m_lightning", "train", *TINY, *CROPS, "trainer=ddp_sim", "trainer.max_epochs=1"]
    command += [f"paths.data={portraits}", f"paths.output={tmp_path}", "lr_scaling.rule=linear"]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.splitlines()[-1])
    assert list(folder.parent.iterdir()) == [folder]
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 1  # 4 images, 2 x 2
    assert done.stdout.count("effective batch 2 x 2 processes x 1 accumulation = 4; lr 0.002 x 2") == 1


def test_a_network_that_has_diverged_is_said_to_have():
    net = torch.nn.Identity()
    net.needs_trimap = False
    module = MattingModule(net, infer=lambda net, image, trimap: image[:, :1] / 0)
    with pytest.raises(InputError, match="matte is not finite: the training diverged"):
        module.validation_step({"image": torch.zeros(1, 3, 8, 8), "name": ["portrait"]}, 0)


def test_a_weight_without_a_term_is_refused_when_the_module_is_built():
    with pytest.raises(InputError, match=r"terms without a weight: \['laplacian'\]; weights without a term: \['lap'\]"):
        MattingModule(torch.nn.Identity(), infer=None, loss=AlphaLoss(), weights={"alpha": 1.0, "lap": 1.0})


@pytest.mark.parametrize("removed", ["~loss.weights.composition", "~loss.weights"])
def test_a_loss_without_weight_is_refused(run, removed):
    assert "composition" in run(removed, code=2)


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("model.wdith=0.5", "wdith"),
        ("experiment=nonesuch", "nonesuch"),
        ("optimizer.lr=", "optimizer"),
        ("ckpt=nonesuch.ckpt", "nonesuch.ckpt"),
        ("+model.depth=3", "depth"),
        ("trainer.precision=bf16-true", "bf16-mixed"),
        ("trainer.precision=64-true", "bf16-mixed"),
        ("trainer.precision=transformer-engine", "bf16-mixed"),
        ("trainer.max_epochs=-1", "max_steps"),
        ("trainer.max_epochs=many", "trainer.max_epochs=many: give a whole number"),
        ("trainer.max_epochs=1.5", "trainer.max_epochs=1.5: give a whole number"),
        ("trainer.max_epochs=-2", "from -1 up"),
        ("trainer.accumulate_grad_batches=0", "from 1 up"),
        ("trainer.log_every_n_steps=often", "log_every_n_steps=often"),
        ("+trainer.gradient_clip_val=little", "gradient_clip_val=little"),
        ("data.batch_size=few", "data.batch_size=few: give a whole number from 1 up"),
        ("data.num_workers=-1", "data.num_workers=-1"),
        ("seed=-1", "seed=-1: give a whole number from 0 to"),
        ("frozen=3", "frozen: 3 is not a list"),
        ("loss.weights.composition=much", "loss.weights.composition=much: give a number"),
        ("inference.mode=hybird", "inference: mode=hybird"),
        ("+inference.scale=-1", "inference: scale=-1"),
        ("paths.data=nowhere", "nowhere"),
    ],
)
def test_a_wrong_key_or_path_is_one_line_that_names_it(run, override, named):
    message = run(override, code=2)
    assert named in message
    assert len(message.strip().splitlines()) == 1


def test_ctrl_c_exits_130_and_leaves_a_checkpoint_to_resume(portraits, tmp_path):
    command = [sys.executable, "-m", "p3m_lightning", "train", *TINY, *CROPS, "trainer.max_epochs=500"]
    command += [f"paths.data={portraits}", f"paths.output={tmp_path}", "callbacks.progress=null"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("*/*/checkpoints/last.ckpt")):
        assert process.poll() is None, process.stderr.read()
    process.send_signal(2)
    process.wait(60)
    assert process.returncode == 130
    last = next(tmp_path.glob("*/*/checkpoints/last.ckpt"))
    assert torch.load(last, weights_only=True)["config"]["model"]["name"] == "p3mnet_r34"


def test_without_a_log_nothing_is_there_that_only_logs(tmp_path):
    monitors = {}
    for logger in ("none", "csv"):
        trainer = build_trainer(compose_run("train", [f"logger={logger}", "trainer=cpu"], tmp_path))
        monitors[logger] = [one for one in trainer.callbacks if isinstance(one, LearningRateMonitor)]
    assert not monitors["none"]
    assert len(monitors["csv"]) == 1


def test_without_a_progress_bar_of_ours_there_is_none(tmp_path):
    bars = {}
    for override in ("callbacks.progress=null", "seed=0"):
        trainer = build_trainer(compose_run("train", [override, "trainer=cpu"], tmp_path))
        bars[override] = trainer.progress_bar_callback is not None
    assert bars == {"callbacks.progress=null": False, "seed=0": True}


OWN = """
import hydra, p3m_lightning

@hydra.main(version_base="1.3", config_path="pkg://p3m_lightning.conf", config_name="train")
def main(config):
    print(p3m_lightning.train(config)["checkpoint"])

main()
"""


def test_a_script_with_hydra_main_trains_as_the_command_line_does(portraits, trained, tmp_path):
    where = [f"paths.data={portraits}", f"paths.output={tmp_path}"]
    command = [sys.executable, "-c", OWN, *TINY, *CROPS, *where, "trainer.max_epochs=2"]
    subprocess.run(command, check=True, cwd=tmp_path, stdout=subprocess.PIPE)
    (folder,) = (tmp_path / "p3m_synthetic").iterdir()
    assert all(torch.equal(value, weights(folder)[name]) for name, value in weights(trained).items())
