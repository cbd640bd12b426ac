import csv
import json
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from p3m_lightning.cli import main
from p3m_lightning.images import write_image
from p3m_lightning.metrics import functional as F
from p3m_lightning.metrics.definitions import ADOBE, P3M
from p3m_lightning.ops import trimap_from_alpha

RECORDED = dict(
    zip(
        ["SAD", "MSE", "MAD", "SAD_TRIMAP", "MSE_TRIMAP", "MAD_TRIMAP", "SAD_FG", "SAD_BG", "GRAD", "CONN"],
        P3M,
        strict=True,
    )
)
RECORDED_ADOBE = {"SAD": "sad", "MSE": "mse", "GRAD": "gradient", "CONN": "connectivity"}


@pytest.fixture
def folders(tmp_path):
    """Three pairs of small mattes: pred/, gt/ and trimap/ under one folder."""
    random = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        blobs = ndimage.gaussian_filter(random.normal(size=(2, 40, 30)), (0, 3, 3)) * 9 + 0.4
        pred, target = np.rint(np.clip(blobs, 0, 1) * 255).astype(np.uint8)
        trimap = np.array([0, 128, 255], np.uint8)[trimap_from_alpha(target, 9)]
        for side, codes in (("pred", pred), ("gt", target), ("trimap", trimap)):
            write_image(tmp_path / side / f"{name}.png", codes)
    return tmp_path


def score(folders, *options):
    """Run `p3m score`; the exit code and the JSON it wrote, None where it wrote none."""
    target = folders / "out" / "scores.json"
    code = main(["score", str(folders / "pred"), str(folders / "gt"), "--json", str(target), *map(str, options)])
    return code, json.loads(target.read_text()) if target.exists() else None


def pixels(folders, side, name):
    return np.asarray(Image.open(folders / side / f"{name}.png"))


def test_the_samples_score_as_recorded(golden_portraits, samples, tmp_path, capsys):
    (tmp_path / "pred").mkdir()
    for path in (samples / "p3m/matte_p3mnet_vitae_s").glob("*.png"):
        (tmp_path / "pred" / path.name).symlink_to(path)
    (tmp_path / "pred/p_71bcce3a.png").symlink_to(golden_portraits / "metrics/pred_p_71bcce3a.png")
    (tmp_path / "gt").symlink_to(samples / "p3m/matte_p3mnet_r34")

    code, report = score(tmp_path, "--trimap-kernel", 25)
    assert code == 0
    recorded = json.loads((golden_portraits / "metrics/p3m_metrics.json").read_text())
    for values, expected in [(report["mean"], recorded["mean"])] + [
        (row, sample["values"]) for row, sample in zip(report["images"], recorded["samples"], strict=True)
    ]:
        expected = {RECORDED[k]: v for k, v in expected.items()}
        assert {k: values[k] for k in expected} == pytest.approx(expected, rel=1e-4, abs=1e-9)
    adobe = json.loads((golden_portraits / "metrics/adobe_metrics.json").read_text())["mean_unknown_region"]
    expected = {f"{RECORDED_ADOBE[k]}_unknown": v for k, v in adobe.items()}
    assert {k: report["adobe"]["mean"][k] for k in expected} == pytest.approx(expected, rel=1e-4)

    printed = capsys.readouterr().out
    for value in recorded["mean"].values():
        assert f"\t{value:.5g}\t" in printed


def test_json_has_the_shape_of_the_contract(folders):
    code, report = score(folders, "--trimaps", folders / "trimap")
    assert code == 0
    assert list(report["mean"]) == list(report["median"]) == list(report["definition"]) == list(P3M)
    assert [list(row) for row in report["images"]] == [["name", *P3M]] * 3
    assert [row["name"] for row in report["images"]] == ["a", "b", "c"]
    assert list(report["adobe"]["mean"]) == list(ADOBE)
    values = F.matting_metrics(
        pixels(folders, "pred", "b") / 255, pixels(folders, "gt", "b") / 255, pixels(folders, "trimap", "b")
    )
    assert report["images"][1] == {"name": "b", **values}
    assert report["mean"]["mse_unknown"] == pytest.approx(np.mean([row["mse_unknown"] for row in report["images"]]))


def test_trimaps_of_a_folder_equal_those_made_with_the_same_kernel(folders):
    _, read = score(folders, "--trimaps", folders / "trimap")
    _, made = score(folders, "--trimap-kernel", 9)
    assert made["images"] == read["images"]
    for path in (folders / "trimap").iterdir():
        write_image(path, trimap_from_alpha(pixels(folders, "gt", path.stem), 9))  # classes instead of codes
    assert score(folders, "--trimaps", folders / "trimap")[1]["images"] == read["images"]


def test_without_trimaps_no_region_is_invented(folders, capsys):
    code, report = score(folders, "--csv", folders / "scores.csv")
    assert code == 0
    assert list(report["mean"]) == ["sad", "mse", "mad", "gradient", "connectivity"]
    assert list(report["adobe"]["mean"]) == ["sad", "mse", "gradient", "connectivity"]
    assert "unknown" not in (folders / "scores.csv").read_text()
    assert "no metrics of regions" in capsys.readouterr().out


