import json
import pickle

import pytest

from p3m_lightning.cli import main
from p3m_lightning.experiments.bench.limits import growth
from p3m_lightning.experiments.bench.tables import BEGIN, END
from p3m_lightning.models import create_model

CEILINGS = {"operations_per_second": {"float32": 1e11, "bfloat16": 1e12}, "bytes_per_second": 1e10}


def test_curves_and_the_floor_are_written_and_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(growth, "build", lambda name: create_model("p3mnet_r34", width=0.125).eval())
    monkeypatch.setattr(growth, "NETWORKS", ("box",))
    monkeypatch.setattr(growth.bench, "__defaults__", (("narrow",), (), ()))
    monkeypatch.setattr(growth, "ceilings", lambda device: CEILINGS)
    monkeypatch.setattr(growth, "RENDERED", 96)
    monkeypatch.setattr(growth, "peak_of", lambda make, *files: len(pickle.dumps(make)) and 10**6)  # of a new process
    options = ["--megapixels", "0.02", "0.01", "--batches", "1", "2", "--size", "64", "--repeats", "1"]
    options += ["--workers", "--processes"]
    assert main(["bench", "growth", *options, "-o", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(row["mode"], row["megapixels"]) for row in found["photographs"]] == [
        (mode, count) for count in (0.01, 0.02) for mode in ("resize", "tiled")
    ]
    one, step, two, _ = found["batches"]
    assert (one["work"], step["work"], one["network"]) == ("forward", "training step", "narrow")
    weights = step["floor"]["bytes"] - one["floor"]["bytes"]
    assert weights > 0
    assert two["peak_bytes"] > one["peak_bytes"] > 3 * 4 * 64 * 64
    assert two["floor"]["operations"] == 2 * one["floor"]["operations"]
    assert one["times_floor"] == pytest.approx(one["cpu_seconds"] / one["floor"]["seconds"])
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    assert main(["bench", "tables", "--results", str(tmp_path), "--page", str(page)]) == 0
    text = page.read_text()
    line = next(line for line in text.splitlines() if "| box, `resize`, 0.01 megapixels |" in line)
    assert "| 1 | 100 |" in line  # megabytes, and of a megapixel
    assert "| narrow, training step, 2 x 64 x 64 |" in text
    assert "GFLOP/s" in text


def test_no_megapixels_are_refused(capsys):
    assert main(["bench", "growth", "--megapixels", "0"]) == 2
    assert "--megapixels 0.0: give 0.01 or more" in capsys.readouterr().err
