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
from p3m_lightning.data.datasets import MattingDataset, SeededIndex
from p3m_lightning.data.loading.batches import ROLES
from p3m_lightning.data.prepare import pack_folder
from p3m_lightning.data.prepare.foreground_cache import cache_foregrounds
from p3m_lightning.data.prepare.pack_folder import pack_dataset
from p3m_lightning.data.storage.packs import Pack
from p3m_lightning.data.transforms import TrainTransform, UnknownBandCrop
from p3m_lightning.images import write_image
from p3m_lightning.schema import InputError


@pytest.fixture
def root(portraits, tmp_path):
    """A copy of the rendered set, all of whose roles are published as JPEG and PNG."""
    return shutil.copytree(portraits, tmp_path / "set")


def crops():
    return TrainTransform(UnknownBandCrop(sides=(96, 128, 160), size=96, kernels=(5, 9)))


def forked(function):
    """Start a process that has everything imported already."""
    process = multiprocessing.get_context("fork").Process(target=function)
    process.start()
    return process


def packs(root):
    return sorted((root / "train/pack/blurred_image").glob("[!.]*.safetensors"))


def test_crops_are_the_same_pixel_for_pixel_from_the_published_files_and_from_the_packs(root):
    pack_dataset(root, "synthetic", workers=1)
    keys = {"name": "synthetic", "transform": crops(), "foreground": "cached", "face": True}
    published, packed = (MattingDataset(root, **keys, packed=flag) for flag in (False, True))
    assert all("pack" in files for files in packed.files.values())
    assert not any("pack" in files for files in published.files.values())
    for seed in range(12):
        expected, found = (dataset.maps(SeededIndex(seed % 6, seed))[0] for dataset in (published, packed))
        assert expected["plan"] == found["plan"]
        roles = expected.keys() & set(ROLES)
        assert roles == found.keys() & set(ROLES)
        for role in roles:
            assert np.array_equal(found[role], expected[role]), (seed, role)


def test_whole_images_are_the_same_too(root):
    pack_dataset(root, "synthetic", workers=1)
    published, packed = (MattingDataset(root, "synthetic", packed=flag)[2] for flag in (False, True))
    assert all(np.array_equal(published[role], packed[role]) for role in ("image", "alpha", "trimap"))


def test_packed_samples_are_read_without_their_published_pixels(root, monkeypatch):
    pack_dataset(root, "synthetic", workers=1)
    monkeypatch.setattr("p3m_lightning.data.storage.readers.read_color", None)
    monkeypatch.setattr("p3m_lightning.data.storage.readers.read_matte", None)
    MattingDataset(root, "synthetic", transform=crops(), foreground="cached", face=True).maps(SeededIndex(0, 0))


def test_half_a_set_can_be_packed(root):
    pack_dataset(root, "synthetic", workers=1)
    whole = MattingDataset(root, "synthetic", transform=crops())
    expected = [whole.maps(SeededIndex(index, 1))[0]["image"] for index in range(6)]
    for path in packs(root)[::2]:
        path.unlink()
    half = MattingDataset(root, "synthetic", transform=crops())
    assert sum("pack" in files for files in half.files.values()) == 3
    assert all(np.array_equal(half.maps(SeededIndex(i, 1))[0]["image"], one) for i, one in enumerate(expected))


def test_packs_can_lie_elsewhere(root, tmp_path):
    report = pack_dataset(root, "synthetic", out=tmp_path / "fast", workers=1)
    assert report.folder == tmp_path / "fast/train/pack/blurred_image"
    assert not (root / "train/pack").exists()
    files = MattingDataset(root, "synthetic", cache=tmp_path / "fast").files
    assert {one["pack"].parent for one in files.values()} == {report.folder}


def test_every_folder_of_images_has_packs_of_its_own(root):
    pack_dataset(root, "synthetic", images="original_image", workers=1)
    assert "pack" not in MattingDataset(root, "synthetic").files["train_00000"]
    assert "pack" in MattingDataset(root, "synthetic", images="original_image").files["train_00000"]


def test_a_changed_file_stops_the_loader_and_is_packed_again(root):
    pack_dataset(root, "synthetic", workers=1)
    matte = root / "train/mask/train_00002.png"
    write_image(matte, np.zeros((160, 160), np.uint8))
    dataset = MattingDataset(root, "synthetic", transform=crops())
    dataset.maps(SeededIndex(1, 0))
    with pytest.raises(InputError, match=r"train_00002\.png: has changed since it was packed .* run `p3m data pack`"):
        dataset.maps(SeededIndex(2, 0))
    report = pack_dataset(root, "synthetic", workers=1)
    assert (report.made, report.kept) == (1, 5)
    assert dataset.maps(SeededIndex(2, 0))[0]["alpha"].max() == 0


