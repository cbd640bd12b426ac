import csv
import json

import numpy as np
import pytest

from p3m_lightning.cli import main
from p3m_lightning.images import read_image, write_image
from p3m_lightning.synthetic import render_portrait


@pytest.fixture
def folders(tmp_path):
    """Photographs, and mattes of which `b` lacks a half and `c` is empty."""
    portrait = render_portrait(902, 128)
    half = portrait.alpha.copy()
    half[:, 64:] = 0
    for name, alpha in {"a": portrait.alpha, "b": half, "c": np.zeros_like(half)}.items():
        write_image(tmp_path / f"photos/{name}.jpg", portrait.image)
        write_image(tmp_path / f"mattes/{name}.png", alpha)
    return tmp_path


def rank(folders, *options):
    return main(["quality", "rank", str(folders / "mattes"), str(folders / "photos"), *options])


def test_the_worst_come_first_in_table_and_files(folders, capsys):
    assert rank(folders, "--csv", str(folders / "q.csv"), "--json", str(folders / "q.json")) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines() if "\t" in line]
    assert [line[0] for line in lines][-1] == "a"
    rows = list(csv.DictReader((folders / "q.csv").open()))
    assert [row["name"] for row in rows][-1] == "a"
    sads = [float(row["sad"]) for row in rows]
    assert sads == sorted(sads, reverse=True)
    assert [row["name"] for row in json.loads((folders / "q.json").read_text())["images"]] == [r["name"] for r in rows]


def test_maps_have_the_size_of_the_photographs_and_are_red_where_the_matte_is_wrong(folders):
    assert rank(folders, "--maps", str(folders / "maps")) == 0
    picture = read_image(folders / "maps/b.jpg").astype(int)
    assert picture.shape == (128, 128, 3)
    redness = picture[..., 0] - picture[..., 2]
    assert redness[:, 64:].mean() > redness[:, :64].mean() + 10


def test_a_bad_file_is_named_and_ends_nothing(folders, capsys):
    (folders / "mattes/b.png").write_bytes(b"")
    assert rank(folders) == 2
    told = capsys.readouterr()
    assert "b left out: " in told.err
    assert "a\t" in told.out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--ckpt", "nowhere.safetensors"], "nowhere.safetensors"),
        (["--csv", "."], "--csv .: is a folder; name a file"),
        (["--device", "cpuu"], "cpuu"),
    ],
)
def test_wrong_calls_are_one_line(folders, capsys, change, message):
    assert rank(folders, *change) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_folders_without_pairs_are_refused(folders, capsys):
    assert main(["quality", "rank", str(folders / "mattes"), str(folders)]) == 2
    assert str(folders) in capsys.readouterr().err
