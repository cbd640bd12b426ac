"""The benchmark of a GPU, rehearsed on the processor with everything small."""

import json

import pytest
import torch

from p3m_lightning.cli import main
from p3m_lightning.experiments.bench.gpu import generation, loading, marked_tests, whole
from p3m_lightning.experiments.bench.gpu.marked_tests import marked_tests as run_marked
from p3m_lightning.experiments.bench.gpu.prediction import prediction
from p3m_lightning.experiments.bench.gpu.processes import processes
from p3m_lightning.experiments.bench.gpu.setting import AIMS, full, small
from p3m_lightning.experiments.bench.gpu.training import training
from p3m_lightning.experiments.bench.tables import BEGIN, END, write_tables
from p3m_lightning.experiments.bench.timing import save
from p3m_lightning.gan.generator.filters import downsample, lowpass, radial_lowpass, upsample

CPU = torch.device("cpu")
SMALL = small(CPU)._replace(backend=None)  # tracing takes longer than all the rest


def test_all_ways_to_train_learn_alike():
    found = training(SMALL)
    assert list(found["ways"]) == ["eager float32", "ours, float32", "ours, bfloat16"]
    eager, ours, narrow = (way["losses"] for way in found["ways"].values())
    assert len(eager) == 4
    assert eager[-1] != eager[0]
    assert ours[0] == pytest.approx(eager[0], rel=1e-4)
    assert ours == pytest.approx(eager, rel=0.1)  # Adam's first steps are signs, which rounding flips near zero
    assert narrow == pytest.approx(eager, rel=0.1)
    assert found["curves_apart"] == pytest.approx(max(abs(a - b) / a for a, b in zip(eager, narrow, strict=True)))


def test_batches_give_the_mattes_of_one_at_a_time():
    found = prediction(SMALL)
    one, together, narrow = found["ways"].values()
    assert one["sad"] == 0
    assert together["sad"] < 1e-4
    assert narrow["sad"] < 0.5  # thousand pixels of four
    assert found["images_ratio"] == narrow["images_per_second"] / one["images_per_second"]


def test_plain_filters_are_ours():
    maps, kernel = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(0)), lowpass(12, 2, 1.5, 16)
    skew = torch.arange(1.0, 13.0)  # not symmetric: the direction matters
    for taps in (kernel, skew / skew.sum()):
        torch.testing.assert_close(generation.plain_upsample(maps, taps, 2), upsample(maps, taps, 2))
        fine = upsample(maps, taps, 2)
        torch.testing.assert_close(generation.plain_downsample(fine, taps, 2), downsample(fine, taps, 2))
    radial = radial_lowpass(6, 2, 1.5, 16)
    torch.testing.assert_close(generation.plain_downsample(maps, radial, 2), downsample(maps, radial, 2))


def test_the_generator_draws_the_same_pictures():
    found = generation.generation(SMALL)
    assert list(found["ways"]) == ["plain filters", "ours, float32", "ours, bfloat16"]
    assert found["ways"]["ours, float32"]["difference"] < 1e-5
    assert found["ways"]["ours, bfloat16"]["difference"] < 0.05
    assert generation.layers.upsample is upsample


def test_ddp_of_one_process_is_no_ddp():
    found = processes(SMALL)
    assert found["backend"] == "gloo"
    assert found["sum_is_right"]
    assert found["difference"] < 1e-5
    assert not torch.distributed.is_initialized()


def test_packs_feed_steps(portraits, tmp_path):
    from p3m_lightning.data.prepare.pack_folder import pack_dataset

    root = tmp_path / "packs"
    (root / "train").mkdir(parents=True)
    for folder in ("blurred_image", "mask", "fg_blurred", "bg"):
        (root / "train" / folder).symlink_to(portraits / "train" / folder)
    pack_dataset(root, announce=lambda line: None)
    found = loading.from_packs(root, SMALL)
    assert 0 < found["busy"] <= 1
    assert found["images_per_second"] > 0


def test_marked_tests_are_counted(tmp_path):
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "gpu = pytest.mark.gpu\n"
        "@gpu\ndef test_passes(): pass\n"
        "@gpu\ndef test_fails(): assert False\n"
        "@gpu\n@pytest.mark.skip\ndef test_skipped(): pass\n"
        "def test_other(): assert False\n"
    )
    found = run_marked(SMALL._replace(tests=[tmp_path]), 100)
    assert found == {"passed": 1, "failed": 1, "skipped": 1, "failures": ["test_fails"]}
    assert "run this in a checkout" in run_marked(SMALL._replace(tests=[tmp_path / "none"]), 100)["left_out"]


def test_a_part_that_fails_or_comes_too_late_leaves_the_others(monkeypatch, tmp_path):
    def fails(setting):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(whole, "marked_tests", lambda setting, seconds: {"passed": 3})
    ways = {"plain": {"images_per_second": 2.0, "peak_bytes": None}, "ours": {"images_per_second": 9.0}}
    parts = {"training": lambda setting: {"ways": ways, "images_ratio": 4.5, "memory_ratio": 1.5}, "loading": fails}
    kept = []
    found = whole.bench(SMALL, lambda results: kept.append(dict(results)), parts)
    assert [set(one) & {"training", "loading", "tests"} for one in kept] == [
        {"training"},
        {"training", "loading"},
        {"training", "loading", "tests"},
    ]
    assert found["loading"]["error"] == "RuntimeError: out of memory"
    assert found["tests"]["passed"] == 3
    assert found["aims"] == {
        "training.images_ratio": {"least": 4.0, "found": 4.5, "reached": True},
        "training.memory_ratio": {"least": 2.0, "found": 1.5, "reached": False},
    }
    late = whole.bench(SMALL._replace(seconds=-1), kept.append, parts)
    assert "left_out" in late["training"]
    save("gpu", found, tmp_path)
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    write_tables(tmp_path, page)
    assert "| training: ours | 9.0 | 4.50 |  |  |" in page.read_text()
    assert "| training.memory_ratio |  | 1.50 |  | 2, not reached |" in page.read_text()


def test_aims_are_of_parts_that_there_are():
    assert {name.split(".")[0] for name in AIMS} <= set(whole.PARTS)
    assert full(CPU).seconds < 600


def test_without_a_gpu_it_says_what_goes(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["bench", "gpu"]) == 2
    assert "--rehearse" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_rehearsal_leaves_one_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(marked_tests.subprocess, "run", lambda *_, **__: pytest.fail("tests in a test"))
    monkeypatch.chdir(tmp_path)  # where there are no tests to run
    assert main(["bench", "gpu", "--rehearse", "-o", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert json.loads((tmp_path / "gpu_rehearsal.json").read_text()) == found
    assert not [name for name in whole.PARTS if "error" in found[name] or "left_out" in found[name]]
    assert "ours, bfloat16, compiled" in found["training"]["ways"]
