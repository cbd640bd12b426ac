"""Training in stages, on a small synthetic set with a narrow P3M-Net."""

import csv
import json
import os
import subprocess
import sys

import pytest
import torch
import yaml

from p3m_lightning import compose_run, load_model
from p3m_lightning.cli import main
from p3m_lightning.cli.shared.resuming import resume_last
from p3m_lightning.configuration.quoting import quoted
from p3m_lightning.models import create_model
from p3m_lightning.schema import InputError
from p3m_lightning.training import stages, train
from p3m_lightning.training.stages import list_stages, merged, relocated
from p3m_lightning.training.start import freeze

TOY = [
    "data=synthetic",
    "data.prepare=null",
    "data.num_workers=0",
    "data.batch_size=2",
    "data.holdout=2",
    "data.train.transform.crop.size=64",
    "data.train.transform.crop.sides=[96]",
    "model.width=0.125",
    "loss=alpha",
    "trainer=cpu",
    "trainer.limit_test_batches=1",
    "trainer.log_every_n_steps=1",
    "callbacks.progress=null",
    "+stages.rough={trainer: {max_epochs: 1}, optimizer: {lr: 1e-3}, frozen: [encoder.*]}",
    "+stages.fine={trainer: {max_epochs: 2}, loss: {weights: {laplacian: 0.5}}}",
]

LOOSE = "trainer.strategy=ddp_find_unused_parameters_true"  # loss=alpha leaves the side outputs without a gradient


def toy_run(portraits, folder, *overrides):
    return compose_run("train", [*TOY, f"paths.data={portraits}", f"paths.output={folder.parent}", *overrides], folder)


