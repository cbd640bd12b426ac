from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from faces import face_points, noise
from p3m_lightning.cli import main
from p3m_lightning.data.image_copy_paste import FaceSource
from p3m_lightning.images import read_image, write_image
from p3m_lightning.landmarks import write_landmarks
from p3m_lightning.models import create_model
from p3m_lightning.schema import InputError
from p3m_lightning.training.callbacks.copy_paste.features import FeatureCopyPaste


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A folder of two photographs with the landmarks of their faces."""
    root = tmp_path_factory.mktemp("faces")
    for k in range(2):
        write_image(root / f"images/{k}.png", noise(150, 150, k))
    write_landmarks(root / "faces.json", {str(k): [face_points((75, 75), 80)] for k in range(2)})
    return root


@pytest.fixture(scope="module")
def source(faces) -> FaceSource:
    return FaceSource(faces / "images", landmarks=faces / "faces.json")


def batch_of(count=2, size=64) -> dict:
    face = torch.zeros(count, 1, size, size)
    face[:, :, 16:48, 20:44] = 1
    return {"image": torch.rand(count, 3, size, size), "face": face, "name": [str(k) for k in range(count)]}


def trainer_at(epoch: int) -> SimpleNamespace:
    return SimpleNamespace(current_epoch=epoch, global_rank=0, is_global_zero=True)


@pytest.fixture
def module() -> SimpleNamespace:
    torch.manual_seed(0)
    return SimpleNamespace(net=create_model("p3mnet_r34", width=0.125).train())


def stage_output(net: nn.Module, stage: str, images: torch.Tensor) -> torch.Tensor:
    """What the decoders and deeper stages see after a stage."""
    seen = []
    handle = net.get_submodule(stage).register_forward_hook(lambda *call: seen.append(call[-1]))
    net(images)
    handle.remove()
    return seen[-1]


def test_features_flow_on_pasted_inside_the_face_and_as_they_were_outside(module, source):
    paste = FeatureCopyPaste(source, ["encoder.layer1"], p=1.0, start_epoch=0, face_scale=[0.9, 0.9])
    batch = batch_of()
    module.net.eval()  # so that both passes normalize alike
    before = stage_output(module.net, "encoder.layer1", batch["image"])
    deeper_before = stage_output(module.net, "encoder.layer2", batch["image"])
    paste.on_fit_start(trainer_at(0), module)
    paste.on_train_batch_start(trainer_at(0), module, batch, 0)
    after = stage_output(module.net, "encoder.layer1", batch["image"])
    changed = (after != before).any(dim=1)
    assert changed.any()
    assert not changed[:, batch["face"][0, 0, ::4, ::4] == 0].any()
    paste.plan.features.clear()
    assert not torch.equal(stage_output(module.net, "encoder.layer2", batch["image"]), deeper_before)


def test_pasted_features_are_those_of_the_source_without_gradient(module, source):
    paste = FeatureCopyPaste(source, ["encoder.layer1"], p=1.0, start_epoch=0)
    paste.on_fit_start(trainer_at(0), module)
    batch = batch_of()
    paste.on_train_batch_start(trainer_at(0), module, batch, 0)
    module.net.eval()(batch["image"])
    kept = paste.plan.features["encoder.layer1"]
    assert not kept.requires_grad
    paste.plan, images = None, paste.plan.images
    assert torch.allclose(kept, stage_output(module.net, "encoder.layer1", images), atol=1e-6)


@pytest.mark.parametrize(("statistics", "same"), [("running", True), ("batch", False)])
def test_the_source_leaves_running_statistics_alone_unless_told_otherwise(module, source, statistics, same):
    paste = FeatureCopyPaste(source, ["encoder.layer1"], p=1.0, start_epoch=0, statistics=statistics)
    paste.on_fit_start(trainer_at(0), module)
    batch = batch_of()
    plan = paste.draw(batch, np.random.default_rng(0))
    paste.plan = plan
    before = module.net.encoder.bn1.running_mean.clone()
    paste._run_source(module.net, ())
    assert torch.equal(before, module.net.encoder.bn1.running_mean) == same
    assert all(part.training for part in module.net.modules())
    assert set(plan.features) == {"encoder.layer1"}


def test_nothing_is_pasted_before_the_start_epoch_and_in_half_of_the_batches_after(module, source):
    paste = FeatureCopyPaste(source, ["encoder.layer1"], start_epoch=50)
    paste.on_fit_start(trainer_at(0), module)
    batch = batch_of(1)

    def armed(epoch: int) -> list[bool]:
        drawn = []
        for index in range(40):
            paste.on_train_batch_start(trainer_at(epoch), module, batch, index)
            drawn.append(paste.plan is not None)
        return drawn

    assert not any(armed(49))
    assert 8 < sum(armed(50)) < 32
    assert armed(50) == armed(50)
    assert armed(50) != armed(51)


def test_each_target_gets_one_of_the_sources_at_the_asked_scale(module, source):
    paste = FeatureCopyPaste(source, ["encoder.layer1"], source_batch=2, face_scale=[0.5, 0.5], frame=1.6)
    plan = paste.draw(batch_of(3), np.random.default_rng(1))
    assert plan.of_target(torch.arange(2)).tolist() == [0, 1, 0]
    for mask in plan.source_mask[:, 0]:
        rows, columns = mask.nonzero(as_tuple=True)
        side = max(np.ptp(rows.numpy()), np.ptp(columns.numpy())) + 1
        assert side == pytest.approx(0.5 * 64 / 1.6, abs=2)
        assert float(rows.float().mean()) == pytest.approx(31.5, abs=4)


def test_token_maps_are_pasted_too(source):
    module = SimpleNamespace(net=create_model("p3mnet_vitae_s", width=0.125).eval())
    paste = FeatureCopyPaste(
        source, ["encoder.stages.0"], p=1.0, start_epoch=0, channels_last=True, face_scale=[0.9, 0.9]
    )
    batch = batch_of(1)
    before = stage_output(module.net, "encoder.stages.0", batch["image"])
    paste.on_fit_start(trainer_at(0), module)
    paste.on_train_batch_start(trainer_at(0), module, batch, 0)
    changed = (stage_output(module.net, "encoder.stages.0", batch["image"]) != before).any(dim=-1)[0]
    assert changed.shape == (16, 16)
    assert changed.any()
    assert not changed[batch["face"][0, 0, ::4, ::4] == 0].any()


def test_hooks_come_off(module, source):
    paste = FeatureCopyPaste(source, ["encoder.layer1"])
    paste.on_fit_start(trainer_at(0), module)
    assert module.net._forward_pre_hooks
    paste.on_fit_end(trainer_at(0), module)
    assert not module.net._forward_pre_hooks
    assert not module.net.encoder.layer1._forward_hooks


def test_wrong_keys_are_named(module, source):
    with pytest.raises(InputError, match=r"layer9 is not a part of the network; choose from encoder\.conv1"):
        FeatureCopyPaste(source, ["encoder.layer9"]).on_fit_start(trainer_at(0), module)
    with pytest.raises(InputError, match="'mean' is not one of running, batch"):
        FeatureCopyPaste(source, ["encoder.layer1"], statistics="mean")
    with pytest.raises(InputError, match="at least one stage"):
        FeatureCopyPaste(source, [])
    with pytest.raises(InputError, match=r"data\.train\.face=true"):
        FeatureCopyPaste(source, ["encoder.layer1"]).draw({"image": torch.rand(1, 3, 8, 8)}, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("experiment", "picture", "extra"),
    [
        ("p3m_icp", "copy_paste_images.png", []),
        ("p3m_fcp", "copy_paste_features.png", ["callbacks.copy_paste.start_epoch=0", "callbacks.copy_paste.p=1"]),
    ],
)
def test_experiments_train_and_show_what_was_pasted(experiment, picture, extra, portraits, faces, tmp_path, capsys):
    overrides = [
        f"experiment={experiment}",
        f"paths.data={portraits}",
        f"paths.output={tmp_path}",
        f"faces.images={faces}/images",
        f"faces.landmarks={faces}/faces.json",
        "model.width=0.125",
        "data.train.transform.crop.sides=[160]",
        "data.train.transform.crop.size=96",
        "data.batch_size=2",
        "data.num_workers=0",
        "data.holdout=1",
        "trainer=cpu",
        "trainer.max_epochs=1",
        "trainer.limit_train_batches=2",
        "trainer.limit_test_batches=1",
    ]
    assert main(["train", *overrides, *extra]) == 0
    run = Path(capsys.readouterr().out.splitlines()[-1])
    assert read_image(run / "report" / picture).std() > 20


def test_experiments_say_that_faces_are_missing(portraits, tmp_path, capsys):
    assert main(["train", "experiment=p3m_icp", f"paths.data={portraits}", f"paths.output={tmp_path}"]) == 2
    assert "faces.images" in capsys.readouterr().err
