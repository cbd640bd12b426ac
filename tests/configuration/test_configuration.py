"""Configurations composed from Python."""

import pytest
from hydra.core.hydra_config import HydraConfig

from p3m_lightning.configuration import compose_run
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


def test_an_evaluation_needs_no_folder_of_training_images(tmp_path):
    evaluation = compose_run("eval", ["data=portraits", "paths.data=people"], tmp_path)
    assert evaluation["data"]["train"] is None
    assert evaluation["data"]["tests"]["people"]["root"] == "people/people"
    with pytest.raises(InputError, match=r"paths\.backgrounds"):
        compose_run("train", ["data=portraits", "paths.data=people"], tmp_path)


def test_an_unknown_key_is_named_in_one_line(tmp_path):
    with pytest.raises(InputError, match="max_epoch_s") as caught:
        compose_run("train", ["trainer.max_epoch_s=3"], tmp_path)
    assert "\n" not in str(caught.value)
