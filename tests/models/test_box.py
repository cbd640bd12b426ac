"""The network in the box distinguishes people from places, and matches its card."""

import numpy as np
import pytest
import torch

from p3m_lightning import Predictor
from p3m_lightning.cli import main
from p3m_lightning.images import read_matte, write_image
from p3m_lightning.models.box import BOX, BOX_FILE, load_box
from p3m_lightning.models.weights import read_checkpoint

data = pytest.importorskip("skimage.data")


@pytest.fixture(scope="module")
def predict() -> Predictor:
    return Predictor.from_checkpoint(BOX_FILE, "cpu")


def test_the_file_is_small_and_says_how_it_was_made():
    assert BOX_FILE.stat().st_size < 10_000_000
    config = read_checkpoint(BOX_FILE).config
    assert config["experiment_name"] == BOX
    assert config["inference"]["short_side"]
    assert not any(str(value).startswith("/") for value in config.get("paths", {}).values())


def test_all_weights_are_finite():
    assert all(value.isfinite().all() for value in load_box()[0].state_dict().values() if value.is_floating_point())


def test_the_astronaut_is_foreground_and_what_stands_behind_her_is_not(predict):
    alpha = predict(data.astronaut()).alpha  # 512 x 512, public domain
    assert alpha[60:160, 190:250].mean() > 0.95  # her face
    assert alpha[260:340, 100:250].mean() > 0.95  # her suit
    assert alpha[:60, :90].mean() < 0.1
    assert alpha[150:250, :60].mean() < 0.1


def test_a_place_without_people_stays_empty(predict):
    assert predict(data.coffee()).alpha.mean() < 0.2


def test_predict_takes_it_where_no_network_is_named_and_says_so(tmp_path, capsys):
    write_image(tmp_path / "photo.png", data.astronaut())
    assert main(["predict", str(tmp_path / "photo.png"), "-o", str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert f"network: {BOX}" in capsys.readouterr().err
    alpha = read_matte(tmp_path / "out" / "photo.png") / 255
    assert alpha[60:160, 190:250].mean() > 0.95


def test_a_predictor_without_a_network_takes_it():
    torch.manual_seed(0)
    alpha = Predictor(device="cpu")(np.ascontiguousarray(data.astronaut()[::2, ::2])).alpha
    assert alpha.shape == (256, 256)
    assert alpha[30:80, 95:125].mean() > 0.9
