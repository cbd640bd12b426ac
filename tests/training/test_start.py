"""What a training starts with, and that it is looked at before anything is read or rendered."""

import pytest
import torch

from p3m_lightning.configuration import compose_run
from p3m_lightning.models import create_model
from p3m_lightning.schema import InputError
from p3m_lightning.training import train
from p3m_lightning.training.start import start_from, verify_start


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint of a narrow MODNet."""
    path = tmp_path_factory.mktemp("start") / "narrow.ckpt"
    state = {f"net.{key}": value for key, value in create_model("modnet", width=0.125).state_dict().items()}
    torch.save({"state_dict": state, "config": {"model": {"name": "modnet", "width": 0.125}}}, path)
    return path


def test_a_checkpoint_of_the_same_network_fits_and_fills_it(checkpoint):
    net = create_model("modnet", width=0.125)
    verify_start(net, checkpoint, checkpoint)
    start_from(net, checkpoint)
    stored = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(value, stored[f"net.{key}"]) for key, value in net.state_dict().items())


def test_nothing_to_start_from_fits_every_network():
    verify_start(create_model("closed_form"), None, None)


@pytest.mark.parametrize(
    ("key", "stages"), [("ckpt", {}), ("init_from", {}), ("init_from", {"first": {"trainer": {"max_epochs": 1}}})]
)
@pytest.mark.parametrize("missing", [False, True])
def test_what_does_not_fit_is_refused_before_data_are_rendered(key, stages, missing, checkpoint, tmp_path):
    path = tmp_path / "gone.ckpt" if missing else checkpoint
    options = ["model=modnet", "model.width=0.25", "loss=modnet", "trainer=cpu", f"{key}={path}"]
    config = compose_run("train", options, tmp_path / "run")
    opened = {"_target_": "builtins.open", "_partial_": True, "file": str(tmp_path / "rendered"), "mode": "w"}
    config |= {"stages": stages, "data": {**config["data"], "prepare": opened}}
    with pytest.raises(InputError, match="no such file" if missing else f"{key}: .* is made for another network"):
        train(config)
    assert not (tmp_path / "rendered").exists()


@pytest.mark.parametrize("key", ["ckpt", "init_from"])
@pytest.mark.parametrize("given", ["", " ", 0, False, ["last"]])
@pytest.mark.parametrize("stages", [{}, {"first": {"trainer": {"max_epochs": 1}}}])
def test_a_name_that_is_none_is_refused_and_nothing_is_written(key, given, stages, tmp_path):
    """An empty one comes from a shell variable that is not set; Lightning takes it for "the best one"."""
    config = compose_run("train", ["model=modnet", "loss=modnet", "trainer=cpu"], tmp_path / "run")
    with pytest.raises(InputError, match=f"^{key}=.*: no file is named"):
        train(config | {key: given, "stages": stages})
    assert not (tmp_path / "run").exists()


PASTING = "p3m_lightning.training.callbacks.copy_paste.features.FeatureCopyPaste"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"lr_factors": {"typo.*": 0.1}}, "lr_factors: no parameter is called 'typo"),
        ({"lr_factors": 3}, "lr_factors: 3 is not a table"),
        ({"frozen": ["typo.*"]}, "frozen: no parameter is called 'typo"),
        ({"frozen": "typo.*"}, "frozen: 'typo.*' is not a list"),
        ({"loss": {"weighting": "gradnorm", "shared": ["typo.*"]}}, "loss.shared: no trained parameter is called"),
        ({"loss": {"weighting": "gradnorm", "shared": "typo.*"}}, "loss.shared: 'typo.*' is not a list"),
        ({"stages": {"a": {"lr_factors": {"typo.*": 0.1}}}}, "stages.a: lr_factors: no parameter is called"),
        (
            {"callbacks": {"cp": {"_target_": PASTING, "source": None, "stages": ["encoder.typo"]}}},
            "encoder.typo is no",
        ),
    ],
)
def test_patterns_of_names_that_match_nothing_are_refused_before_data_are_rendered(changes, reason, tmp_path):
    config = compose_run("train", ["model=modnet", "model.width=0.125", "loss=modnet", "trainer=cpu"], tmp_path / "run")
    opened = {"_target_": "builtins.open", "_partial_": True, "file": str(tmp_path / "rendered"), "mode": "w"}
    config |= {key: {**config[key], **one} if key == "loss" else one for key, one in changes.items()}
    config |= {"data": {**config["data"], "prepare": opened}}
    with pytest.raises(InputError) as caught:
        train(config)
    assert reason in str(caught.value)
    assert not list(tmp_path.iterdir())