def weights(path):
    return torch.load(path, weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def staged(portraits, tmp_path_factory):
    """The run folder of two stages."""
    folder = tmp_path_factory.mktemp("staged") / "run"
    train(toy_run(portraits, folder))
    return folder


def test_every_stage_is_a_run_folder_of_its_own_with_its_own_keys(staged):
    rough, fine = (
        yaml.safe_load((staged / f"stages/{name}/config.yaml").read_text()) for name in ("1_rough", "2_fine")
    )
    assert (rough["optimizer"]["lr"], fine["optimizer"]["lr"]) == (1e-3, 1e-5)
    assert (rough["trainer"]["max_epochs"], fine["trainer"]["max_epochs"]) == (1, 2)
    assert fine["loss"]["weights"] == {"alpha": 1.0, "laplacian": 0.5}
    assert fine["init_from"] == str(staged / "stages/1_rough/checkpoints/best.ckpt")
    assert fine["callbacks"]["best"]["dirpath"] == str(staged / "stages/2_fine/checkpoints")


def test_one_record_tells_of_all_stages_and_looks_like_any_run(staged):
    results = json.loads((staged / "results.json").read_text())
    assert [stage["name"] for stage in results["stages"]] == ["rough", "fine"]
    assert results["stages"][1]["sets"] == results["sets"]
    assert results["sets"].keys() == {"P3M-500-P", "P3M-500-NP"}
    assert torch.equal(
        *(weights(f / "checkpoints/best.ckpt")["net.encoder.conv1.weight"] for f in (staged, staged / "stages/2_fine"))
    )
    assert (staged / "report/P3M-500-P.png").is_file()
    assert (staged / "metrics_P3M-500-NP.json").is_file()
    with (staged / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss/total"]]
    assert [row["stage"] for row in rows] == ["rough"] * 2 + ["fine"] * 4  # 4 images left, 2 a batch
    assert [int(row["step"]) for row in rows] == list(range(6))


def test_what_is_frozen_stays_as_it_was_and_learns_afterwards(staged):
    torch.manual_seed(0)
    first, second = (weights(staged / f"stages/{name}/checkpoints/last.ckpt") for name in ("1_rough", "2_fine"))
    encoder = [key for key in first if key.startswith("net.encoder.")]
    running = [key for key in encoder if "running_mean" in key]
    assert running
    assert all(not first[key].any() for key in running)  # as they start: nothing flowed into them
    assert all(second[key].any() for key in running)


def test_an_interruption_inside_a_stage_ends_where_an_unbroken_run_ends(portraits, staged, tmp_path, monkeypatch):
    folder = tmp_path / "default" / "run"
    calls = []

    def interrupted(config):
        calls.append(config["init_from"])
        if "fine" in config["paths"]["run"]:
            once({**config, "trainer": {**config["trainer"], "max_epochs": 1}})
            (folder / "stages/2_fine/results.json").unlink()
            raise KeyboardInterrupt
        return once(config)

    once = stages.train_once
    monkeypatch.setattr(stages, "train_once", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(toy_run(portraits, folder))
    monkeypatch.undo()
    overrides = resume_last([*TOY, f"paths.data={portraits}", f"paths.output={tmp_path}", "ckpt=last"])
    assert overrides[-1] == f"hydra.run.dir={quoted(folder)}"
    before = (folder / "stages/1_rough/checkpoints/last.ckpt").stat().st_mtime_ns
    train(toy_run(portraits, folder))
    assert (folder / "stages/1_rough/checkpoints/last.ckpt").stat().st_mtime_ns == before
    ours, theirs = (weights(f / "stages/2_fine/checkpoints/last.ckpt") for f in (folder, staged))
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


@pytest.mark.slow
def test_two_processes_go_through_the_stages_together(portraits, tmp_path):
    command = [sys.executable, "-m", "p3m_lightning", "train", *TOY, "trainer=ddp_sim", LOOSE]
    command += [f"paths.data={portraits}", f"hydra.run.dir={tmp_path / 'run'}"]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("stage 2 of 2, fine") == 1
    rough, fine = (tmp_path / f"run/stages/{name}/checkpoints" for name in ("1_rough", "2_fine"))
    saved = [torch.load(place / "last.ckpt", weights_only=True) for place in (rough, fine)]
    assert [checkpoint["global_step"] for checkpoint in saved] == [1, 2]  # 4 images, 2 processes with 2 a batch
    assert saved[1]["config"]["init_from"] == ".../best.ckpt"
    stages = json.loads((tmp_path / "run/results.json").read_text())["stages"]
    assert [stage["name"] for stage in stages] == ["rough", "fine"]


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("+stages.fine.seed=3", "stages.fine: seed"),
        ("stages.rough.frozen=[encodr.*]", "stages.rough: frozen"),
        ("stages.rough.frozen=[*]", "nothing to learn"),
        ("stages.rough.frozen=encoder.*", "not a list"),
        ("+stages.fine.data.batchsize=3", "stages.fine"),
        ("+stages.third=3", "stages.third"),
        ("+stages.fine.loss.weights.lapacian=1", "lapacian"),
        ("ckpt=some.ckpt", "init_from"),
    ],
)
def test_what_is_wrong_in_any_stage_is_said_before_the_first_one(portraits, tmp_path, capsys, override, named):
    where = [f"paths.data={portraits}", f"paths.output={tmp_path}"]
    assert main(["train", *TOY, *where, override]) == 2
    message = capsys.readouterr().err.strip()
    assert named in message
    assert len(message.splitlines()) == 1
    assert not list(tmp_path.rglob("*.ckpt"))


def test_the_mean_of_the_stages_named_is_written_at_the_end(portraits, tmp_path):
    run = tmp_path / "run"
    train(toy_run(portraits, run, "average=[rough,fine]"))
    mean = load_model(run / "average.safetensors").state_dict()
    handed_on = [load_model(path).state_dict() for path in sorted(run.glob("stages/*/checkpoints/best.ckpt"))]
    key = "encoder.conv1.weight"
    assert len(handed_on) == 2
    torch.testing.assert_close(mean[key], (handed_on[0][key] + handed_on[1][key]).div(2).half().to(mean[key]))


@pytest.mark.parametrize("average", ["[fine]", "[rough,fien]"])
def test_an_average_of_one_stage_or_of_none_is_refused(portraits, tmp_path, average):
    with pytest.raises(InputError, match="average"):
        list_stages(toy_run(portraits, tmp_path / "run", f"average={average}"))
    with pytest.raises(InputError, match=r"average=\[\]"):
        train(toy_run(portraits, tmp_path / "run", f"average={average}", "stages=null"))


def test_stages_set_to_null_are_left_out(portraits, tmp_path):
    assert [stage.name for stage in list_stages(toy_run(portraits, tmp_path, "stages.rough=null"))] == ["fine"]
    with pytest.raises(InputError, match="every stage"):
        list_stages(toy_run(portraits, tmp_path, "stages.rough=null", "stages.fine=null"))


def test_the_articles_stages_and_ablations_compose(portraits, tmp_path):
    base = ["experiment=stylematte_p3m10k", f"paths.data={portraits}"]
    config = compose_run("train", [*base, "model.upsampler=bilinear", "model.fpn=false"], tmp_path)
    assert (config["model"]["upsampler"], config["model"]["fpn"]) == ("bilinear", False)
    losses = [stage.config["loss"]["weights"].keys() for stage in list_stages(config)]
    assert losses == [{"dice", "bce"}, {"dice", "bce", "hausdorff"}, {"squared", "laplacian"}]


def test_mappings_merge_unless_they_say_what_to_build():
    base = {"a": {"_target_": "x", "k": 1}, "b": {"c": 1, "d": 2}}
    assert merged(base, {"a": {"_target_": "y"}, "b": {"c": 3}}) == {"a": {"_target_": "y"}, "b": {"c": 3, "d": 2}}
    assert merged(base, {"a": {"k": 2}})["a"] == {"_target_": "x", "k": 2}


def test_only_paths_below_the_run_folder_move():
    tree = {"a": "out/run", "b": ["out/run/x", "out/runs", 3]}
    assert relocated(tree, "out/run", "out/run/stages/1") == {
        "a": "out/run/stages/1",
        "b": ["out/run/stages/1/x", "out/runs", 3],
    }


def test_frozen_modules_behave_as_in_evaluation():
    net = create_model("p3mnet_r34", width=0.125).train()
    freeze(net, ["encoder.*"])
    assert not net.encoder.training
    assert net.training
    assert {name.split(".")[0] for name, p in net.named_parameters() if not p.requires_grad} == {"encoder"}
