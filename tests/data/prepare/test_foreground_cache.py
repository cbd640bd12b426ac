import json
import multiprocessing
import os
import resource
import shutil
import sys
import time

import numpy as np
import pytest

from p3m_lightning import files
from p3m_lightning.cli import main
from p3m_lightning.data.datasets import MattingDataset
from p3m_lightning.data.foreground_colors import estimate_layers
from p3m_lightning.data.prepare import foreground_cache
from p3m_lightning.data.prepare.foreground_cache import cache_foregrounds
from p3m_lightning.images import read_image, read_matte, to_unit, write_image
from p3m_lightning.schema import InputError


def portrait(height=60, width=80):
    """A red disk with a soft edge on blue: image and matte, uint8."""
    y, x = np.mgrid[:height, :width]
    alpha = np.clip((20 - np.hypot(y - height / 2, x - width / 2)) * 40, 0, 255).astype(np.uint8)
    weight = alpha[..., None] / 255
    image = weight * np.array([220, 40, 30]) + (1 - weight) * np.array([20, 60, 200])
    return np.rint(image).astype(np.uint8), alpha


@pytest.fixture
def root(tmp_path):
    for name in "abc":
        image, alpha = portrait()
        write_image(tmp_path / f"set/train/blurred_image/{name}.jpg", image, quality=95, subsampling=0)
        write_image(tmp_path / f"set/train/mask/{name}.png", alpha)
    return tmp_path / "set"


@pytest.fixture
def quick_estimates(monkeypatch):
    """No numba, which a forked process cannot use after its parent did."""
    monkeypatch.setattr(foreground_cache, "estimate_layers", lambda image, alpha, method: (image / 255,) * 2)


def forked(function):
    """Start a process that has everything imported already."""
    process = multiprocessing.get_context("fork").Process(target=function)
    process.start()
    return process


@pytest.mark.parametrize("sample", ["p_22fc0130", "p_d684dae3"])
def test_layers_are_the_recorded_ones(golden_portraits, sample):
    expected = json.loads((golden_portraits / "foreground/foreground.json").read_text())["samples"][sample]
    image, alpha = read_image(golden_portraits / expected["image"]), read_matte(golden_portraits / expected["alpha"])
    layers = dict(zip(("foreground", "background"), estimate_layers(image, alpha), strict=True))
    for name, layer in layers.items():
        assert layer.dtype == np.float32
        np.testing.assert_allclose(layer.mean((0, 1)), expected[name]["all"]["mean"], atol=1e-3)
        found = [layer[probe["row"], probe["col"]] for probe in expected["probes"]]
        np.testing.assert_allclose(found, [probe[name] for probe in expected["probes"]], atol=0.01)


@pytest.mark.parametrize("method", ["multilevel", "closed_form"])
def test_layers_compose_to_the_image_again_and_are_the_colors_it_was_made_of(method):
    image, alpha = portrait()
    foreground, background = estimate_layers(image, alpha, method)
    weight = to_unit(alpha)[..., None]
    assert np.abs(weight * foreground + (1 - weight) * background - to_unit(image)).max() < 0.02
    assert np.abs(foreground[alpha > 0] - np.array([220, 40, 30]) / 255).max() < 0.05
    assert np.abs(background[alpha < 255] - np.array([20, 60, 200]) / 255).max() < 0.05


def test_another_method_is_refused():
    with pytest.raises(InputError, match="multilevel"):
        estimate_layers(*portrait(), method="guess")


def test_the_loader_finds_what_was_cached(root):
    report = cache_foregrounds(root, workers=1)
    assert (report.made, report.kept, report.failed) == (3, 0, {})
    sample = MattingDataset(root, foreground="cached")[0]
    composed = sample["alpha"] * sample["foreground"] + (1 - sample["alpha"]) * sample["background"]
    assert (composed - sample["image"]).abs().max() < 0.05


def test_a_second_run_makes_only_what_is_missing(root):
    cache_foregrounds(root, workers=1)
    kept = root / "train/fg_blurred/a.png"
    before = kept.stat().st_mtime_ns
    (root / "train/fg_blurred/b.png").unlink()
    (root / "train/fg_blurred/.part-x.png").write_bytes(b"half")
    report = cache_foregrounds(root, workers=1)
    assert (report.made, report.kept) == (1, 2)
    assert kept.stat().st_mtime_ns == before
    assert sorted(path.name for path in (root / "train/fg_blurred").iterdir()) == ["a.png", "b.png", "c.png"]


