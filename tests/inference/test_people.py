"""People in backgrounds, found by the network's certain foreground, in the whole image and in its quarters."""

import json

import numpy as np
import pytest

from p3m_lightning.cli import main
from p3m_lightning.images import write_image
from p3m_lightning.inference import people
from p3m_lightning.inference.people import LEAST, find_people, largest_region, views
from p3m_lightning.synthetic import render_portrait


def reds(pixels):
    """A network that takes red for people."""
    return (pixels[..., 0].astype(float) - pixels[..., 1]).clip(0, 255) / 255


def place(side, person):
    pixels = np.full((100, 200, 3), 90, np.uint8)
    pixels[10 : 10 + person, 20 : 20 + person] = (255, 0, 0)
    return pixels


@pytest.fixture
def folder(tmp_path):
    for name, person in (("nobody", 0), ("near", 40), ("far", 6)):
        write_image(tmp_path / f"{name}.png", place(100, person))
    return tmp_path


@pytest.mark.parametrize(("closer", "found"), [(False, {"near"}), (True, {"near", "far"})])
def test_a_closer_look_finds_smaller_people(folder, closer, found):
    sightings = find_people(sorted(folder.iterdir()), reds, closer)
    assert {one.file.stem for one in sightings if one.is_found()} == found


def test_the_share_is_that_of_the_largest_certain_region():
    alpha = np.zeros((10, 10))
    alpha[0, :5] = 1
    alpha[5, :3] = 1
    alpha[8] = 0.89
    assert largest_region(alpha) == 0.05
    assert largest_region(np.zeros((3, 3))) == 0
    assert LEAST < 0.05


@pytest.mark.parametrize("size", [(100, 200), (1, 1), (3, 2)])
def test_the_quarters_overlap_and_reach_every_corner(size):
    rows, columns = np.indices(size)
    whole, *quarters = views(np.stack([rows, columns], -1), True)
    assert whole.shape[:2] == size
    seen = {tuple(pixel) for quarter in quarters for pixel in quarter.reshape(-1, 2)}
    assert len(seen) == size[0] * size[1]
    assert len(views(whole, False)) == 1


def test_a_file_that_cannot_be_read_is_told_and_the_others_go_on(folder, monkeypatch, capsys):
    monkeypatch.setattr(people, "box_matte", lambda: reds)
    (folder / "broken.jpg").write_bytes(b"no picture")
    assert main(["data", "people", str(folder), "--json", str(folder / "found.json")]) == 2
    told = capsys.readouterr()
    assert [line.split("\t")[0] for line in told.out.splitlines()] == [
        "file",
        f"{folder}/near.png",
        f"{folder}/far.png",
    ]
    assert "broken.jpg" in told.err
    entries = json.loads((folder / "found.json").read_text())["photographs"]
    assert {entry["file"].split("/")[-1]: entry["person"] for entry in entries}["nobody.png"] is False


def test_places_without_people_are_0(tmp_path, monkeypatch):
    monkeypatch.setattr(people, "box_matte", lambda: reds)
    write_image(tmp_path / "a.png", place(100, 0))
    assert main(["data", "people", str(tmp_path)]) == 0


def test_the_network_in_the_box_sees_a_rendered_person_and_none_on_its_background(tmp_path):
    portrait = render_portrait(3, 160)
    write_image(tmp_path / "person.png", portrait.image)
    write_image(tmp_path / "grass.png", np.full((160, 160, 3), (70, 120, 60), np.uint8))
    found = {one.file.stem: one.is_found() for one in find_people(sorted(tmp_path.iterdir()), closer=False)}
    assert found == {"person": True, "grass": False}


@pytest.mark.parametrize("arguments", [["nowhere"], [".", "--least", "2"]])
def test_wrong_calls_are_one_line(arguments, capsys):
    assert main(["data", "people", *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
