"""The PPT protocol on a small synthetic set: the runs, skipping of finished ones, and the table."""

import csv
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from p3m_lightning.cli import main
from p3m_lightning.configuration import compose_run
from p3m_lightning.experiments.pages import Table, latex_table
from p3m_lightning.experiments.ppt import steps
from p3m_lightning.experiments.ppt.findings import blur_effect, findings, grey_error
from p3m_lightning.experiments.ppt.plan import TRADITIONAL, TRIMAP_FREE, Cell, Plan, kind_of
from p3m_lightning.experiments.ppt.report import main_table
from p3m_lightning.experiments.ppt.scores import OURS, Score, published_scores
from p3m_lightning.schema import InputError

SMALL = [
    "models=[shared_matting,p3mnet_r34]",
    "test_on=[B,N,zero]",
    'data_overrides=["data.num_workers=0","data.prepare=null","data.tests.P3M-500-P.limit=2","trainer=cpu"]',
    'train_overrides=["trainer.max_epochs=1","trainer.check_val_every_n_epoch=1","model.width=0.125","data.holdout=2",'
    '"data.batch_size=2","data.train.transform.crop.sides=[96,128]","data.train.transform.crop.size=64"]',
]


@pytest.fixture(scope="module")
def finished(portraits, tmp_path_factory):
    """The folder of a whole run, and the overrides that made it."""
    folder = tmp_path_factory.mktemp("ppt")
    overrides = [*SMALL, f"paths.data={portraits}", f"paths.run={folder}"]
    assert main(["ppt", *overrides]) == 0
    return folder, overrides


