import json

import pytest
import torch
import yaml

from p3m_lightning import compose_run
from p3m_lightning.cli import main
from p3m_lightning.inference import infer
from p3m_lightning.models import create_model
from p3m_lightning.models.weights import save_weights
from p3m_lightning.schema import BACKGROUND, FOREGROUND, UNKNOWN, InputError
from p3m_lightning.training import train
from p3m_lightning.training.callbacks.teacher import Teacher, certain_trimap

SMALL = {"name": "p3mnet_r34", "width": 0.125}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A checkpoint of a narrow P3M-Net that was never trained."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("teacher") / "teacher.ckpt"
    inference = {"_target_": "p3m_lightning.inference.infer", "_partial_": True, "mode": "native"}
    state = {f"net.{key}": value for key, value in create_model(**SMALL).state_dict().items()}
    torch.save({"config": {"model": SMALL, "inference": inference}, "state_dict": state}, path)
    return path


def overrides(portraits, teacher):
    return [
        "experiment=distill_synthetic",
        f"teacher={teacher}",
        f"paths.data={portraits}",
        "data.prepare=null",
        "data.num_workers=0",
        "data.batch_size=2",
        "data.holdout=2",
        "data.train.transform.transforms.0.height=96",
        "data.train.transform.transforms.0.width=96",
        "trainer=cpu",
        "trainer.max_epochs=1",
        "trainer.check_val_every_n_epoch=1",
        "callbacks.progress=null",
    ]


@pytest.fixture(scope="module")
def taught(portraits, teacher, tmp_path_factory):
    """The run folder of a student, and its results."""
    folder = tmp_path_factory.mktemp("taught") / "run"
    return folder, train(compose_run("train", overrides(portraits, teacher), folder))


def test_the_record_tells_sad_lost_against_speed_won(taught):
    folder, _ = taught
    results = json.loads((folder / "results.json").read_text())
    found = results["distillation"]
    for name, scores in results["sets"].items():
        assert found["student"]["sets"][name]["sad"] == pytest.approx(scores["mean"]["sad"], rel=1e-6)
        lost = found["student"]["sets"][name]["sad"] - found["teacher"]["sets"][name]["sad"]
        assert found["sad_lost"][name] == pytest.approx(lost)
    speeds = (found[who]["images_per_second"] for who in ("student", "teacher"))
    assert found["times_as_fast"] == pytest.approx(next(speeds) / next(speeds))
    table = (folder / "teacher_student.md").read_text()
    assert f"{found['sad_lost']['P3M-500-P']:+.2f}" in table


def test_the_teacher_scores_as_evaluating_it_does(taught, portraits, teacher, tmp_path):
    where = [f"paths.data={portraits}", f"paths.output={tmp_path}", "data.prepare=null", "trainer=cpu"]
    assert main(["eval", f"ckpt={teacher}", *where]) == 0
    results = json.loads(next(tmp_path.rglob("results.json")).read_text())
    for name, scores in taught[1]["distillation"]["teacher"]["sets"].items():
        assert scores["sad"] == pytest.approx(results["sets"][name]["mean"]["sad"], rel=1e-5)


def test_a_teacher_of_exported_weights_is_applied_as_they_record(tmp_path):
    net = create_model(**SMALL).eval()
    applied = {"mode": "resize", "short_side": 64}
    save_weights(net, {"model": SMALL, "inference": applied}, tmp_path / "teacher.safetensors")
    teacher = Teacher(tmp_path / "teacher.safetensors", tmp_path)
    image = torch.rand(1, 3, 96, 128)
    torch.testing.assert_close(teacher.infer(teacher.net.eval(), image), infer(net, image, **applied))


def test_only_the_student_travels_in_the_checkpoint(taught):
    folder, results = taught
    saved = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    assert saved["config"]["model"]["name"] == "modnet"
    assert {key.split(".")[0] for key in saved["state_dict"]} == {"net"}
    assert yaml.safe_load((folder / "config.yaml").read_text())["data"]["train"]["name"] == "images"
    assert results["module"].net.name == "modnet"


def test_batches_get_the_teachers_mattes_and_the_teacher_stays_as_it_is(taught, teacher):
    trainer, module = taught[1]["trainer"], taught[1]["module"]
    callback = Teacher(teacher, folder="unused", kernel=3)
    batch = {"image": torch.rand(2, 3, 40, 56), "name": ["a", "b"]}
    before = {key: value.clone() for key, value in callback.net.state_dict().items()}
    callback.setup(trainer, module, "fit")
    callback.on_train_batch_start(trainer, module, batch, 0)
    assert torch.equal(batch["alpha"], callback.net(batch["image"]).alpha)
    assert batch["trimap"].shape == (2, 1, 40, 56)
    assert batch["trimap"].dtype == torch.int64
    assert not batch["alpha"].requires_grad
    assert not any(p.requires_grad for p in callback.net.parameters())
    assert all(torch.equal(value, before[key]) for key, value in callback.net.state_dict().items())
    labelled = {"image": batch["image"], "alpha": torch.zeros(2, 1, 40, 56)}
    callback.on_validation_batch_start(trainer, module, labelled, 0)
    assert not labelled["alpha"].any()


def test_the_trimap_is_unknown_within_reach_of_what_is_uncertain():
    alpha = torch.zeros(1, 1, 9, 9)
    alpha[..., 5:] = 0.99
    alpha[..., 4] = 0.5
    row = certain_trimap(alpha, kernel=3, certain=0.02)[0, 0, 4].tolist()
    assert row == [BACKGROUND] * 3 + [UNKNOWN] * 3 + [FOREGROUND] * 3


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("teacher=nowhere.ckpt", "nowhere.ckpt"),
        ("paths.images=nowhere", "nowhere"),
        ("callbacks.teacher.kernel=4", "odd"),
    ],
)
def test_wrong_input_is_one_line(portraits, teacher, tmp_path, capsys, override, named):
    where = [f"paths.output={tmp_path}"]
    given = [o for o in overrides(portraits, teacher) if o.split("=")[0] != override.split("=")[0]]
    assert main(["train", *given, *where, override]) == 2
    message = capsys.readouterr().err.strip()
    assert named in message
    assert len(message.splitlines()) == 1


def test_a_teacher_that_needs_trimaps_is_refused(teacher, tmp_path, monkeypatch):
    monkeypatch.setattr("p3m_lightning.models.p3mnet.P3MNet.needs_trimap", True)
    with pytest.raises(InputError, match="trimap"):
        Teacher(teacher, tmp_path)
