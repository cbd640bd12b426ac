import sys

import cv2
import numpy as np
import pytest
from skimage import data

from p3m_lightning.images import read_image
from p3m_lightning.privacy import dlib_faces
from p3m_lightning.privacy.dlib_faces import DlibFaceFinder, face_descriptor
from p3m_lightning.schema import InputError
from p3m_lightning.synthetic import render_portrait

FINDER = DlibFaceFinder("hog", smallest_face=0.15)


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    pytest.importorskip("dlib")
    return np.ascontiguousarray(data.astronaut()[:256, 96:352])


@pytest.fixture(scope="module")
def upright_face(astronaut) -> np.ndarray:
    (face,) = FINDER(astronaut)
    return face


def turned(image: np.ndarray, degrees: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Turn and scale about the center on a gray canvas of twice the size; the matrix maps points along."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale)
    matrix[:, 2] += [width / 2, height / 2]
    return cv2.warpAffine(image, matrix, (2 * width, 2 * height), flags=cv2.INTER_AREA, borderValue=3 * [128]), matrix


def test_the_face_lies_where_it_is(upright_face):
    eyes, mouth, chin = upright_face[36:48].mean(axis=0), upright_face[48:68].mean(axis=0), upright_face[8]
    assert np.allclose(eyes, [130, 102], atol=8)  # read off the picture
    assert eyes[1] < mouth[1] < chin[1]


@pytest.mark.parametrize(("degrees", "scale"), [(40, 1.0), (-70, 1.0), (10, 0.3)])
def test_tilted_and_small_faces_are_found_at_their_place(astronaut, upright_face, degrees, scale):
    image, matrix = turned(astronaut, degrees, scale)
    faces = DlibFaceFinder("hog", smallest_face=0.05 if scale < 1 else 0.15)(image)
    expected = upright_face @ matrix[:, :2].T + matrix[:, 2]
    error = min(np.abs(face - expected).mean() for face in faces)
    assert error < 0.03 * scale * np.ptp(upright_face, axis=0).max()


def test_several_faces_are_each_found_once(astronaut):
    faces = FINDER(np.concatenate([astronaut, astronaut], axis=1))
    first, second = sorted(faces, key=lambda face: face[0, 0])
    assert np.abs(second - first - [256, 0]).mean() < 3


def test_the_network_finds_the_half_turned_portrait(samples):
    pytest.importorskip("dlib")
    image = read_image(samples / "p3m/image/p_bac3c1ff.jpg")[:540, 900:1728]
    (face,) = DlibFaceFinder("cnn", cnn_side=500)(image)
    assert 280 < face[:, 0].mean() < 520
    assert 180 < face[:, 1].mean() < 360


def test_a_back_view_has_no_face(samples):
    pytest.importorskip("dlib")
    image = cv2.resize(read_image(samples / "p3m/image/p_0865636e.jpg"), None, fx=0.5, fy=0.5)
    assert DlibFaceFinder("both", smallest_face=0.1, cnn_side=400)(image) == []


def error(face: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance of landmarks from the true ones, in face sizes."""
    return float(np.abs(face - truth).mean() / np.ptp(truth, axis=0).max())


@pytest.mark.parametrize(
    ("seed", "size", "detector", "turned"),
    [(0, 384, "hog", 30), (3, 256, "hog", 0), (5, 256, "cnn", 0)],
    ids=["tilted, 32 pixels", "weak, 18 pixels", "for the network alone, 18 pixels"],
)
def test_small_faces_of_whole_people_are_found_in_their_heads(seed, size, detector, turned):
    pytest.importorskip("dlib")
    portrait = render_portrait(seed, size, "full")
    (face,) = DlibFaceFinder().look(portrait.image, portrait.alpha)
    assert (face.where, face.detector, face.turned) == ("head", detector, turned)
    assert error(face.points, portrait.landmarks) < 0.05


def test_a_small_face_without_a_matte_is_found_in_a_tile():
    pytest.importorskip("dlib")
    portrait = render_portrait(5, 256, "full")
    corner = np.array([119, 0])
    image = np.ascontiguousarray(portrait.image[:128, 119:247])
    (face,) = DlibFaceFinder(smallest_face=0.15, cnn_side=308).look(image)
    assert (face.where, face.detector) == ("tile", "cnn")
    assert error(face.points + corner, portrait.landmarks) < 0.05


def test_the_network_is_not_asked_where_every_head_has_its_face(monkeypatch):
    pytest.importorskip("dlib")
    monkeypatch.delattr(dlib_faces, "_cnn_detector")
    portrait = render_portrait(1, 256, "full")
    for person in (portrait.alpha, None):
        (face,) = DlibFaceFinder().look(portrait.image, person)
        assert (face.where, face.detector, face.turned) == ("image", "hog", 0)
        assert error(face.points, portrait.landmarks) < 0.05


def test_an_empty_matte_hides_no_face():
    pytest.importorskip("dlib")
    portrait = render_portrait(0, 384, "full")
    (face,) = DlibFaceFinder(cnn_side=200).look(portrait.image, np.zeros_like(portrait.alpha))
    assert (face.where, face.turned) == ("image", 30)


def test_descriptors_tell_the_same_face_from_another(astronaut, upright_face, samples):
    image, matrix = turned(astronaut, 8, 0.9)
    moved = upright_face @ matrix[:, :2].T + matrix[:, 2]
    same = face_descriptor(image, moved)
    own = face_descriptor(astronaut, upright_face)
    portrait = read_image(samples / "p3m/image/p_07141906.jpg")
    (other_face,) = DlibFaceFinder("hog", smallest_face=0.1)(portrait)
    assert own.shape == (128,)
    assert np.linalg.norm(own - same) < 0.4
    assert np.linalg.norm(own - face_descriptor(portrait, other_face)) > 0.6


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.3])
@pytest.mark.parametrize("degrees", [0, 30, -60, 90])
def test_points_of_a_turned_copy_lead_back(scale, degrees):
    image = np.zeros((101, 140, 3), np.uint8)
    image[40:43, 60:63] = 255
    copy, back = dlib_faces._turned(image, scale, degrees)
    rows, columns = np.nonzero(copy[..., 0])
    spot = np.average(np.stack([columns, rows]), axis=1, weights=copy[rows, columns, 0])
    assert np.allclose(back[:, :2] @ spot + back[:, 2], [61, 41], atol=0.15 / min(1, scale))


def test_unknown_detector_and_impossible_size_are_refused():
    with pytest.raises(InputError, match="'magic' is not one of auto, hog, cnn, both"):
        DlibFaceFinder("magic")
    with pytest.raises(InputError, match="smallest_face: 0"):
        DlibFaceFinder(smallest_face=0)


def test_a_missing_dlib_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    dlib_faces._dlib.cache_clear()
    dlib_faces._hog_detector.cache_clear()
    try:
        with pytest.raises(InputError, match=r"pip install 'p3m_lightning\[face\]'"):
            DlibFaceFinder("hog")(np.zeros((100, 100, 3), np.uint8))
    finally:
        dlib_faces._dlib.cache_clear()


@pytest.mark.parametrize("size", [(1, 1), (5, 200), (200, 5), (30, 30), (79, 81)])
def test_images_smaller_than_a_window_of_the_network_hold_no_face(size):
    pytest.importorskip("dlib")
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert DlibFaceFinder("cnn", cnn_side=200)(noise) == []  # dlib itself fails on these, or writes out of bounds
