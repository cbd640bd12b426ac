import csv

import numpy as np
import pytest
import torch

from brief_cycle import brief_cycle
from p3m_lightning import compose_run
from p3m_lightning.cli import main
from p3m_lightning.configuration.given import NEEDED
from p3m_lightning.experiments.cycle import steps as cycle
from p3m_lightning.experiments.cycle.portraits import check_gate, enlarged, faults_of, largest_piece, measure
from p3m_lightning.experiments.cycle.report import spaced
from p3m_lightning.experiments.cycle.steps import STEPS, Step, run_cycle
from p3m_lightning.models import create_model
from p3m_lightning.schema import InputError

SMALL = {"name": "p3mnet_r34", "width": 0.125}


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A checkpoint of a narrow P3M-Net that was never trained."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("network") / "network.ckpt"
    inference = {"_target_": "p3m_lightning.inference.infer", "_partial_": True, "mode": "resize", "scale": 0.5}
    state = {f"net.{key}": value for key, value in create_model(**SMALL).state_dict().items()}
    torch.save({"config": {"model": SMALL, "inference": inference}, "state_dict": state}, path)
    return path


@pytest.fixture(scope="module")
def cycled(portraits, network, tmp_path_factory):
    """The folder of a whole cycle, and its outcomes."""
    folder = tmp_path_factory.mktemp("cycle") / "run"
    return folder, run_cycle(compose_run("cycle", brief_cycle(portraits, network, folder), ""))


def test_every_step_leaves_its_marker_and_the_report_shows_before_and_after(cycled):
    folder, outcomes = cycled
    assert list(outcomes) == [name for name in STEPS if name != "control"]
    assert all((folder / name / "done.json").is_file() for name in outcomes)
    assert len(list((folder / "mattes/cutout").iterdir())) == 6
    assert len(list((folder / "portraits/train/mask").iterdir())) == outcomes["portraits"]["kept"] == 4
    report = (folder / "report.md").read_text()
    for arm in ("before", "after"):
        assert f"{outcomes[arm]['sets']['P3M-500-P']['sad']:.4g}" in report
    shown = {line.split("](")[1].rstrip(")") for line in report.splitlines() if line.startswith("![")}
    assert "report/P3M-500-NP.jpg" in shown
    assert all((folder / picture).is_file() for picture in shown - {"report/refused.jpg"})


def test_the_gate_measures_what_the_quality_head_predicts(cycled):
    rows = list(csv.DictReader((cycled[0] / "portraits/gate.csv").open()))
    assert rows
    assert all(0 <= float(row["predicted_error"]) <= 1 for row in rows)


def test_the_network_goes_on_from_the_first_one_and_sees_the_portraits(cycled, network):
    _, outcomes = cycled
    saved = torch.load(outcomes["after"]["checkpoint"], weights_only=True)
    assert saved["config"]["init_from"] == f".../{network.name}"
    assert saved["config"]["data"]["train"]["datasets"]["portraits"]["root"] == "<portraits>"


def test_a_finished_cycle_is_not_gone_through_again(cycled, portraits, network, monkeypatch, capsys):
    folder, outcomes = cycled
    monkeypatch.setattr(cycle, "train", None)
    again = run_cycle(compose_run("cycle", brief_cycle(portraits, network, folder), ""))
    assert again == outcomes
    assert capsys.readouterr().out.count("finished before") == len(outcomes)


def test_a_finished_step_of_other_settings_is_refused(cycled, portraits, network, capsys):
    folder, _ = cycled
    assert main(["cycle", *brief_cycle(portraits, network, folder, "sampling.candidates=5")]) == 2
    message = capsys.readouterr().err.strip()
    assert "sampling" in message
    assert len(message.splitlines()) == 1


