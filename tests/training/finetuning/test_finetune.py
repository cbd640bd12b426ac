"""Fine-tuning from the command line: a narrow network on a few new and old images."""

import json
import shutil
import warnings
from pathlib import Path

import pytest
import torch
import yaml

from p3m_lightning.cli import main
from p3m_lightning.cli.finetune import without_new_test
from p3m_lightning.data.datasets import MattingDataset
from p3m_lightning.data.declared_labels import hard_parts
from p3m_lightning.images import read_matte, write_image
from p3m_lightning.models.box import BOX_FILE
from p3m_lightning.models.weights import read_checkpoint
from p3m_lightning.schema import InputError
from p3m_lightning.training.finetuning.start import with_recorded_start

BRIEF = [
    "trainer=cpu",
    "trainer.max_epochs=1",
    "data.prepare=null",
    "data.num_workers=0",
    "data.batch_size=2",
    "data.holdout=2",
    "data.train.length=4",
    "callbacks.progress=null",
    "callbacks.pictures=null",
    "+inference.short_side=96",
]
BRIEF += [f"data.train.datasets.{part}.transform.crop.sides=[96,128]" for part in ("new", "old")]
BRIEF += [f"data.train.datasets.{part}.transform.crop.size=64" for part in ("new", "old")]


@pytest.fixture(scope="module")
def pictures(portraits, tmp_path_factory) -> Path:
    """A folder of somebody's own: four pictures with hard masks, and a test folder with true mattes."""
    root = tmp_path_factory.mktemp("own")
    for split, source, count in (("train", "train", 4), ("test", "validation/P3M-500-P", 2)):
        for path in sorted((portraits / source / "mask").glob("*.png"))[:count]:
            image = next((portraits / source / "original_image").glob(f"{path.stem}.*"), None)
            image = image or next((portraits / source / "blurred_image").glob(f"{path.stem}.*"))
            (root / split / "image").mkdir(parents=True, exist_ok=True)
            shutil.copy(image, root / split / "image" / f"own_{image.name}")
            matte = read_matte(path)
            write_image(root / split / "mask" / f"own_{path.name}", (matte > 127) * matte.dtype.type(255))
    return root


@pytest.fixture(scope="module")
def tuned(portraits, pictures, checkpoint, tmp_path_factory):
    """The run folder of a fine-tuning on masks that were taken for mattes, and the warnings."""
    folder = tmp_path_factory.mktemp("tuned") / "run"
    given = [f"paths.new={pictures}", f"paths.old={portraits}", f"init_from={checkpoint}", f"hydra.run.dir={folder}"]
    with warnings.catch_warnings(record=True, action="always") as caught:
        code = main(["finetune", *BRIEF, *given])
    assert code == 0
    return folder, [str(one.message) for one in caught]


def test_the_network_and_its_inference_come_from_the_checkpoint(tuned, checkpoint):
    config = yaml.safe_load((tuned[0] / "config.yaml").read_text())
    assert (config["model"]["name"], config["model"]["width"]) == ("p3mnet_r34", 0.125)
    plain = {"init_from": "box", "inference": {"mode": None, "_target_": "p3m_lightning.inference.infer"}}
    filled = with_recorded_start(plain)
    recorded = read_checkpoint(BOX_FILE).config
    assert (filled["init_from"], filled["model"]["encoder"]) == (str(BOX_FILE), recorded["model"]["encoder"])
    assert filled["inference"]["short_side"] == recorded["inference"]["short_side"]
    chosen = with_recorded_start({**plain, "inference": {"mode": "native"}})
    assert chosen["inference"]["mode"] == "native"
    with pytest.raises(InputError, match="model: there is none; give init_from=CHECKPOINT"):
        with_recorded_start({**plain, "init_from": None})