def test_csv_has_one_line_per_image_and_a_column_per_convention_and_key(folders):
    _, report = score(folders, "--csv", folders / "scores.csv")
    with (folders / "scores.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["name"] for line in lines] == ["a", "b", "c"]
    assert float(lines[2]["sad"]) == report["images"][2]["sad"]
    assert float(lines[2]["adobe_gradient"]) == report["adobe"]["images"][2]["gradient"]


def test_the_convention_named_first_is_the_report(folders, capsys):
    _, both = score(folders)
    _, report = score(folders, "--conventions", "adobe")
    assert report["convention"] == "adobe"
    assert report["mean"] == both["adobe"]["mean"]
    assert "p3m" not in report
    capsys.readouterr()
    score(folders, "--conventions", "p3m")
    assert "Adobe" not in capsys.readouterr().out


def test_each_number_is_printed_beside_its_definition(folders, capsys):
    _, report = score(folders, "--trimap-kernel", 9)
    lines = capsys.readouterr().out.splitlines()
    for key, start in (("mse_unknown", "pred set"), ("sad_background", "sum of |pred - gt|")):
        line = next(line for line in lines if line.startswith(f"{key}\t"))
        assert f"{report['mean'][key]:.5g}" in line
        assert f"{report['median'][key]:.5g}" in line
        assert start in line


def test_face_masks_add_the_errors_inside_the_face(folders):
    for name in ("a", "b", "c"):
        mask = np.zeros((40, 30), np.uint8)
        mask[5:20, 5:20] = 0 if name == "c" else 255
        write_image(folders / "face" / f"{name}.png", mask)
    code, report = score(folders, "--faces", folders / "face")
    assert code == 0
    inside = [np.abs(pixels(folders, "pred", n) / 255 - pixels(folders, "gt", n) / 255)[5:20, 5:20] for n in "ab"]
    assert report["mean"]["mad_face"] == pytest.approx(np.mean([error.mean() for error in inside]))
    assert "mad_face" not in report["images"][2]


def test_mattes_of_other_depths_and_modes_score_alike(folders):
    _, before = score(folders)
    for side in ("pred", "gt"):
        matte = pixels(folders, side, "a")
        cv2.imwrite(str(folders / side / "a.png"), matte.astype(np.uint16) * 257)
        write_image(folders / side / "b.png", np.repeat(pixels(folders, side, "b")[..., None], 3, axis=2))
        (folders / side / "c.png").rename(folders / side / "c.PNG")
    _, after = score(folders)
    for old, new in zip(before["images"], after["images"], strict=True):
        assert new.pop("name") == old.pop("name")
        assert new == pytest.approx(old, rel=1e-12)


def test_bad_pairs_are_named_at_the_end_and_the_others_scored(folders, capsys):
    _, whole = score(folders)
    capsys.readouterr()
    for name, side in (("alone", "pred"), ("lost", "gt"), ("cut", "pred"), ("text", "pred"), ("small", "pred")):
        shutil.copy(folders / "gt/a.png", folders / side / f"{name}.png")
    for name in ("cut", "text", "small"):
        shutil.copy(folders / "gt/a.png", folders / "gt" / f"{name}.png")
    write_image(folders / "pred/small.png", np.zeros((10, 20), np.uint8))
    (folders / "pred/text.png").write_text("not a picture")
    (folders / "pred/cut.png").write_bytes((folders / "gt/a.png").read_bytes()[:300])

    code, report = score(folders)
    assert code == 2
    assert report["images"] == whole["images"]
    assert list(report["skipped"]) == ["alone", "cut", "lost", "small", "text"]
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("p3m: ")]
    assert len(lines) == 5
    for line, reason in zip(
        lines,
        (
            "no true matte",
            "cannot be decoded",
            "no prediction",
            "20 x 10 pixels, but the true matte has 30 x 40",
            "not an image",
        ),
        strict=True,
    ):
        assert reason in line


def test_a_missing_trimap_leaves_its_image_out(folders):
    (folders / "trimap/b.png").unlink()
    code, report = score(folders, "--trimaps", folders / "trimap")
    assert code == 2
    assert [row["name"] for row in report["images"]] == ["a", "c"]
    assert "no trimap" in report["skipped"]["b"]


def one_line_error(capsys):
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("p3m: ")]
    assert len(lines) == 1
    return lines[0]


def test_nothing_to_score_is_an_error_and_writes_nothing(folders, capsys):
    for path in (folders / "pred").iterdir():
        path.rename(path.with_stem(f"{path.stem}_alpha"))
    assert score(folders) == (2, None)
    assert "nothing to score" in one_line_error(capsys)


def test_two_files_of_one_stem_are_refused(folders, capsys):
    shutil.copy(folders / "pred/a.png", folders / "pred/a.jpg")
    assert score(folders) == (2, None)
    assert "a.jpg and a.png share a stem" in one_line_error(capsys)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trimap-kernel", "0"], "--trimap-kernel 0: give 1 or more"),
        (["--workers", "-1"], "--workers -1: give 1 or more"),
        (["--trimaps", "nowhere"], "nowhere: no such folder"),
        (["--csv", "."], "--csv .: is a folder"),
    ],
)
def test_wrong_options_are_refused_in_one_line(folders, capsys, options, message):
    assert score(folders, *options) == (2, None)
    assert message in one_line_error(capsys)


def test_an_output_that_cannot_be_written_is_one_line_after_the_tables(folders, capsys):
    (folders / "file").write_text("in the way")
    assert main(["score", str(folders / "pred"), str(folders / "gt"), "--csv", str(folders / "file/scores.csv")]) == 2
    shown = capsys.readouterr()
    assert "connectivity" in shown.out
    assert "scores.csv: cannot be written" in shown.err


def test_names_that_look_like_markup_are_printed_as_they_are(folders, capsys):
    for side in ("pred", "gt"):
        (folders / side / "a.png").rename(folders / side / "[red]a.png")
    assert score(folders)[0] == 0
    assert "[red]a" in capsys.readouterr().out