def rows_of(folder):
    with (folder / "ppt.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_cell_is_scored_and_traditional_methods_have_no_training(finished):
    cells = {(row["method"], row["cell"]) for row in rows_of(finished[0]) if row["source"] == OURS}
    sides = {("p3mnet_r34", f"{side}:{test}") for side in "BN" for test in ("B", "N", "zero")}
    assert cells == sides | {("shared_matting", test) for test in ("B", "N", "zero")}


def test_numbers_are_the_means_of_the_cells_images_and_carry_their_conditions(finished):
    folder = finished[0]
    images = json.loads((folder / "p3mnet_r34" / "N_tested_on_B" / "metrics_P3M-500-P.json").read_text())["images"]
    rows = [row for row in rows_of(folder) if (row["method"], row["cell"]) == ("p3mnet_r34", "N:B")]
    ours = {row["metric"]: row for row in rows if row["source"] == OURS}
    for metric in ("sad", "mse_unknown", "sad_face"):
        assert float(ours[metric]["value"]) == pytest.approx(sum(row[metric] for row in images) / 2)
    assert all(
        row["mode"] == "resize" and "shorter side 160" in row["resize"] and row["definition"] for row in ours.values()
    )
    published = next(row for row in rows if row["source"] != OURS and row["metric"] == "sad")
    assert (published["value"], published["test"]) == ("11.22", "P3M-500-P of P3M-10k")


def test_networks_are_tested_on_other_images_than_they_were_trained_on(finished):
    folder = finished[0]
    prints = {}
    for condition in ("B", "N", "zero"):
        results = json.loads((folder / "p3mnet_r34" / f"B_tested_on_{condition}" / "results.json").read_text())
        prints[condition] = results["data"]["P3M-500-P"]["sha256"]
        assert results["checkpoint"] == str(folder / "p3mnet_r34" / "trained_on_B" / "checkpoints" / "best.ckpt")
    assert len(set(prints.values())) == 3
    trained = [json.loads((folder / "p3mnet_r34" / f"trained_on_{s}" / "results.json").read_text()) for s in "BN"]
    assert trained[0]["data"]["train"] != trained[1]["data"]["train"]


def test_the_table_is_written_for_people_papers_and_programs(finished, capsys):
    folder = finished[0]
    markdown, tex = (folder / "ppt.md").read_text(), (folder / "ppt.tex").read_text()
    assert "| method | B:B | B:N | N:B | N:N | applied |" in markdown
    assert re.search(r"Finding: blur hardly matters.*published", markdown)
    assert tex.count(r"\begin{tabular}") == tex.count(r"\end{tabular}") == 3
    assert r"p3mnet\_r34" in tex
    assert (folder / "ppt_pictures" / "ppt.png").stat().st_size > 5000


def test_what_is_finished_is_not_run_again_and_other_settings_are_refused(finished, monkeypatch, capsys):
    folder, overrides = finished
    for name in ("train_once", "evaluate"):
        monkeypatch.setattr(steps, name, lambda config: pytest.fail("run again"))
    assert main(["ppt", *overrides]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(folder)
    assert main(["ppt", *overrides, "seed=5"]) == 2
    assert "seed 0 instead of 5" in capsys.readouterr().err


def test_a_checkpoint_takes_the_place_of_a_training(finished, portraits, tmp_path, monkeypatch):
    file = finished[0] / "p3mnet_r34" / "trained_on_B" / "checkpoints" / "best.ckpt"
    monkeypatch.setattr(steps, "train_once", lambda config: pytest.fail("trained"))
    overrides = [*SMALL, "train_on=[B]", "test_on=[N]", "models=[p3mnet_r34]", f"checkpoints.p3mnet_r34.B={file}"]
    assert main(["ppt", *overrides, f"paths.data={portraits}", f"paths.run={tmp_path}"]) == 0
    before, after = (
        json.loads((folder / "p3mnet_r34" / "B_tested_on_N" / "results.json").read_text())
        for folder in (finished[0], tmp_path)
    )
    assert after["sets"]["P3M-500-P"]["mean"] == before["sets"]["P3M-500-P"]["mean"]


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("models=[nonesuch]", "nonesuch"),
        ("models=[stylematte]", "stylematte"),
        ("test_on=[B,fog]", "fog"),
        ("checkpoints.p3mnet_r34.B=gone.ckpt", "gone.ckpt"),
        ("nonesuch=1", "nonesuch"),
    ],
)
def test_wrong_names_are_one_line(tmp_path, capsys, override, named):
    assert main(["ppt", override, f"paths.run={tmp_path}"]) == 2
    message = capsys.readouterr().err
    assert named in message
    assert len(message.strip().splitlines()) == 1


def made_up(method, cell, value):
    trained, _, tested = cell.rpartition(":")
    metric = "sad" if kind_of(method) == TRIMAP_FREE else "sad_unknown"
    numbers = {"value": value, "low": value, "high": value, "median": value, "images": 3}
    texts = {"mode": "", "resize": "", "definition": "", "test": "P", "source": OURS}
    return Score(method, kind_of(method), cell, trained or "-", tested, metric, **numbers, **texts)


def table_of(rows):
    return [made_up(m, c, v) for m, row in rows.items() for c, v in zip(("B:B", "B:N", "N:B", "N:N"), row, strict=True)]


def runs_of(rows):
    """Runs of eight images whose SAD lies closely around the mean of the cell."""
    runs = {}
    for method, row in rows.items():
        for cell, value in zip(("BB", "BN", "NB", "NN"), row, strict=True):
            images = {str(k): {"name": str(k), "sad": value + k / 1000} for k in range(8)}
            runs[Cell(method, *cell)] = SimpleNamespace(images={"P": images})
    return runs


PUBLISHED = {
    "dim": (4.8906, 4.8940, 4.8050, 4.7941),
    "basic": (15.13, 15.52, 24.38, 14.52),
    "p3mnet_r34": (8.73, 9.22, 11.22, 9.06),
}


def test_the_published_numbers_show_the_published_findings():
    found = findings(table_of(PUBLISHED), runs_of(PUBLISHED), "P")
    assert len(found) == 3
    assert all(sentence.endswith("As published.") for sentence in found)
    assert blur_effect(table_of(PUBLISHED), "basic") == pytest.approx(24.38 / 14.52 - 1)