def test_a_broken_step_is_gone_through_again_and_those_before_are_not(tmp_path, monkeypatch):
    calls = []

    def step(name, breaks):
        def work(config, folder, outcomes):
            calls.append((name, sorted(outcomes)))
            if breaks and calls.count(calls[-1]) == 1:
                raise KeyboardInterrupt
            return {"made": name}

        return Step(work, ("ckpt",), name)

    monkeypatch.setattr(cycle, "STEPS", {"one": step("one", False), "two": step("two", True)})
    monkeypatch.setattr(cycle, "write_report", lambda *args: None)
    monkeypatch.setattr(cycle, "RUNS", {})
    paths = {"run": str(tmp_path / "run")} | dict.fromkeys(("data", "photographs", "backgrounds"), str(tmp_path))
    config = dict.fromkeys(NEEDED["cycle"]) | {"paths": paths, "prepare": {}, "gate": {}, "seed": 0}
    with pytest.raises(KeyboardInterrupt):
        run_cycle(config)
    assert run_cycle(config)["two"]["made"] == "two"
    assert [name for name, _ in calls] == ["one", "two", "two"]
    assert calls[-1][1] == ["one"]


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("ckpt=nowhere.ckpt", "nowhere.ckpt"),
        ("+gate.sharpness=[0,1]", "sharpness"),
        ('gan=["experiment=gan_synthetic","imags=3"]', "imags"),
        ('further=["experiment=portraits_synthetic","trainer=ddp_sim"]', "one process"),
        ("nonesuch=1", "nonesuch"),
        ("paths.photographs=nowhere", "nowhere"),
    ],
)
def test_wrong_input_is_one_line_that_names_it(portraits, network, tmp_path, capsys, override, named):
    assert main(["cycle", *brief_cycle(portraits, network, tmp_path / "run"), override]) == 2
    message = capsys.readouterr().err.strip()
    assert named in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("override", ["ckpt=nowhere", "paths.photographs=nowhere", "paths.backgrounds={data}/bgs"])
def test_a_missing_file_or_folder_is_named_before_anything_is_rendered(network, tmp_path, capsys, override):
    data = tmp_path / "data"
    (data / "train" / "bg").mkdir(parents=True)
    arguments = ["cycle", "experiment=cycle_synthetic", f"ckpt={network}", f"paths.run={tmp_path}/run"]
    made = [f"paths.data={data}", f"prepare.data.root={tmp_path}/other", f"paths.faces={tmp_path}/faces"]
    assert main([*arguments, *made, override.format(data=data)]) == 2
    assert "no such" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
    assert not (tmp_path / "faces").exists()


def test_measures_tell_a_portrait_from_failures():
    portrait = np.zeros((40, 40), np.float32)
    portrait[10:, 10:30] = 1
    portrait[10:, 8:10] = 0.5
    measures = measure(portrait, portrait)
    assert measures["coverage"] == pytest.approx(30 * 21 / 1600)
    assert measures["unknown"] == pytest.approx(60 / 1600)
    assert (measures["component"], measures["top"], measures["disagreement"]) == (1, 0, 0)
    assert measures["bottom"] == pytest.approx(21 / 40)
    assert measure(portrait, 1 - portrait)["disagreement"] == pytest.approx(1540 / 1600)


def test_the_largest_piece_is_what_hangs_together_also_at_corners():
    mask = np.zeros((9, 9), bool)
    assert largest_piece(mask) == 0
    mask[0, 0] = mask[1, 1] = mask[2, 2] = mask[8, 8] = True
    assert largest_piece(mask) == 0.75


def test_limits_belong_to_what_passes_and_every_fault_is_named():
    gate = {"coverage": (0.2, 0.8), "top": (0, 0.1)}
    assert faults_of({"coverage": 0.2, "top": 0.1, "unknown": 9}, gate) == []
    assert faults_of({"coverage": 0.9, "top": 0.2}, gate) == ["coverage", "top"]
    with pytest.raises(InputError, match=r"gate.top: \[0.5, 0.1\]; give a smallest and a largest value"):
        check_gate({"top": (0.5, 0.1)})


def test_enlarging_keeps_the_range_of_a_matte():
    step = np.zeros((8, 8), np.float32)
    step[:, 4:] = 1
    large = enlarged(step, 32)
    assert large.shape == (32, 32)
    assert (large.min(), large.max()) == (0, 1)
    assert enlarged(step, None) is step


def test_a_sheet_shows_pictures_from_the_whole_range():
    assert spaced(list(range(4))) == [0, 1, 2, 3]
    assert spaced(list(range(60))) == [0, 10, 20, 30, 40, 50]