def test_a_file_that_changes_while_it_is_packed_is_packed_again(root, monkeypatch):
    def read_and_change(path, real=pack_folder.SampleFiles.alpha):
        alpha = real(path)
        os.utime(path.files["alpha"])
        return alpha

    monkeypatch.setattr(pack_folder.SampleFiles, "alpha", read_and_change)
    pack_dataset(root, "synthetic", workers=1)
    monkeypatch.undo()
    assert pack_dataset(root, "synthetic", workers=1).made == 6


def test_foregrounds_made_after_the_packs_are_packed_next_time(root):
    for folder in ("fg", "fg_blurred", "bg"):
        shutil.rmtree(root / "train" / folder)
    pack_dataset(root, "synthetic", workers=1)
    cache_foregrounds(root, "synthetic", workers=1)
    keys = {"name": "synthetic", "transform": crops(), "foreground": "cached"}
    mixed = MattingDataset(root, **keys).maps(SeededIndex(0, 5))[0]
    assert pack_dataset(root, "synthetic", workers=1).made == 6
    assert Pack(packs(root)[0]).roles() == {"image", "alpha", "foreground", "background", "face"}
    packed = MattingDataset(root, **keys).maps(SeededIndex(0, 5))[0]
    assert all(np.array_equal(mixed[role], packed[role]) for role in packed.keys() & set(ROLES) - {"face"})


def test_a_broken_image_is_named_at_the_end_and_the_others_are_packed(root, capsys):
    pack_dataset(root, "synthetic", workers=1)
    (root / "train/blurred_image/train_00001.jpg").write_text("no picture")
    (root / "train/blurred_image/train_00003.jpg").touch()
    assert main(["data", "pack", str(root), "--name", "synthetic", "--workers", "1"]) == 2
    captured = capsys.readouterr()
    assert "1 packed, 4 already there, 1 failed" in captured.out
    assert "train_00001.jpg" in captured.err
    assert len(packs(root)) == 5


def test_a_pack_cut_short_is_written_again(root):
    pack_dataset(root, "synthetic", workers=1)
    victim = packs(root)[3]
    victim.write_bytes(victim.read_bytes()[:-100])
    with pytest.raises(InputError, match="damaged pack"):
        MattingDataset(root, "synthetic", transform=crops()).maps(SeededIndex(3, 0))
    assert pack_dataset(root, "synthetic", workers=1).made == 1


def test_the_disk_space_is_estimated_before_anything_is_written(root, monkeypatch, capsys):
    tight = shutil.disk_usage(root)._replace(free=100)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: tight)
    assert main(["data", "pack", str(root), "--name", "synthetic", "--workers", "1"]) == 2
    message = capsys.readouterr().err
    assert "100 bytes free" in message
    assert message.count("\n") == 1
    assert not packs(root)


def test_the_estimate_is_near_what_is_written(root):
    lines = []
    report = pack_dataset(root, "synthetic", workers=1, announce=lines.append)
    estimate = float(lines[0].split("about ")[1].split()[0])
    assert estimate * 1000 == pytest.approx(report.size, rel=0.5) or estimate * 1e6 == pytest.approx(
        report.size, rel=0.5
    )


def test_a_disk_that_fills_up_ends_in_one_line_and_leaves_whole_files_only(root, tmp_path):
    def run():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))  # refuses to write further, as a full disk does
        with open(os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY), "w", buffering=1) as sys.stderr:
            sys.exit(main(["data", "pack", str(root), "--name", "synthetic", "--workers", "1"]))

    process = forked(run)
    process.join()
    assert process.exitcode == 2
    message = (tmp_path / "log").read_text()
    assert "cannot be written (File too large); files may not grow that large here" in message
    assert "Traceback" not in message
    assert not list((root / "train/pack/blurred_image").iterdir())
    assert pack_dataset(root, "synthetic", workers=1).made == 6


def test_a_killed_run_leaves_whole_files_only_and_is_taken_up(root):
    process = forked(lambda: pack_dataset(root, "synthetic", workers=1))
    while process.is_alive() and len(packs(root)) < 2:
        time.sleep(0.001)
    process.kill()
    process.join()
    for path in packs(root):
        assert Pack(path).read("image").shape == (160, 160, 3)
    (root / "train/pack/blurred_image/.part-x.safetensors").write_bytes(b"half")
    report = pack_dataset(root, "synthetic", workers=1)
    assert report.made + report.kept == 6
    assert report.kept >= 2
    assert len(os.listdir(report.folder)) == 6


def test_a_destination_that_is_a_file_is_named(root, capsys):
    (root / "train/pack").write_text("in the way")
    assert main(["data", "pack", str(root), "--name", "synthetic"]) == 2
    assert "-o DIR" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser writes everywhere")
def test_a_read_only_destination_is_named(root, capsys):
    (root / "train").chmod(0o500)
    assert main(["data", "pack", str(root), "--name", "synthetic"]) == 2
    assert "-o DIR" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [{"workers": 0}, {"name": "bg-20k"}, {"name": "none"}, {"split": "none"}])
def test_wrong_arguments_are_refused(root, arguments):
    with pytest.raises(InputError):
        pack_dataset(root, **arguments)
