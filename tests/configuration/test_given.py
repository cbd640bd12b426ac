"""Configurations passed in Python."""

import pytest
from omegaconf import OmegaConf

import p3m_lightning as p3m
from p3m_lightning.configuration import as_hydra_job, compose
from p3m_lightning.configuration.given import NEEDED, given_config
from p3m_lightning.experiments.cycle.steps import run_cycle
from p3m_lightning.gan.run import train_gan
from p3m_lightning.quality.run import train_quality
from p3m_lightning.schema import InputError

TAKING = {"train": p3m.train, "eval": p3m.evaluate, "gan": train_gan, "quality": train_quality, "cycle": run_cycle}


@pytest.mark.parametrize("verb", NEEDED)
def test_a_tree_of_omegaconf_is_resolved_as_on_the_command_line(verb):
    overrides = ["paths.run=here", "paths.data=there", "paths.output=out"]
    tree = compose(verb, overrides)
    with as_hydra_job(tree):
        assert given_config(tree, verb) == p3m.compose_run(verb, overrides, "here")


@pytest.mark.parametrize("verb", NEEDED)
@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({}, "config: lacks "),
        (OmegaConf.create({"paths": {}}), "config: lacks "),
        (None, "config: NoneType is no configuration"),
        (["experiment=p3m_quick"], "config: list is no configuration"),
        (OmegaConf.create({"paths": "${nowhere}"}), "nowhere"),
    ],
    ids=["empty", "paths alone", "None", "a list", "a broken reference"],
)
def test_what_is_no_configuration_is_refused_in_one_line(verb, config, told):
    with pytest.raises(InputError, match=told) as refused:
        TAKING[verb](config)
    assert "\n" not in str(refused.value)
