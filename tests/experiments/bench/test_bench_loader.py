import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from p3m_lightning.cli import main
from p3m_lightning.data.datasets import MattingDataset, SeededIndex
from p3m_lightning.data.loading.batches import to_sample
from p3m_lightning.data.transforms import TrainTransform
from p3m_lightning.experiments.bench import loader as bench_loader
from p3m_lightning.experiments.bench.loader import LOADERS, Setting, copy_pairs
from p3m_lightning.experiments.bench.published import loader as reference_loader
from p3m_lightning.images import read_image, read_matte, write_image
from p3m_lightning.ops import trimap_from_alpha
from p3m_lightning.schema import InputError

FOLDERS = ("blurred_image", "mask", "fg_blurred", "bg")


@pytest.fixture(scope="module")
def pairs(portraits, tmp_path_factory):
    """Two rendered portraits with their layers, enlarged to 540 x 600, packed."""
    large = tmp_path_factory.mktemp("large")
    for folder in FOLDERS:
        for path in sorted((portraits / "train" / folder).iterdir())[:2]:
            pixels = read_matte(path) if folder == "mask" else read_image(path)
            rows, columns = np.arange(600) * 160 // 600, np.arange(540) * 160 // 540
            write_image(large / "train" / folder / path.name, np.ascontiguousarray(pixels[rows][:, columns]))
    root = tmp_path_factory.mktemp("pairs")
    copy_pairs(large, "p3m-10k", root, 2)
    return root


def test_the_plain_loader_makes_the_crops_that_ours_makes(pairs):
    ours = MattingDataset(pairs, transform=TrainTransform(), foreground="cached")
    for seed in range(6):
        maps, name = ours.maps(SeededIndex(seed % 2, seed))
        window, kernel = maps["plan"]
        arrays = reference_loader.decode(ours.files[name])
        arrays["trimap"] = reference_loader.whole_trimap(arrays["alpha"], kernel)
        found = to_sample(maps, name)
        either = [reference_loader.cut(arrays, *window[:3], flip) for flip in (False, True)]
        sample = min(either, key=lambda one: (one["image"] - found["image"]).abs().mean())
        for role in (*reference_loader.ROLES, "trimap"):
            assert torch.equal(sample[role], found[role]), role


def test_its_trimap_is_ours_of_the_whole_matte(pairs):
    alpha = read_matte(next((pairs / "train/mask").iterdir()))
    codes = np.array([0, 128, 255], np.uint8)
    for kernel in (15, 22, 30):
        assert np.array_equal(reference_loader.whole_trimap(alpha, kernel), codes[trimap_from_alpha(alpha, kernel)])


def test_its_windows_lie_inside_and_half_of_them_on_the_unknown_band():
    trimap = np.zeros((700, 1200), np.uint8)
    trimap[350, 900] = 128
    generator = np.random.default_rng(0)
    windows = [reference_loader.draw_window(trimap, generator) for _ in range(400)]
    assert {side for *_, side in windows} == {512}
    assert all(0 <= top <= 188 and 0 <= left <= 688 for top, left, _ in windows)
    centered = sum((top, left) == (94, 644) for top, left, _ in windows)
    assert 160 < centered < 240


@pytest.mark.parametrize("loader", LOADERS)
def test_every_loader_is_measured_in_processor_time(pairs, loader):
    row = bench_loader._one_process(loader, Setting(pairs, samples=8, repeats=1, workers=()))
    assert row["cpu_ms"] > row["float_ms"] >= 0
    assert (row["float_ms"] > 0) == (loader != "reference")


def test_rates_with_workers_count_every_sample_once(pairs, monkeypatch):
    ticks = iter([10.0, 14.0, 20.0, 22.0])
    monkeypatch.setattr(bench_loader, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    rates = [bench_loader._with_workers(loader, Setting(pairs, 16, 1, ()), 1) for loader in ("reference", "packed")]
    assert rates == [16 / 4, 16 / 2]


def test_disk_space_is_that_of_the_four_files_or_of_the_pack(pairs):
    files = [path for folder in FOLDERS for path in (pairs / "train" / folder).iterdir()]
    assert bench_loader._bytes_per_sample(pairs, packed=False) == sum(path.stat().st_size for path in files) / 2
    packs = list(pairs.rglob("*.safetensors"))
    assert bench_loader._bytes_per_sample(pairs, packed=True) == sum(path.stat().st_size for path in packs) / 2


def test_the_table_and_the_line_of_json_hold_every_loader(pairs, monkeypatch, capsys):
    turn = {"cpu_ms": 10.0, "float_ms": 1.0, "memory_bytes": 10**8}
    times = {"reference": 64.0, "published": 40.0, "packed": 8.0}
    monkeypatch.setattr(bench_loader, "_one_process", lambda loader, setting: turn | {"cpu_ms": times[loader]})
    monkeypatch.setattr(bench_loader, "_with_workers", lambda loader, setting, workers: 20.0 * workers)
    monkeypatch.setattr(bench_loader, "_processes", InThisProcess)
    assert main(["bench", "loader", "--data", str(pairs), "--pairs", "1", "--workers", "1", "2"]) == 0
    *table, line = capsys.readouterr().out.splitlines()
    results = json.loads(line)
    assert results["ratios"] == {"published": 1.6, "packed": 8.0}
    assert results["loaders"]["packed"]["rates"] == {"1": 20.0, "2": 40.0}
    assert all(any(loader in row for row in table) for loader in LOADERS)


class InThisProcess:
    """Stands in for the pools: one that works at once for every loader."""

    def __enter__(self):
        return dict.fromkeys(LOADERS, self)

    def __exit__(self, *_):
        pass

    def submit(self, function, *arguments):
        self.value = function(*arguments)
        return self

    def result(self):
        return self.value


@pytest.mark.parametrize("wrong", [["--pairs", "0"], ["--samples", "1"], ["--workers", "0"], ["--data", "nowhere"]])
def test_wrong_options_are_told_in_one_line(wrong, capsys):
    assert main(["bench", "loader", *wrong]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_pairs_without_foregrounds_are_refused(tmp_path):
    write_image(tmp_path / "in/train/blurred_image/a.jpg", np.zeros((9, 9, 3), np.uint8))
    write_image(tmp_path / "in/train/mask/a.png", np.zeros((9, 9), np.uint8))
    with pytest.raises(InputError, match="ground of that name"):
        copy_pairs(tmp_path / "in", "p3m-10k", Path(tmp_path / "out"), 1)