def test_numbers_that_say_otherwise_are_told_so():
    rows = {"dim": (5, 9, 5, 5), "basic": (15, 30, 14.0, 14.0), "p3mnet_r34": (9, 9, 20, 9)}
    found = findings(table_of(rows), runs_of(rows), "P")
    assert found[0].endswith("NOT as published.")
    assert "basic B:N" in found[1]
    assert found[1].endswith("As published for 1 of 2 methods only.")
    assert found[2].endswith("NOT as published.")


def test_a_method_that_has_learned_nothing_shows_nothing():
    rows = {"dim": (5, 5, 5, 5), "vitmatte_small": (1, 1, 1, 1), "basic": (15, 16, 24, 15)}
    errors = [
        score._replace(metric="mse_unknown", value=0.2 if score.method == "dim" else 0.01) for score in table_of(rows)
    ]
    found = findings([*table_of(rows), *errors], runs_of(rows), "P", grey=0.21)
    assert found[0].startswith("Not counted: dim,")
    assert "dim" not in found[1]
    assert "vitmatte_small" in found[1]


def test_a_grey_unknown_region_errs_by_its_distance_to_the_truth(portraits, tmp_path):
    plan = Plan.from_config(compose_run("ppt", [f"paths.data={portraits}"], tmp_path))
    home = portraits / "validation" / "P3M-500-P"
    expected = []
    for path in (home / "mask").iterdir():
        alpha, trimap = (np.asarray(Image.open(home / role / path.name)) for role in ("mask", "trimap"))
        expected.append(((alpha[trimap == 128] / 255 - 0.5) ** 2).mean())
    assert grey_error(plan) == pytest.approx(np.mean(expected), rel=1e-5)


def test_recipes_bring_the_published_table(tmp_path):
    plan = Plan.from_config(compose_run("ppt", ["models=[basic,dim,p3mnet_r34]"], tmp_path))
    quoted = {(s.method, s.cell): s.value for s in published_scores(plan) if s.metric in ("sad", "sad_unknown")}
    expected = {
        (m, c): v for m, row in PUBLISHED.items() for c, v in zip(("B:B", "B:N", "N:B", "N:N"), row, strict=True)
    }
    assert quoted == expected
    scores = table_of(PUBLISHED)
    table = main_table(plan, TRIMAP_FREE, scores, [("", "")])
    assert [row[:2] for row in table.rows] == [["basic", "15.13 [15.1, 15.1]"], ["p3mnet_r34", "8.73 [8.73, 8.73]"]]
    assert table.best == {(0, 4), (1, 1)}


@pytest.mark.parametrize("protocol", ["synthetic", "p3m10k"])
def test_every_method_of_a_protocol_composes_to_a_training_of_itself(protocol, tmp_path):
    config = compose_run("ppt", [f"protocol={protocol}"], tmp_path)
    plan = Plan.from_config(config)
    for name in plan.methods:
        assert name in config["checkpoints"] or kind_of(name) == TRADITIONAL
        if kind_of(name) != TRADITIONAL:
            trained = steps.training_config(plan, name, "N")
            assert trained["model"]["name"] == name
            assert trained["data"]["train"]["images"] == "original_image"
            assert trained["data"]["tests"] == {}


def test_latex_escapes_what_latex_would_read():
    text = latex_table(Table(["a_b", "50 %"], [["x & y", "1"]], frozenset({(0, 1)})), "100 %")
    assert r"a\_b & 50 \%" in text
    assert r"x \& y & \textbf{1} \\" in text


def test_a_mixture_for_training_is_refused(tmp_path):
    mixed = 'data_overrides=["data=synthetic_both","data.prepare=null"]'
    with pytest.raises(InputError, match="single data sets"):
        steps.prepare(Plan.from_config(compose_run("ppt", [mixed], tmp_path)))
