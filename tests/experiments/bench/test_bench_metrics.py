import json

import numpy as np
import pytest

from p3m_lightning.cli import main
from p3m_lightning.experiments.bench.metrics import bench, drawn_pair
from p3m_lightning.images import from_unit, write_image


def test_both_sides_measure_the_same_and_are_timed():
    results = bench(*drawn_pair(180, 270), repeats=1)
    assert results["size"] == [180, 270]
    for name in ("gradient", "connectivity"):
        assert results["values"][name] > 0
        assert results["relative_difference"][name] < 1e-6
    seconds, published = (sum(results[side].values()) for side in ("seconds", "published_seconds"))
    assert results["ratio"] == pytest.approx(published / seconds)
    assert results["ratio_without_distance_transform"] < results["ratio"]


def test_the_drawn_pair_is_a_matte_with_hair_and_errors_at_its_edge():
    pred, target = drawn_pair(180, 270)
    soft = (target > 0) & (target < 1)
    assert 0.02 < soft.mean() < 0.3
    assert (target == 1).mean() > 0.2
    assert not (pred != target)[~soft].any()


def test_the_command_ends_with_json(tmp_path, capsys):
    for name, matte in zip(("pred", "gt"), drawn_pair(60, 90), strict=True):
        write_image(tmp_path / f"{name}.png", from_unit(matte))
    arguments = ["bench", "metrics", "--repeats", "1", "--pred", str(tmp_path / "pred.png")]
    assert main([*arguments, "--gt", str(tmp_path / "gt.png")]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["size"] == [60, 90]

    write_image(tmp_path / "gt.png", np.zeros((60, 80), np.uint8))
    assert main([*arguments, "--gt", str(tmp_path / "gt.png")]) == 2
    assert "90 x 60 pixels, but the true matte has 80 x 60" in capsys.readouterr().err
    assert main(arguments) == 2
    assert "give both" in capsys.readouterr().err
