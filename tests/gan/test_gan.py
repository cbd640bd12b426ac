"""StyleMatteGAN from the command line: discs of 16 pixels, learned by narrow networks in seconds."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from p3m_lightning.cli import main
from p3m_lightning.configuration import compose_run
from p3m_lightning.gan.callbacks import TickCheckpoints
from p3m_lightning.gan.generator import load_generator
from p3m_lightning.gan.module import gaussian_blur, step_seed
from p3m_lightning.gan.run import build_gan
from tiny_gan import SHORT, TICK, TICKS, TINY, write_discs


@pytest.fixture(scope="module")
def discs(tmp_path_factory):
    """Colored discs on nothing, and backgrounds."""
    return write_discs(tmp_path_factory.mktemp("discs"))


def paths(discs, folder):
    return [f"paths.data={discs / 'rgba'}", f"paths.backgrounds={discs / 'backgrounds'}", f"hydra.run.dir={folder}"]


@pytest.fixture(scope="module")
def trained(discs, tmp_path_factory):
    """The folder of an unbroken run."""
    folder = tmp_path_factory.mktemp("gan") / "run"
    assert main(["gan", "train", *TINY, *paths(discs, folder)]) == 0
    return folder


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_distance_falls(trained):
    results = json.loads((trained / "results.json").read_text())
    assert [entry["images"] for entry in results["history"]] == [TICK * k for k in range(TICKS + 1)]
    assert results["best"]["frechet_random_resnet34"] < results["start"]["frechet_random_resnet34"] / 2


def test_the_run_folder_holds_what_the_contract_names(trained):
    assert {"config.yaml", "metrics.csv", "results.json", "checkpoints", "report"} <= {
        p.name for p in trained.iterdir()
    }
    grids = {p.name for p in (trained / "report").iterdir()}
    assert {"checkerboard_real.png", "checkerboard_0000000.0k.png", "backgrounds_0000000.4k.png"} <= grids
    with Image.open(trained / "report" / "backgrounds_0000000.4k.png") as grid:
        assert grid.size == (4 * 16, 2 * 16)
    results = json.loads((trained / "results.json").read_text())
    assert results["best"] == min(results["history"][1:], key=lambda entry: entry["distance"])
    assert {"git_revision", "versions", "seed", "seconds"} <= results.keys()
    assert not any("fid" in name for name in results["history"][0])


def test_the_vision_aided_discriminator_takes_part_after_its_warm_up(trained):
    taking_part = {float(row["train/images"]): bool(row["train/loss/generator_vision"]) for row in rows(trained)[:60]
                   if row["train/images"]}  # fmt: skip
    assert set(taking_part.values()) == {False, True}
    assert all(part == (images > TICK) for images, part in taking_part.items())


def test_the_checkpoint_gives_the_averaged_generator_without_lightning(trained):
    code = (
        "import sys, torch\n"
        "from p3m_lightning.gan.generator import load_generator\n"
        f"generator = load_generator({str(trained / 'checkpoints/last.ckpt')!r})\n"
        "assert generator(torch.randn(2, 8), psi=-0.5).shape == (2, 4, 16, 16)\n"
        "assert not any(m.startswith(('pytorch_lightning', 'omegaconf')) for m in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    saved = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    generator = load_generator(trained / "checkpoints/last.ckpt")
    assert all(torch.equal(value, saved[f"averaged.{name}"]) for name, value in generator.state_dict().items())
    assert not torch.equal(saved["averaged.color.bias"], saved["generator.color.bias"])


def test_a_resumed_run_ends_bit_by_bit_where_an_unbroken_one_ends(discs, tmp_path, capsys):
    broken, unbroken = (tmp_path / "outputs" / "gan_synthetic" / name for name in ("broken", "unbroken"))
    assert main(["gan", "train", *TINY, *SHORT, *paths(discs, unbroken), "images=48"]) == 0
    assert main(["gan", "train", *TINY, *SHORT, *paths(discs, broken), "images=16"]) == 0
    again = [*TINY, *SHORT, *paths(discs, broken)[:2], f"paths.output={tmp_path / 'outputs'}", "images=48", "ckpt=last"]
    assert main(["gan", "train", *again]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(broken)
    ours, theirs = (torch.load(f / "checkpoints/last.ckpt", weights_only=True) for f in (broken, unbroken))
    assert all(torch.equal(value, ours["state_dict"][name]) for name, value in theirs["state_dict"].items())
    assert all(torch.equal(one, other) for one, other in zip(moments(ours), moments(theirs), strict=True))
    histories = [json.loads((f / "results.json").read_text())["history"] for f in (broken, unbroken)]
    assert [entry["distance"] for entry in histories[0]] == [entry["distance"] for entry in histories[1]]
    assert len(histories[0]) == 4


def moments(checkpoint):
    """What Adam remembers of every parameter."""
    return [one["exp_avg_sq"] for state in checkpoint["optimizer_states"] for one in state["state"].values()]


def test_a_kill_behind_the_checkpoint_of_a_tick_costs_no_row(discs, tmp_path, monkeypatch):
    """What a tick measures is logged before it is saved: a resumed run begins with the next one."""
    options = [*TINY, *SHORT, "images=32"]
    assert main(["gan", "train", *options, *paths(discs, tmp_path / "whole")]) == 0
    folder, save = tmp_path / "run", TickCheckpoints.tick

    def die(*arguments):
        save(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TickCheckpoints, "tick", die)
        main(["gan", "train", *options, *paths(discs, folder)])
    assert main(["gan", "train", *options, *paths(discs, folder), f"ckpt={folder}/checkpoints/last.ckpt"]) == 0
    measured = [
        [row["val/distance"] for row in rows(run) if row["val/distance"]] for run in (folder, tmp_path / "whole")
    ]
    assert len(measured[0]) == 2
    assert measured[0] == measured[1]


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("optimizers.generator.lr=1", "optimizers.generator.lr was 0.0015, is now 1"),
        ("discriminator.max_channels=8", "discriminator.max_channels was 16, is now 8"),
        ("recipe.penalty.gamma=9", "recipe.penalty.gamma was 1, is now 9"),
        ("images=16", "its training is in epoch 3, beyond images=16"),
    ],
)
def test_a_resume_that_does_not_fit_is_refused_and_writes_nothing(discs, trained, tmp_path, capsys, override, named):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    again = [*TINY, *paths(discs, folder), f"ckpt={folder}/checkpoints/last.ckpt", override]
    assert main(["gan", "train", *again]) == 2
    assert named in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_two_processes_hold_the_same_weights_and_draw_different_noise(discs, tmp_path):
    command = [sys.executable, "-m", "p3m_lightning", "gan", "train", *TINY, *paths(discs, tmp_path / "run")]
    command += [
        *SHORT,
        "trainer=ddp_sim",
        "images=32",
        "callbacks.snapshots=null",
        "+callbacks.ranks={_target_: gan_ranks.SameWeights}",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(tmp_path / "run")
    assert int(torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)["state_dict"]["seen"]) == 32


def test_bfloat16_trains_too(discs, tmp_path):
    short = [
        "images=32",
        "data.tick=32",
        "recipe.vision_warmup=0",
        "callbacks.distance=null",
        "trainer.precision=bf16-mixed",
    ]
    assert main(["gan", "train", *TINY, *paths(discs, tmp_path / "run"), *short]) == 0
    assert all(np.isfinite(float(row["train/loss/generator"])) for row in rows(tmp_path / "run"))
    assert (tmp_path / "run/checkpoints/last.ckpt").is_file()


def test_a_compiled_generator_learns_the_same(discs, tmp_path):
    short = ["images=16", "data.tick=16", "data.batch_size=8", "callbacks.distance=null", "callbacks.snapshots=null"]
    found = {}
    for name, options in {"plain": [], "compiled": ["compile=true", "compile_backend=eager"]}.items():
        assert main(["gan", "train", *TINY, *paths(discs, tmp_path / name), *short, *options]) == 0
        found[name] = torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    assert found["plain"].keys() == found["compiled"].keys()
    assert all(torch.equal(value, found["compiled"][key]) for key, value in found["plain"].items())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
def test_half_precision_trains_on_a_gpu(discs, tmp_path, precision):
    device = ["trainer=gpu", f"trainer.precision={precision}", "recipe.vision_warmup=0"]
    assert main(["gan", "train", *TINY, *paths(discs, tmp_path / "run"), *device]) == 0
    results = json.loads((tmp_path / "run/results.json").read_text())
    assert results["best"]["distance"] < results["start"]["distance"]


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("ckpt=nonesuch.ckpt", "nonesuch.ckpt"),
        ("paths.data=nowhere", "nowhere"),
        ("paths.backgrounds=nowhere", "nowhere"),
        ("resolution=48", "48"),
        ("data.tick=3", "tick"),
        ("vision.features.network=nonesuch", "nonesuch"),
        ("distance=inception", "distance.weights"),
        ("generator.depth=3", "depth"),
        ("ckpt=last", "last.ckpt"),
    ],
)
def test_a_wrong_key_or_path_is_one_line_that_names_it(discs, tmp_path, monkeypatch, capsys, override, named):
    monkeypatch.chdir(tmp_path)
    assert main(["gan", "train", *TINY, *paths(discs, tmp_path / "run"), override]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("p3m: ")
    assert named in message


def test_draws_of_a_step_differ_by_seed_step_and_process():
    seeds = {step_seed(seed, seen, rank) for seed in range(3) for seen in range(0, 80, 8) for rank in range(4)}
    assert len(seeds) == 3 * 10 * 4
    assert step_seed(1, 8, 0) == step_seed(1, 8, 0)


def test_blur_is_a_gaussian_and_fades_to_nothing():
    pictures = torch.rand(2, 4, 24, 24)
    expected = gaussian_filter(pictures.double().numpy(), (0, 0, 1.7, 1.7), mode="nearest", truncate=5 / 1.7)
    torch.testing.assert_close(gaussian_blur(pictures, 1.7).double(), torch.from_numpy(expected), atol=1e-5, rtol=0)
    assert gaussian_blur(pictures, 0.05) is pictures


def sample(trained, folder, *options):
    return main(["gan", "sample", "--ckpt", str(trained / "checkpoints/best.ckpt"), "-o", str(folder), *options])


def test_samples_say_seed_and_psi_and_a_second_call_writes_what_is_missing(trained, tmp_path, capsys):
    assert sample(trained, tmp_path / "out", "--count", "20", "--batch-size", "8") == 0
    files = sorted((tmp_path / "out").iterdir())
    assert len(files) == 20
    assert files[0].name == "seed000000_psi-0.90.png"
    assert files[18].name == "seed000018_psi+0.90.png"
    assert files[19].name == "seed000019_psi-0.90.png"  # the truncations go round
    with Image.open(files[2]) as image:
        assert image.mode == "RGBA"
        assert image.size == (16, 16)
        assert (image.text["seed"], image.text["psi"]) == ("2", "-0.7")
        assert all(abs(float(part)) <= 0.05 for part in image.text["shift"].split())
        assert 0 <= float(image.text["rotation"]) <= 10
    first, untouched = files[3].read_bytes(), files[4].stat().st_mtime_ns
    files[3].unlink()
    assert sample(trained, tmp_path / "out", "--count", "20") == 0
    assert files[3].read_bytes() == first
    assert files[4].stat().st_mtime_ns == untouched


def test_samples_of_another_generator_are_not_mixed_in(trained, tmp_path, capsys):
    assert sample(trained, tmp_path / "out", "--count", "1") == 0
    assert main(["gan", "sample", "--ckpt", str(other_checkpoint(trained, tmp_path)), "-o", str(tmp_path / "out")]) == 2
    assert "another folder" in capsys.readouterr().err


def other_checkpoint(trained, folder):
    content = torch.load(trained / "checkpoints/best.ckpt", weights_only=True)
    content["state_dict"]["averaged.color.bias"] += 0.1
    torch.save(content, folder / "other.ckpt")
    return folder / "other.ckpt"


@pytest.mark.parametrize(
    ("options", "named"),
    [(["--psi", "0.5", "0", "0.1"], "--psi"), (["--count", "0"], "--count"), (["--seed", "-1"], "--seed")],
)
def test_impossible_samples_are_refused(trained, tmp_path, capsys, options, named):
    assert sample(trained, tmp_path / "out", *options) == 2
    assert named in capsys.readouterr().err


def test_a_checkpoint_of_another_kind_is_refused(tmp_path, capsys):
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    assert main(["gan", "sample", "--ckpt", str(tmp_path / "other.ckpt"), "-o", str(tmp_path / "out")]) == 2
    assert "p3m gan train" in capsys.readouterr().err


def test_vision_none_leaves_the_second_discriminator_out_whatever_the_experiment_says_of_it(tmp_path):
    narrow = ["resolution=16", "generator.layers=3", "generator.max_channels=4", "discriminator.max_channels=4"]
    config = compose_run("gan", ["experiment=gan_synthetic", "vision=none", *narrow], tmp_path)
    assert config["vision"]
    assert build_gan(config).vision is None
