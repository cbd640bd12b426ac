"""Hydra's own flags and habits on our verbs."""

from pathlib import Path

import pytest
import yaml

from p3m_lightning.cli import main
from p3m_lightning.cli.shared.overrides import dashed_as_overrides


def printed(capsys, *words: str) -> dict:
    assert main([str(word) for word in words]) == 0
    return yaml.safe_load(capsys.readouterr().out)


@pytest.mark.parametrize("verb", ["train", "eval", "ppt", "cycle"])
def test_the_composed_configuration_is_printed_and_nothing_run(verb, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "paths" in printed(capsys, verb, "--cfg", "job")
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_it_is_printed_resolved(capsys):
    part = printed(capsys, "gan", "train", "--cfg", "job", "--resolve", "--package", "paths", "paths.output=there")
    assert part["output"] == "there"


@pytest.mark.parametrize("info", ["defaults", "defaults-tree", "searchpath", "config"])
def test_hydra_tells_where_it_comes_from(info, capsys):
    assert main(["train", "--info", info]) == 0
    assert "p3m_lightning.conf" in capsys.readouterr().out or info.startswith("defaults")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cfg", "job", "--info"], "give one of them"),
        (["--resolve"], "go with --cfg"),
        (["--cfg", "job", "optimzer.lr=1"], "did you mean optimizer.lr?"),
        (["--cfg", "job", "--config-dir", "nowhere"], "--config-dir nowhere: no such folder"),
    ],
)
def test_wrong_flags_are_one_line(words, message, capsys):
    assert main(["train", *words]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_agents_dashes_are_overrides(capsys):
    assert printed(capsys, "train", "--optimizer.lr=0.25", "--cfg=job", "-p", "optimizer")["lr"] == 0.25


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (["train", "--seed=3", "--cfg=job"], ["train", "seed=3", "--cfg=job"]),
        (["gan", "train", "--images=3"], ["gan", "train", "images=3"]),
        (["gan", "sample", "--count=3"], ["gan", "sample", "--count=3"]),
        (["predict", "--mode=resize"], ["predict", "--mode=resize"]),
    ],
)
def test_only_verbs_with_a_configuration_take_dashes_so(given, taken):
    assert dashed_as_overrides(given) == taken


def test_overrides_may_stand_on_both_sides_of_an_option(capsys):
    assert printed(capsys, "train", "experiment=p3m_quick", "--cfg", "job", "seed=71")["seed"] == 71


@pytest.fixture
def own(tmp_path) -> Path:
    """A user's folder of configuration groups."""
    folder = tmp_path / "own conf"
    (folder / "experiment").mkdir(parents=True)
    (folder / "experiment/mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - p3m_quick\n  - override /optimizer: slow\nseed: 71\n"
    )
    (folder / "optimizer").mkdir()
    (folder / "optimizer/slow.yaml").write_text("_target_: torch.optim.SGD\n_partial_: true\nlr: 0.125\n")
    return folder


@pytest.mark.parametrize("way", ["--config-dir", "hydra.searchpath"])
def test_a_folder_of_ones_own_lies_beside_ours(own, capsys, tmp_path, monkeypatch, way):
    monkeypatch.chdir(tmp_path)
    where = {"--config-dir": ["--config-dir", own], "hydra.searchpath": [f"hydra.searchpath=['file://{own}']"]}[way]
    config = printed(capsys, "train", *where, "experiment=mine", "--cfg", "job")
    assert (config["seed"], config["optimizer"]["_target_"]) == (71, "torch.optim.SGD")


BROKEN = ("seed: !!bool x", "seed: !!timestamp x", "seed: !!int ''", "seed: [", "seed: *a", "a: 1\na: 2", "seed: ${")
BROKEN += ("3", "\0", "null: 2", "[" * 2000)
WAYS = (["--cfg", "job"], ["--info", "config"], ["paths.data=x"], ["-m", "seed=1,2"], ["+a=1"])


@pytest.mark.parametrize("flags", WAYS)
@pytest.mark.parametrize("text", BROKEN)
def test_a_file_of_ones_own_that_is_no_yaml_is_named(own, capsys, tmp_path, monkeypatch, flags, text):
    monkeypatch.chdir(tmp_path)
    (own / "experiment/mine.yaml").write_text(f"# @package _global_\n{text}\n")
    assert main(["train", "--config-dir", str(own), "experiment=mine", *flags]) == 2
    told = capsys.readouterr().err
    assert "experiment/mine.yaml: cannot be read as YAML" in told
    assert len(told.splitlines()) == 1
    assert not list(tmp_path.rglob("config.yaml"))


def test_a_broken_file_of_ones_own_that_is_not_used_is_no_concern(own, capsys):
    (own / "optimizer/other.yaml").write_text("[")
    assert printed(capsys, "train", "--config-dir", own, "experiment=mine", "--cfg", "job")["seed"] == 71


@pytest.mark.parametrize("debug", ["default", "limit", "fdr", "overfit", "profiler"])
def test_the_template_s_debug_group_is_there(capsys, debug):
    config = printed(capsys, "train", f"debug={debug}", "--cfg", "job")
    assert config["task_name"] == "debug"
    assert config["data"]["num_workers"] == 0


def test_several_loggers_at_once(capsys):
    config = printed(
        capsys, "train", "logger=[csv,tensorboard,wandb,mlflow]", "tags=[dev]", "--cfg", "job", "--resolve"
    )
    assert set(config["logger"]) == {"csv", "tensorboard", "wandb", "mlflow"}
    assert config["logger"]["wandb"]["tags"] == ["dev"]


@pytest.mark.parametrize(
    ("choices", "key", "value"),
    [
        (["hydra/launcher=submitit_local"], "launcher.cluster", "local"),
        (["hydra/launcher=submitit_slurm"], "launcher.cluster", "slurm"),
        (["hydra/sweeper=optuna", "hydra.sweeper.n_trials=3"], "sweeper.n_trials", 3),
        (["hparams_search=loss_weights"], "sweeper.trials", 20),
    ],
)
def test_the_names_of_hydra_s_plugins_mean_ours(capsys, choices, key, value):
    node = printed(capsys, "train", *choices, "--cfg", "hydra")["hydra"]
    for part in key.split("."):
        node = node[part]
    assert node == value


def test_a_package_that_is_null_is_printed_and_one_that_is_not_there_is_named(capsys):
    assert printed(capsys, "ppt", "--cfg", "job", "--package", "seeds") is None
    assert main(["train", "--cfg", "job", "--package", "optimizer.lrr"]) == 2
    assert "--package optimizer.lrr: conf/train.yaml has no such key; did you mean lr?" in capsys.readouterr().err
