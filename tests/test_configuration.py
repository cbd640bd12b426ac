"""Configurations composed from Python."""

from pathlib import Path

import pytest
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_object

from p3m_lightning.configuration import MOVED, compose_run, of_today, quoted, with_quoted_paths
from p3m_lightning.schema import InputError


def test_a_composed_run_is_plain_and_points_at_its_folder(tmp_path):
    config = compose_run("train", ["experiment=p3m_synthetic", "trainer.max_epochs=3"], tmp_path / "run")
    assert type(config) is dict
    assert type(config["trainer"]) is dict
    assert config["trainer"]["max_epochs"] == 3
    assert config["paths"]["run"] == str(tmp_path / "run")
    assert config["experiment_name"] == "p3m_synthetic"
    assert "hydra" not in config
    assert not (tmp_path / "run").exists()


def test_the_hydra_job_around_is_left_as_it_was(tmp_path):
    before = HydraConfig.instance().cfg
    compose_run("eval", ["data=synthetic"], tmp_path)
    assert HydraConfig.instance().cfg is before


def test_an_unknown_key_is_named_in_one_line(tmp_path):
    with pytest.raises(InputError, match="max_epoch_s") as caught:
        compose_run("train", ["trainer.max_epoch_s=3"], tmp_path)
    assert "\n" not in str(caught.value)


AWKWARD = [
    "a=b",
    "a(1)",
    "a,b",
    "a b",
    "it's",
    'a"b',
    "a\\b",
    "a\\",
    "a\\'b",
    "[a]",
    "{a: b}",
    "$a",
    "#a",
    "~a",
    "1e-3",
    "null",
    "",
]


@pytest.mark.parametrize("name", AWKWARD)
def test_a_quoted_value_comes_out_as_it_was(tmp_path, name):
    for text in (name, f"/data/{name}/set", f"{name}\\", f"{name}'"):
        assert compose_run("train", [f"paths.data={quoted(text)}"], tmp_path)["paths"]["data"] == text


def test_a_name_that_is_a_reference_to_hydra_is_refused():
    with pytest.raises(InputError, match="rename"):
        quoted("/data/${seed}")


@pytest.mark.parametrize("name", AWKWARD[:10])
def test_a_path_that_is_there_needs_no_quotes(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    for path in (folder, folder / "last.ckpt", folder.absolute()):  # the file need not be there
        assert compose_run("train", [f"ckpt={path}"], tmp_path)["ckpt"] == str(path)


def test_values_that_hydra_understands_and_paths_that_are_not_there_stay_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("0", "[]", "a,b"):
        Path(name).mkdir()
    plain = ["seed=0", "frozen=[]", "~callbacks.best", "+x={a: 1}", "ckpt='a,b'", "ckpt=c,d", "ckpt=null", "seed="]
    assert with_quoted_paths(plain) == plain
    assert with_quoted_paths(["ckpt=a,b"]) == ["ckpt='a,b'"]


def test_what_has_moved_is_found_where_it_is_today():
    stored = {"a": [{"_target_": "p3m_lightning.training.callbacks.PictureSheet", "count": 1}], "b": {"_target_": "x"}}
    name = "p3m_lightning.training.callbacks.picture_sheet.PictureSheet"
    assert of_today(stored) == {"a": [{"_target_": name, "count": 1}], "b": {"_target_": "x"}}
    assert of_today(of_today(stored)) == of_today(stored)
    for same in (None, {}, "p3m_lightning.data.synthetic.synthesize", {"_target_": "p3m_lightning.data.synthetics.x"}):
        assert of_today(same) == same
    for now in MOVED.values():
        get_object(f"p3m_lightning.{now}")


def test_every_target_of_an_older_run_is_there_today():
    file = Path(__file__).parent / "training" / "recorded_run" / "config.yaml"
    found = []

    def walk(node):
        for key, value in node.items():
            if key == "_target_":
                found.append(get_object(value))
            elif isinstance(value, dict):
                walk(value)

    walk(of_today(yaml.safe_load(file.read_text())))
    assert len(found) > 20