def test_foregrounds_can_lie_elsewhere_and_as_jpeg(root, tmp_path):
    out = tmp_path / "out"
    report = cache_foregrounds(root, out=out, suffix="jpg", workers=1)
    assert report.folders == (out / "train/fg_blurred", out / "train/bg")
    assert sorted(os.listdir(root / "train")) == ["blurred_image", "mask"]
    assert MattingDataset(root, foreground="cached", cache=out).files["c"]["foreground"].suffix == ".jpg"
    assert cache_foregrounds(root, out=out, workers=1).kept == 3


def test_originals_get_foregrounds_of_their_own(root):
    shutil.copytree(root / "train/blurred_image", root / "train/original_image")
    report = cache_foregrounds(root, images="original_image", workers=1)
    assert report.folders[0] == root / "train/fg"


def test_a_broken_image_is_named_at_the_end_and_the_others_are_made(root, capsys):
    (root / "train/blurred_image/b.jpg").write_text("no picture")
    assert main(["data", "foregrounds", str(root), "--workers", "1"]) == 2
    captured = capsys.readouterr()
    assert "2 made, 0 already there, 1 failed" in captured.out
    assert "b.jpg" in captured.err
    assert not (root / "train/fg_blurred/b.png").exists()


def test_the_disk_space_is_estimated_before_anything_is_written(root, monkeypatch, capsys):
    tight = shutil.disk_usage(root)._replace(free=100)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: tight)
    assert main(["data", "foregrounds", str(root)]) == 2
    message = capsys.readouterr().err
    assert "100 bytes free" in message
    assert message.count("\n") == 1
    assert not list((root / "train/fg_blurred").iterdir())


def test_a_disk_that_fills_up_ends_in_one_line_and_leaves_whole_files_only(root, tmp_path, quick_estimates):
    def run():
        resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))  # refuses to write further, as a full disk does
        with open(os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY), "w", buffering=1) as sys.stderr:
            sys.exit(main(["data", "foregrounds", str(root), "--workers", "1"]))

    process = forked(run)
    process.join()
    assert process.exitcode == 2
    message = (tmp_path / "log").read_text()
    assert "cannot be written (File too large); files may not grow that large here" in message
    assert "Traceback" not in message
    assert not list((root / "train/fg_blurred").iterdir())
    assert cache_foregrounds(root, workers=1).made == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser writes everywhere")
def test_a_read_only_destination_is_named(root, capsys):
    (root / "train").chmod(0o500)
    assert main(["data", "foregrounds", str(root)]) == 2
    assert "-o DIR" in capsys.readouterr().err


def test_a_destination_that_is_a_file_is_named(root, capsys):
    (root / "train/fg_blurred").write_text("in the way")
    assert main(["data", "foregrounds", str(root)]) == 2
    assert "-o DIR" in capsys.readouterr().err


def test_a_killed_run_leaves_whole_files_only_and_is_taken_up(root, quick_estimates):
    for number in range(40):
        shutil.copy(root / "train/blurred_image/a.jpg", root / f"train/blurred_image/{number:03d}.jpg")
        shutil.copy(root / "train/mask/a.png", root / f"train/mask/{number:03d}.png")
    folder = root / "train/fg_blurred"
    process = forked(lambda: cache_foregrounds(root, workers=1))
    while process.is_alive() and len(list(folder.glob("*.png"))) < 3:
        time.sleep(0.002)
    process.kill()
    process.join()
    whole = [path for path in folder.glob("*.png") if not path.name.startswith(".")]
    assert all(read_image(path).shape == (60, 80, 3) for path in whole)
    report = cache_foregrounds(root, workers=1)
    assert report.made + report.kept == 43
    assert report.kept >= 2
    assert report.made > 0
    assert len(MattingDataset(root, foreground="cached")) == 43


@pytest.mark.parametrize("arguments", [{"method": "guess"}, {"suffix": "gif"}, {"workers": 0}, {"name": "bg-20k"}])
def test_wrong_arguments_are_refused(root, arguments):
    with pytest.raises(InputError):
        cache_foregrounds(root, **arguments)
