"""`p3m licenses`: the parts of a run, and those for research only."""

import json

import pytest
import yaml

from p3m_lightning.cli import main
from p3m_lightning.experiments.licenses import Link, licenses_of_run
from p3m_lightning.schema import InputError

SET = {"_target_": "p3m_lightning.data.datasets.MattingDataset", "root": "/data", "split": "train"}


def run_folder(folder, results=None, **config):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "results.json").write_text(json.dumps(results or {"versions": {"torch": "2.15.0", "python": "3.11.7"}}))
    return folder


def test_data_sets_of_trainings_and_tests_are_named_with_their_terms(tmp_path):
    train = {"datasets": {"a": SET | {"name": "ppm-100"}, "b": SET | {"name": "synthetic"}}}
    folder = run_folder(tmp_path / "run", data={"train": train, "tests": {"t": SET | {"name": "rwp-636"}}})
    links = {link.what.split(":")[0].split(" (")[0]: link for link in licenses_of_run(folder)}
    assert links["PPM-100"].kind == "training data"
    assert links["PPM-100"].flag == "research only"
    assert links["procedural portraits of this package, in the layout of P3M-10k"].flag == ""
    assert links["RWP / RealWorldPortrait-636"].kind == "test data"
    assert links["torch 2.15.0"].kind == "code"


@pytest.mark.parametrize(
    ("license_", "flag"),
    [
        ("MIT", ""),
        ("Apache-2.0 OR BSD-2-Clause", ""),
        ("CC BY-NC-SA 4.0", "research only"),
        ("CC BY-NC 4.0", "research only"),
        ("research only, by the repository's terms", "research only"),
        ("MIT (release agreement)", "look at its terms"),
        ("not stated", "look at its terms"),
        ("CNRI-Python", ""),
    ],
)
def test_a_license_that_is_no_free_one_is_flagged(license_, flag):
    assert Link("weights", "x", license_).flag == flag


def test_weights_that_an_encoder_started_from_are_known_by_their_file(tmp_path):
    model = {"name": "vitmatte_base", "encoder_weights": "/weights/mae_pretrain_vit_base.pth"}
    links = licenses_of_run(run_folder(tmp_path / "run", model=model))
    (weights,) = [link for link in links if link.kind == "weights"]
    assert (weights.license, weights.flag) == ("CC BY-NC 4.0", "research only")
    assert any(link.what.startswith("imagenet-1k") and link.flag == "research only" for link in links)


def test_unknown_weights_and_backgrounds_are_to_be_looked_up(tmp_path):
    train = SET | {"name": "folder", "transform": {"compose": {"backgrounds": "/data/places"}}}
    folder = run_folder(tmp_path / "run", model={"name": "modnet"}, init_from="gone.ckpt", data={"train": train})
    flagged = {link.what: link.flag for link in licenses_of_run(folder) if link.flag}
    assert flagged["init_from: gone.ckpt"] == "look at its terms"
    assert flagged["backgrounds: /data/places"] == "look at its terms"


def test_what_a_run_started_from_is_followed(tmp_path, checkpoint):
    import torch

    from p3m_lightning.models.weights import read_checkpoint, save_weights

    before = tmp_path / "before.safetensors"
    config = {"model": {"name": "p3mnet_r34", "width": 0.125}, "data": {"train": SET | {"name": "ppm-100"}}}
    from p3m_lightning import create_model

    torch.manual_seed(0)
    save_weights(create_model(**config["model"]), config, before)
    assert read_checkpoint(before).config["data"]
    after = run_folder(tmp_path / "run", model=config["model"], loss={}, init_from=str(before))
    assert any("PPM-100" in link.what for link in licenses_of_run(after))


def test_the_network_in_the_box_names_its_photographs():
    assert any("Clothing Co-Parsing" in link.what and link.flag for link in licenses_of_run("portraits"))


def test_strict_is_2_where_anything_is_flagged(tmp_path, capsys):
    folder = run_folder(tmp_path / "run", data={"train": SET | {"name": "ffhq"}})
    assert main(["licenses", str(folder)]) == 0
    assert main(["licenses", str(folder), "--strict"]) == 2
    capsys.readouterr()
    main(["licenses", str(folder), "--json"])
    assert {"kind", "what", "license", "source", "flag"} == set(json.loads(capsys.readouterr().out)[0])


@pytest.mark.parametrize("content", ["", "a: [", "model: 3"])
def test_what_is_no_run_is_refused(tmp_path, content):
    with pytest.raises(InputError, match="no such run folder"):
        licenses_of_run(tmp_path / "nowhere")
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(InputError, match=r"config\.yaml"):
        licenses_of_run(tmp_path)


def test_without_a_run_every_package_is_listed(capsys):
    assert main(["licenses"]) == 0
    assert any(line.startswith("torch\t") for line in capsys.readouterr().out.splitlines())
