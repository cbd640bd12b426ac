"""Networks from outside under the conditions of ours: evaluated, compared, and put into a PPT table."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from foreign_programs import grey_onnx, write_card
from p3m_lightning.cli import main
from p3m_lightning.experiments.compare.report import Settings, compare
from p3m_lightning.experiments.pages import Text
from p3m_lightning.experiments.run_folders import read_runs
from p3m_lightning.images import read_matte, read_photo, to_unit, write_image

FIXED = ["data=synthetic", "trainer=cpu", "data.num_workers=0", "data.prepare=null", "callbacks.progress=null"]


@pytest.fixture
def evaluated(portraits, tmp_path, capsys):
    """Call p3m eval; returns the run folder, or what it said on stderr."""

    def call(weights, *overrides, code=0, name="run"):
        given = ["model=external", f"paths.data={portraits}", f"hydra.run.dir={tmp_path / name}"]
        given += [f"weights={weights}"] if weights else []
        assert main(["eval", *FIXED, *given, *overrides]) == code
        captured = capsys.readouterr()
        return Path(captured.out.splitlines()[-1]) if code == 0 else captured.err

    return call


def test_its_mattes_are_scored_as_those_of_every_network(portraits, tmp_path, evaluated):
    folder = evaluated(grey_onnx(tmp_path / "net.onnx"), "inference.mode=native")
    report = json.loads((folder / "metrics_P3M-500-P.json").read_text())
    for row in report["images"]:
        root = portraits / "validation" / "P3M-500-P"
        photo = read_photo(next((root / "blurred_image").glob(f"{row['name']}.*")))
        truth = to_unit(read_matte(root / "mask" / f"{row['name']}.png"))
        grey = to_unit(photo.pixels).mean(-1)
        assert row["sad"] == pytest.approx(np.abs(grey - truth).sum() / 1000, rel=1e-3)
    config = yaml.safe_load((folder / "config.yaml").read_text())["model"]
    assert (config["title"], config["card"]["outputs"]["alpha"]["path"]) == ("Grey matte", "pha")
    assert len(config["sha256"]) == 64


def test_our_own_network_has_our_own_scores_as_an_export(checkpoint, tmp_path, evaluated, portraits):
    pytest.importorskip("onnxscript")
    path = tmp_path / "ours.onnx"
    assert main(["export", "--ckpt", str(checkpoint), "-o", str(path)]) == 0
    write_card(path, outputs={name: name for name in ("alpha", "semantic", "detail")})
    applied = ["inference.mode=hybrid", "+inference.short_side=96"]
    folder, ours = evaluated(path, *applied), tmp_path / "ours"
    given = [f"ckpt={checkpoint}", f"paths.data={portraits}", f"hydra.run.dir={ours}"]
    assert main(["eval", *FIXED, *given, *applied]) == 0
    means = [json.loads((one / "metrics_P3M-500-P.json").read_text())["mean"] for one in (folder, ours)]
    assert means[0] == pytest.approx(means[1], rel=1e-3)


def test_the_card_decides_how_it_is_applied_where_nothing_is_said(tmp_path, evaluated):
    path = grey_onnx(tmp_path / "net.onnx", inference={"mode": "resize", "short_side": 96})
    inference = json.loads((evaluated(path) / "results.json").read_text())["inference"]
    assert (inference["mode"], inference["short_side"]) == ("resize", 96)
    path = grey_onnx(tmp_path / "fixed.onnx", shape=(1, 3, 64, 64), size={"fixed": [64, 64]})
    assert json.loads((evaluated(path, name="b") / "results.json").read_text())["inference"]["mode"] == "native"
    err = evaluated(path, "inference.mode=tiled", code=2, name="d")
    assert "inference.mode=tiled" in err
    assert err.count("\n") == 1


def test_images_that_it_was_trained_on_are_told_from_its_card(portraits, tmp_path, evaluated):
    path = grey_onnx(tmp_path / "net.onnx")
    train = ["~data.tests.P3M-500-NP", "data.tests.P3M-500-P.split=train"]
    with pytest.warns(UserWarning, match=r"P3M-500-P: the network was trained on these images"):
        folder = evaluated(path, *train, "data.tests.P3M-500-P.name=p3m-10k")
    assert json.loads((folder / "results.json").read_text())["seen_in_training"] == ["P3M-500-P"]
    write_card(path, trained_on=None, outputs={"alpha": "pha"})
    with pytest.warns(UserWarning, match="its card has no trained_on"):
        evaluated(path, name="b")


def test_what_is_missing_or_cannot_be_is_one_line(tmp_path, evaluated, capsys):
    assert "needs weights=FILE.onnx" in evaluated(None, code=2)
    assert "gone.onnx: no such file" in evaluated(tmp_path / "gone.onnx", code=2)  # before its card
    path = grey_onnx(tmp_path / "bare.onnx")
    path.with_suffix(".yaml").unlink()
    assert "bare.yaml: no such card" in evaluated(path, code=2)
    path = grey_onnx(tmp_path / "net.onnx")
    path.unlink()
    assert "net.onnx: no such file" in evaluated(path, code=2)
    assert main(["train", *FIXED, "model=external"]) == 2
    assert "can only be evaluated" in capsys.readouterr().err


def test_a_folder_of_mattes_stands_beside_runs(portraits, tmp_path, evaluated, capsys):
    run = evaluated(grey_onnx(tmp_path / "net.onnx"), "inference.mode=native")
    truth = portraits / "validation" / "P3M-500-P" / "mask"
    mattes = tmp_path / "mattes"
    for path in truth.glob("*.png"):
        write_image(mattes / path.name, 255 - read_matte(path))
    scores = mattes / "scores.json"
    assert main(["score", str(mattes), str(truth), "--json", str(scores), "--workers", "1"]) == 0
    runs = read_runs([f"net={run}", f"inverse={scores}"])
    assert set(runs[1].images) == {"P3M-500-P"}
    blocks = compare(runs, Settings(samples=20, images=1))
    texts = [block.text for block in blocks if isinstance(block, Text)]
    assert any("mattes of inverse come from elsewhere" in text for text in texts)
    assert not any("No images" in text for text in texts)
    out = tmp_path / "page"
    assert main(["compare", f"net={run}", f"inverse={scores}", "--samples", "20", "-o", str(out)]) == 0
    page = (out / "compare.md").read_text()
    assert "Grey matte" in page
    assert "mattes given as files" in page
    content = json.loads(scores.read_text())
    content["images"] = content["images"][:2]
    scores.write_text(json.dumps(content))
    assert main(["compare", str(run), f"inverse={scores}"]) == 2
    assert "its 2 images match no test set of the other runs; closest is P3M-500-P with 4 images" in (
        capsys.readouterr().err
    )


def test_a_rival_has_its_cells_in_a_ppt_table_and_is_not_run_again(portraits, tmp_path, capsys):
    path = grey_onnx(tmp_path / "net.onnx")
    data = '["data.num_workers=0","data.prepare=null","data.tests.P3M-500-P.limit=2","trainer=cpu"]'
    given = ["models=[]", f"+rivals.grey={path}", "test_on=[B,N]", f"data_overrides={data}"]
    given += [f"paths.data={portraits}", f"paths.run={tmp_path / 'ppt'}"]
    assert main(["ppt", *given]) == 0
    assert "Networks from outside without a trimap" in (tmp_path / "ppt" / "ppt.md").read_text()
    with (tmp_path / "ppt" / "ppt.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["method"], row["cell"]) for row in rows} == {("grey", "B"), ("grey", "N")}
    results = tmp_path / "ppt" / "grey" / "tested_on_B" / "results.json"
    before = results.stat().st_mtime_ns
    assert main(["ppt", *given]) == 0
    assert results.stat().st_mtime_ns == before
    assert main(["ppt", *given, f"+rivals.knn={path}"]) == 2
    assert "rivals.knn: a method of this package has that name" in capsys.readouterr().err
