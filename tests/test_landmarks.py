import json

import numpy as np
import pytest

from p3m_lightning.landmarks import box_overlap, merge_faces, read_landmarks, rounded, write_landmarks
from p3m_lightning.schema import InputError

FACE = np.random.default_rng(0).uniform(0, 100, (68, 2))


def test_landmarks_survive_the_file_to_a_tenth_of_a_pixel(tmp_path):
    written = {"a": [FACE, FACE + 50.26], "back view": []}
    write_landmarks(tmp_path / "faces.json", written, settings={"any": 1})
    read = read_landmarks(tmp_path / "faces.json")
    assert read.keys() == written.keys()
    assert read["back view"] == []
    for stem, faces in written.items():
        assert [np.abs(a - b).max() <= 0.05001 for a, b in zip(read[stem], faces, strict=True)] == [True] * len(faces)


def test_names_may_be_file_names_and_stems_may_hold_dots(tmp_path):
    path = tmp_path / "faces.json"
    path.write_text(json.dumps({"landmarks": {"a.JPG": [], "b.v2": []}}))
    assert set(read_landmarks(path)) == {"a", "b.v2"}


def test_a_folder_with_a_file_per_image_is_read(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(rounded([FACE])))
    assert np.abs(read_landmarks(tmp_path)["a"][0] - FACE).max() <= 0.05001


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "the form is"),
        ('{"landmarks": {"a": [[[1, 2]]]}}', r"a: face 0 is of shape \(1, 2\)"),
        ('{"landmarks": {"a": 3}}', "a: a list of faces"),
        ('{"landmarks": {"a": [["x"]]}}', "a: a list of faces"),
        (json.dumps({"landmarks": {"a": [[[float("nan"), 0.0]] * 68]}}), "68 finite"),
        ('{"landmarks": {"a.jpg": [], "a.png": []}}', "a occurs twice"),
    ],
)
def test_wrong_files_are_explained(tmp_path, content, message):
    path = tmp_path / "faces.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_landmarks(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.json: no such file"):
        read_landmarks(tmp_path / "none.json")


def test_box_overlap_is_a_share_of_the_smaller_box():
    square = np.array([[0.0, 0.0], [10.0, 10.0]])
    assert box_overlap(square, square + np.array([5, 0])) == pytest.approx(0.5)
    assert box_overlap(square, square * 0.5) == pytest.approx(1)
    assert box_overlap(square, square + 20) == 0


def test_merging_keeps_the_most_trusted_of_duplicates():
    faces = [FACE, FACE + 3, FACE + 300, FACE * 0.5 + 20]
    assert [face is kept for face, kept in zip(merge_faces(faces), [faces[0], faces[2]], strict=True)] == [True, True]
