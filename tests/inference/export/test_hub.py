import json
from pathlib import Path

import numpy as np
import pytest
import torch

from p3m_lightning import Predictor, create_model
from p3m_lightning.cli import main
from p3m_lightning.cli.export import HUB_FILES
from p3m_lightning.inference.export import metadata
from p3m_lightning.inference.export.metadata import checkpoint_facts, published_facts
from p3m_lightning.models import weights
from p3m_lightning.models.weights import read_checkpoint, save_weights

hub = pytest.importorskip("huggingface_hub")
from p3m_lightning.inference.export.hub import HubModel  # noqa: E402

RESULTS = {"checkpoint": "best.ckpt", "sets": {"P3M-500-P": {"mean": {"sad": 12.345678, "mse": 0.01, "mad": 0.5}}}}
CONFIG = {
    "model": {"_target_": "p3m_lightning.models.create_model", "name": "p3mnet_r34", "width": 0.125},
    "data": {"train": {"datasets": {"a": {"name": "synthetic", "root": "/home/me"}, "b": {"name": "p3m-10k"}}}},
    "inference": {"_target_": "p3m_lightning.inference.infer", "mode": "hybrid", "scale": 0.25},
    "paths": {"data": "/home/me/data"},
}
IMAGE = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)


def contents_of(folder):
    """The texts of a folder, what its weights say, and the weights as bytes; files of weights differ in order only."""
    config, state = read_checkpoint(Path(folder) / "model.safetensors")
    weights = {key: value.numpy().tobytes() for key, value in state.items()}
    texts = {name: (Path(folder) / name).read_text() for name in ("README.md", "config.json")}
    return {path.name for path in Path(folder).iterdir()}, texts, config, weights


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with one checkpoint and its results."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    net = create_model("p3mnet_r34", width=0.125)
    state = {f"net.{key}": value for key, value in net.state_dict().items()}
    (folder / "checkpoints").mkdir()
    for name in ("best.ckpt", "last.ckpt"):
        torch.save({"config": CONFIG, "state_dict": state}, folder / "checkpoints" / name)
    (folder / "results.json").write_text(json.dumps(RESULTS))
    return folder


