import cv2
import numpy as np
import pytest

from faces import face_points
from p3m_lightning.privacy.heads import head_windows, holds, tiles


def figure(shape=(400, 300), x=150, top=50, height=300) -> np.ndarray:
    """A standing person: a head of an eighth of the height on a body a quarter as wide as tall."""
    mask = np.zeros(shape, np.uint8)
    radius = height // 16
    cv2.circle(mask, (x, top + radius), radius, 255, -1)
    cv2.rectangle(mask, (x - height // 8, top + 2 * radius), (x + height // 8, top + height), 255, -1)
    return mask


def size(window) -> tuple[int, int]:
    return tuple(part.stop - part.start for part in window)


def test_the_head_of_a_standing_person_is_in_the_upper_third():
    ((rows, columns),) = head_windows(figure())
    assert rows.start < 50
    assert 50 + 300 // 8 < rows.stop < 50 + 300 // 2
    assert columns.start <= 150 - 300 // 8 < 150 + 300 // 8 < columns.stop


def test_a_head_alone_is_taken_whole():
    mask = cv2.circle(np.zeros((200, 200), np.uint8), (100, 100), 60, 255, -1)
    (window,) = head_windows(mask)
    assert min(size(window)) > 120


def test_every_person_has_a_head_and_shoes_have_none():
    two = np.maximum(figure(x=80, height=320), figure(x=220, top=100, height=250))
    cv2.rectangle(two, (140, 380), (160, 390), 255, -1)
    first, second = head_windows(two)
    assert first[1].stop < 150 < second[1].start


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_only_what_is_mostly_foreground_counts(dtype):
    soft = figure().astype(dtype) * (np.iinfo(dtype).max // 255)
    soft[:40] = np.iinfo(dtype).max // 3
    assert head_windows(soft) == head_windows(figure())
    assert head_windows(np.zeros((20, 20), dtype)) == []


def test_heads_at_the_border_stay_inside_the_image():
    for rows, columns in head_windows(figure(shape=(300, 80), x=20, top=0)):
        assert 0 <= rows.start < rows.stop <= 300
        assert 0 <= columns.start < columns.stop <= 80


def test_tiles_cover_the_image_and_overlap():
    counts = np.zeros((101, 60), int)
    for tile in tiles((101, 60, 3)):
        counts[tile] += 1
    assert counts.min() == 1
    assert counts.max() == 4


def test_a_face_belongs_to_the_window_that_holds_its_middle():
    window = (slice(0, 50), slice(0, 50))
    assert holds(window, face_points((40, 40), 30))
    assert not holds(window, face_points((70, 40), 30))