def test_old_and_new_are_scored_before_and_in_every_validation(tuned):
    report = json.loads((tuned[0] / "forgetting.json").read_text())
    assert set(report["sets"]) == {"holdout_new", "holdout_old", "new", "old"}
    assert {name: one["kind"] for name, one in report["sets"].items()} == {
        "holdout_new": "new",
        "holdout_old": "old",
        "new": "new",
        "old": "old",
    }
    assert [point["step"] for point in report["course"]] == [0, 2]
    results = json.loads((tuned[0] / "results.json").read_text())
    assert report["sets"]["old"]["after"]["sad"] == pytest.approx(results["sets"]["old"]["mean"]["sad"])
    assert results["forgetting"]["sets"]["new"] == report["sets"]["new"]
    one = report["sets"]["new"]
    assert one["better"] + one["worse"] <= one["images"] == 2
    assert one["change"] == pytest.approx(one["after"]["sad"] / one["before"]["sad"] - 1)


def test_the_start_has_the_scores_that_p3m_eval_gives_it(tuned, portraits, checkpoint, tmp_path):
    report = json.loads((tuned[0] / "forgetting.json").read_text())
    given = ["data=synthetic", f"paths.data={portraits}", "trainer=cpu", "data.num_workers=0", "data.prepare=null"]
    given += ["callbacks.progress=null", "inference.mode=resize", "+inference.short_side=96"]
    assert main(["eval", *given, f"ckpt={checkpoint}", f"hydra.run.dir={tmp_path / 'eval'}"]) == 0
    mean = json.loads((tmp_path / "eval" / "metrics_P3M-500-NP.json").read_text())["mean"]
    assert report["sets"]["old"]["before"]["sad"] == pytest.approx(mean["sad"], rel=1e-3)


def test_the_checkpoint_is_chosen_on_what_is_held_out_of_both(tuned):
    report = json.loads((tuned[0] / "forgetting.json").read_text())
    results = json.loads((tuned[0] / "results.json").read_text())
    held = [report["course"][-1]["sets"][name]["sad"] for name in ("holdout_new", "holdout_old")]
    assert results["validation"]["val/sad"] == pytest.approx(sum(held) / 2)


def test_the_report_is_also_for_people(tuned):
    page = (tuned[0] / "forgetting.md").read_text()
    assert "(old images): SAD" in page
    assert "| step | holdout_new | holdout_old | new | old |" in page


def test_running_statistics_stay_those_of_the_start(tuned, checkpoint):
    before, after = (read_checkpoint(p).state for p in (checkpoint, tuned[0] / "checkpoints" / "last.ckpt"))
    kept = [key for key in before if "running_" in key]
    assert kept
    assert all(torch.equal(before[key], after[key]) for key in kept)
    assert any(not torch.equal(before[key], after[key]) for key in before if key.endswith("weight"))


def test_masks_that_are_taken_for_mattes_are_told(tuned, pictures, portraits):
    assert any("data.train.datasets.new.labels=mask" in text for text in tuned[1])
    assert hard_parts(MattingDataset(pictures, "folder")) == [""]
    assert hard_parts(MattingDataset(pictures, "folder", labels="mask")) == []
    assert hard_parts(MattingDataset(portraits, "synthetic")) == []


def test_a_folder_without_a_test_folder_is_tested_on_the_old_pictures_alone(pictures, tmp_path):
    assert without_new_test([f"paths.new={pictures}"]) == []
    assert without_new_test([f"paths.new={tmp_path}"]) == ["~data.tests.new"]
    assert without_new_test([f"paths.new={tmp_path}", "~data.tests"]) == []
    assert without_new_test([f"paths.new={tmp_path}", "data.tests.new.limit=3"]) == []


def test_what_is_missing_is_one_line(portraits, tmp_path, capsys):
    run = [f"hydra.run.dir={tmp_path / 'run'}", f"paths.old={portraits}", *BRIEF]
    assert main(["finetune", *run]) == 2
    assert "paths.new" in capsys.readouterr().err
    assert main(["finetune", *run, f"paths.new={tmp_path / 'gone'}"]) == 2
    err = capsys.readouterr().err
    assert "gone: no such folder" in err
    assert err.count("\n") == 1
    assert main(["finetune", *run, f"paths.new={tmp_path}", "trainer.num_sanity_val_steps=0"]) == 2