@pytest.fixture(scope="module")
def saved(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "portraits"
    model = HubModel.from_checkpoint(run / "checkpoints/best.ckpt", license="cc-by-4.0")
    model.save_pretrained(folder)
    return folder


def test_a_folder_gives_the_same_network_back(run, saved):
    expected = Predictor.from_checkpoint(run / "checkpoints/best.ckpt", "cpu", None)(IMAGE).alpha
    predictor = HubModel.from_pretrained(saved).predictor("cpu")
    assert (predictor.mode, predictor.passes.scale) == ("hybrid", 0.25)
    np.testing.assert_array_equal(predictor(IMAGE).alpha, expected)
    assert sorted(path.name for path in saved.iterdir()) == ["README.md", "config.json", "model.safetensors"]


def test_its_weights_are_a_checkpoint_of_ours(run, saved):
    expected = Predictor.from_checkpoint(run / "checkpoints/best.ckpt", "cpu", "resize")(IMAGE).alpha
    actual = Predictor.from_checkpoint(saved / "model.safetensors", "cpu", "resize")(IMAGE).alpha
    np.testing.assert_array_equal(actual, expected)


def test_a_checkpoint_is_read_once(run, monkeypatch):
    read = []
    real = metadata.read_checkpoint
    monkeypatch.setattr(metadata, "read_checkpoint", lambda path: read.append(path) or real(path))
    monkeypatch.setattr(weights, "read_checkpoint", lambda path: pytest.fail("read by other ways"))
    HubModel.from_checkpoint(run / "checkpoints/best.ckpt")
    assert read == [run / "checkpoints/best.ckpt"]


def test_saving_again_keeps_every_fact(saved, tmp_path):
    HubModel.from_pretrained(saved).save_pretrained(tmp_path / "again")
    assert contents_of(tmp_path / "again") == contents_of(saved)


def test_the_card_says_data_license_metrics_and_mode(saved):
    card = hub.ModelCard.load(saved / "README.md")
    assert (card.data.license, card.data.library_name) == ("cc-by-4.0", "p3m-lightning")
    scores = {(score.dataset_name, score.metric_type): score.metric_value for score in card.data.eval_results}
    assert scores == {("P3M-500-P", "sad"): 12.345678, ("P3M-500-P", "mse"): 0.01}
    for said in ("**Trained on**: synthetic, p3m-10k", "mode**: hybrid, `scale=0.25`", "| P3M-500-P | 12.35 | 0.01 |"):
        assert said in card.text
    assert "Privacy-Preserving Portrait Matting" in card.text


def test_no_path_of_the_machine_travels(saved):
    for path in saved.iterdir():
        assert b"/home/me" not in path.read_bytes()


def test_results_belong_to_the_checkpoint_that_was_tested(run):
    assert checkpoint_facts(run / "checkpoints/best.ckpt")["results"]["P3M-500-P"]["mse"] == 0.01
    assert checkpoint_facts(run / "checkpoints/last.ckpt")["results"] == {}


def test_what_nobody_said_is_not_invented(run):
    card = HubModel.from_checkpoint(run / "checkpoints/last.ckpt").generate_model_card()
    assert card.data.license is None
    assert "**License of the weights**: not stated" in card.text
    assert "No evaluation is recorded" in card.text


def test_facts_of_published_weights(tmp_path):
    assert published_facts("gfm_r34_tt")["trained_on"] == "am-2k"
    assert published_facts("modnet")["license"] is None  # two checkpoints: which one is not known
    converted = {"model": {"name": "modnet"}, "published_as": "modnet_webcam", "trained_on": ["a", "b"]}
    save_weights(create_model("modnet"), converted, tmp_path / "webcam.safetensors")
    facts = checkpoint_facts(tmp_path / "webcam.safetensors")
    assert (facts["license"], facts["trained_on"]) == ("Apache-2.0", "a, b")


def test_pushing_sends_the_same_files(saved, monkeypatch):
    sent = {}

    class Api:
        def __init__(self, **_):
            pass

        def create_repo(self, repo_id, **_):
            return type("Repo", (), {"repo_id": repo_id})()

        def upload_folder(self, folder_path, repo_id, **_):
            sent[repo_id] = contents_of(folder_path)

    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", Api)
    HubModel.from_pretrained(saved).push_to_hub("me/portraits")
    assert sent == {"me/portraits": contents_of(saved)}


def test_the_command_writes_the_folder(run, tmp_path, capsys):
    folder = tmp_path / "portraits"
    call = ["export", "--ckpt", str(run / "checkpoints/best.ckpt"), "--hub", str(folder), "--license", "mit"]
    assert main(call) == 0
    assert capsys.readouterr().out.strip() == str(folder)
    assert hub.ModelCard.load(folder / "README.md").data.license == "mit"
    assert main(call) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["export", "--ckpt", "a.ckpt"]) == 2
    assert "give -o FILE.onnx, or --hub DIR" in capsys.readouterr().err


def test_an_export_that_was_killed_is_made_again_and_one_that_was_not_is_kept(run, tmp_path, capsys):
    folder = tmp_path / "hub"
    call = ["export", "--ckpt", str(run / "checkpoints/best.ckpt"), "--hub", str(folder)]
    assert main(call) == 0
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert whole.keys() == {"README.md", *HUB_FILES}
    assert main(call) == 2
    assert f"--hub {folder}: exists already; give a new or empty folder" in capsys.readouterr().err
    (folder / "README.md").unlink()  # the last file to come
    (folder / HUB_FILES[0]).write_bytes(b"of another network")
    assert main(call) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    (folder / "README.md").rename(folder / "mine.txt")
    assert main(call) == 2
