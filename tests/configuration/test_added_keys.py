"""Keys that `+key=value` may add to a configuration: those that are read."""

import pytest

from p3m_lightning.cli import main
from p3m_lightning.configuration import compose, compose_run, refuse_unread_keys
from p3m_lightning.configuration.hydra_keys import SWEEPER
from p3m_lightning.schema import InputError


@pytest.mark.parametrize(
    ("verb", "overrides", "named"),
    [
        ("train", ["+trainer.typo=3"], "+trainer.typo"),
        ("train", ["++trainer.max_epoch=3"], "did you mean max_epochs?"),
        ("train", ["+foo=1"], "+foo"),
        ("train", ["+paths.typo=1"], "+paths.typo"),
        ("train", ["+data.train.transform.crop.typo=1"], "+data.train.transform.crop.typo"),
        ("train", ["+stages.rough={trainer: {typo: 1}}"], "+stages.rough.trainer.typo"),
        ("train", ["+scheduler.gamma=3"], "+scheduler.gamma"),
        ("train", ["+inference.typo=1"], "+inference.typo"),
        ("train", ["+inference.short_sid=160"], "did you mean short_side?"),
        ("train", ["+stages.rough={inference: {typo: 1}}"], "+stages.rough.inference.typo"),
        ("eval", ["+inference.typo=1"], "+inference.typo"),
        ("eval", ["+trainer.typo=1"], "+trainer.typo"),
        ("gan", ["+recipe.penalty.typo=1"], "+recipe.penalty.typo"),
        ("ppt", ["+foo=1"], "+foo"),
        ("cycle", ["+sampling.typo=1"], "+sampling.typo"),
        ("train", ["+hydra.typo=1"], "+hydra.typo"),
        ("eval", ["+hydra.typo.deeper=1"], "+hydra.typo.deeper"),
        ("gan", ["++hydra.runn.dir=x"], "did you mean run?"),
        ("ppt", ["+hydra.typo=1"], "+hydra.typo"),
        ("cycle", ["++hydra.job.chdr=true"], "did you mean chdir?"),
        ("train", ["++hydra.job.config.override_dirname.kv_sp=x"], "did you mean kv_sep?"),
        ("train", ["+hydra.sweeper.trial=3"], "did you mean trials?"),
        ("train", ["hydra/launcher=processes", "+hydra.launcher.n_job=3"], "did you mean n_jobs?"),
        ("train", ["hydra/sweeper=tpe", "+hydra.sweeper.sampler.typo=3"], "+hydra.sweeper.sampler.typo"),
    ],
)
def test_an_added_key_that_nothing_reads_is_named_in_one_line(verb, overrides, named):
    with pytest.raises(InputError) as caught:
        refuse_unread_keys(verb, overrides)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("verb", "overrides"),
    [
        ("train", ["+trainer.max_time=00:00:01:00", "+data.pin_memory=false", "+optimizer.betas=[0,0.9]"]),
        ("train", ["++seed=3", "+inference.short_side=160", "+loss.weights.new=1"]),
        ("train", ["+foo=8", "data.batch_size=${foo}"]),
        (
            "train",
            ["+stages.rough={trainer: {max_epochs: 1}, frozen: [encoder.*]}", "stages.rough.trainer.max_epochs=2"],
        ),
        ("train", ["+callbacks.mine._target_=builtins.dict", "+data.tests.mine={_target_: builtins.dict, root: x}"]),
        ("ppt", ["+checkpoints.modnet.B2=x"]),
        ("train", ["+hydra.job.env_set.NAME=1", "+hydra.callbacks.mine._target_=builtins.dict"]),
        ("train", ["++hydra.run.dir=x", "++hydra.mode=MULTIRUN", "++hydra.job_logging.version=1"]),
        ("train", ["+hydra.sweeper.params.seed=[1, 2]", "hydra/sweeper=random", "++hydra.sweeper.trials=3"]),
        ("train", ["hydra/launcher=submitit", "+hydra.launcher.slurm_account=x"]),
        ("train", ["hydra/launcher=processes", "++hydra.launcher.n_jobs=3"]),
    ],
)
def test_an_added_key_that_is_read_stays(verb, overrides):
    refuse_unread_keys(verb, overrides)


@pytest.mark.parametrize("verb", [["train"], ["eval"], ["gan", "train"], ["ppt"], ["cycle"]])
def test_every_verb_with_a_configuration_refuses_it_with_exit_code_2(verb, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = ["paths.data=x", "paths.photographs=x", "paths.backgrounds=x"] if verb == ["cycle"] else []
    assert main([*verb, *places, "+foo=1"]) == 2
    assert capsys.readouterr().err == "p3m: +foo: nothing reads a key of this name\n"
    assert not list(tmp_path.iterdir())


def test_a_composed_run_refuses_it_too(tmp_path):
    with pytest.raises(InputError, match="typo"):
        compose_run("train", ["+trainer.typo=3"], tmp_path)


def test_a_sweep_refuses_them_too_before_a_job_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "-m", "seed=1,2", "+hydra.launcher.typo=1"]) == 2
    assert "+hydra.launcher.typo: Hydra reads no key of this name" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_keys_of_the_sweeper_are_those_of_its_files_and_of_the_sweep():
    configured = [set(compose("train", [f"hydra/sweeper={name}"]).hydra.sweeper) for name in ("grid", "tpe", "optuna")]
    assert set().union(*configured) == set(SWEEPER)


def test_an_environment_variable_that_is_to_be_copied_and_is_not_there_is_named():
    with pytest.raises(InputError, match=r"hydra\.job\.env_copy: there is no environment variable 'P3M_NOT_THERE'"):
        compose("train", ["hydra.job.env_copy=[P3M_NOT_THERE]"])
