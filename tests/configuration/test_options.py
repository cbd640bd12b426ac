from p3m_lightning.configuration import compose
from p3m_lightning.configuration.options import default_options, file_keys, group_options, groups


def test_groups_and_their_options_are_those_of_conf():
    assert {"experiment", "model", "hydra/launcher"} <= set(groups())
    assert group_options("optimizer") == ["adam", "adamw", "sgd"]
    assert not [option for group in groups() for option in group_options(group) if option.startswith("_")]
    assert group_options("nowhere") == []


def test_keys_of_a_file_are_dotted_and_include_those_of_the_files_it_is_made_of():
    assert {"best.monitor", "moving_average.decay"} <= set(file_keys("callbacks/averaged"))
    assert "trainer.max_epochs" in file_keys("trainer/auto", "trainer.")
    assert file_keys("nowhere/at_all") == []


def test_the_options_that_a_command_begins_with_are_those_that_hydra_chooses():
    choices = compose("train", []).hydra.runtime.choices
    ours = default_options("train")
    assert ours == {group: choices[group] for group in ours}
    assert len(ours) > 8
