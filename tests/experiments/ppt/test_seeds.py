"""PPT over several seeds: folders of their own, and means with deviations."""

import json

import numpy as np
import pytest
from tests.experiments.ppt.test_ppt import SMALL

from p3m_lightning.cli import main
from p3m_lightning.experiments.ppt.plan import TRIMAP_FREE
from p3m_lightning.experiments.ppt.scores import OURS, Score
from p3m_lightning.experiments.ppt.seeds import direction_table, spread_table

CELLS = ("B:B", "B:N", "N:B", "N:N")


class TwoMethods:
    models = ("basic", "p3mnet")

    @staticmethod
    def kind_of(model):
        return TRIMAP_FREE


def scores_of(rows, metric="sad"):
    """Scores of one seed from `{method: values of the four cells}`."""
    numbers = {"low": 0.0, "high": 0.0, "median": 0.0, "images": 3}
    texts = {"mode": "", "resize": "", "definition": "", "test": "test", "source": OURS}
    return [
        Score(method, TRIMAP_FREE, cell, cell[0], cell[2], metric, value=value, **numbers, **texts)
        for method, values in rows.items()
        for cell, value in zip(CELLS, values, strict=True)
    ]


def test_means_and_deviations_are_over_the_seeds():
    seeds = {0: scores_of({"basic": (1, 2, 3, 4)}), 1: scores_of({"basic": (3, 2, 5, 4)})}
    table = spread_table(TwoMethods, seeds)
    deviation = f"{np.std([1, 3], ddof=1):.2g}"
    assert table.rows == [["basic", "sad", f"2 ± {deviation}", "2 ± 0", f"4 ± {deviation}", "4 ± 0"]]


def test_intersection_over_union_is_a_row_where_every_cell_has_it():
    both = scores_of({"p3mnet": (1, 1, 1, 1)}) + scores_of({"p3mnet": (0.5, 0.6, 0.7, 0.8)}, "iou")
    assert [row[:2] for row in spread_table(TwoMethods, {0: both}).rows] == [["p3mnet", "sad"], ["p3mnet", "iou"]]


def test_directions_are_ratios_of_each_seed():
    seeds = {4: scores_of({"basic": (2, 3, 6, 4)}), 9: scores_of({"basic": (2, 4, 5, 4)})}
    table = direction_table(TwoMethods, seeds)
    assert table.header == ["method", "", "seed 4", "seed 9", "mean"]
    assert [row[:4] for row in table.rows] == [
        ["basic", "N:B / N:N", "1.500", "1.250"],
        ["basic", "B:N / B:B", "1.500", "2.000"],
    ]


def test_each_seed_is_trained_in_its_own_folder(portraits, tmp_path, capsys):
    overrides = [*SMALL, "models=[p3mnet_r34]", "train_on=[N]", "test_on=[B,N]", "seeds=[3,8]"]
    assert main(["ppt", *overrides, f"paths.data={portraits}", f"paths.run={tmp_path}"]) == 0
    shown = capsys.readouterr().out
    results = [json.loads((tmp_path / f"seed_{s}/p3mnet_r34/N_tested_on_B/results.json").read_text()) for s in (3, 8)]
    sads = [result["sets"]["P3M-500-P"]["mean"]["sad"] for result in results]
    assert sads[0] != sads[1]
    assert "\np3mnet_r34\tN:B / N:N\t" in shown
    assert (tmp_path / "ppt.md").is_file()
    assert (tmp_path / "seed_8" / "ppt.md").is_file()


def test_a_seed_given_twice_is_refused(tmp_path, capsys):
    assert main(["ppt", "seeds=[1,1]", f"paths.run={tmp_path}"]) == 2
    assert "each seed once" in capsys.readouterr().err


@pytest.mark.parametrize("protocol", ["people", "synthetic", "p3m10k"])
def test_every_protocol_composes_its_trainings(protocol, tmp_path):
    from p3m_lightning.configuration import compose_run
    from p3m_lightning.experiments.ppt.plan import Plan
    from p3m_lightning.experiments.ppt.steps import training_config

    plan = Plan.from_config(compose_run("ppt", [f"protocol={protocol}", f"paths.run={tmp_path}"], tmp_path))
    for model in set(plan.models) & set(plan.methods):
        config = training_config(plan, model, "B")
        assert config["data"]["train"]["images"] == plan.folders["B"]
        assert config["model"]["name"] == model
