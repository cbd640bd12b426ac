import cv2
import numpy as np
import pytest
from skimage.draw import polygon2mask

from faces import face_points, noise
from p3m_lightning.ops.faces import MODES, face_size, obfuscate, private_area, transition_area
from p3m_lightning.schema import InputError


def test_private_area_is_the_polygon_of_jaw_and_brows():
    points = face_points()
    outline = np.concatenate([points[:17], points[17:27][::-1]])
    expected = polygon2mask((200, 200), outline[:, ::-1])
    area = private_area(points, (200, 200, 3)) > 0
    rim = cv2.dilate(expected.astype(np.uint8), np.ones((3, 3))) - cv2.erode(expected.astype(np.uint8), np.ones((3, 3)))
    assert not ((area != expected) & (rim == 0)).any()


def test_forehead_stays_outside_and_chin_inside():
    area = private_area(face_points(), (200, 200))
    assert area[65, 100] == 0  # above the brows
    assert area[135, 100] == 255  # just above the chin
    assert area[100, 100] == 255


def test_an_outline_that_crosses_itself_leaves_no_hole():
    points = face_points()
    points[22:27] = points[22:27][::-1]  # the right brow in wrong order
    area = private_area(points, (200, 200))
    holes = cv2.findContours(area, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)[1]
    assert (holes[0, :, 3] == -1).all()


def test_a_face_beyond_the_border_is_cut_off():
    area = private_area(face_points(center=(0, 100)), (200, 200))
    assert area[100, 0] == 255
    assert area[:, 60:].max() == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("degrees", [0, 50])
def test_no_pixel_outside_the_face_mask_changes(mode, degrees):
    image = noise()
    result, face_mask = obfuscate(image, [face_points(degrees=degrees)], mode=mode)
    outside = face_mask == 0
    assert np.array_equal(result[outside], image[outside])
    assert (result[~outside] != image[~outside]).any(axis=1).mean() > 0.9
    assert set(np.unique(face_mask)) == {0, 255}


@pytest.mark.parametrize("mode", ["blur", "mosaic"])
def test_nothing_bleeds_into_the_face(mode):
    points = face_points()
    inside = private_area(points, (200, 200)) > 0
    image = np.where(inside[..., None], np.uint8([200, 20, 90]), noise()).astype(np.uint8)
    result, _ = obfuscate(image, [points], mode=mode)
    assert np.array_equal(result, image)  # a face of one color stays what it is, whatever is around it


def test_blur_is_the_gaussian_mean_over_the_face():
    points, image = face_points(), noise()
    inside = private_area(points, (200, 200)) > 0
    result, _ = obfuscate(image, [points], blur_sigma=0.1)
    y, x = np.indices(inside.shape)
    for row, column in ((100, 100), (75, 80), (135, 100)):
        weights = np.exp(-((y - row) ** 2 + (x - column) ** 2) / 2 / (0.1 * face_size(points)) ** 2) * inside
        expected = (image * weights[..., None]).sum(axis=(0, 1)) / weights.sum()
        assert np.abs(result[row, column] - expected).max() < 2


def test_blur_of_a_large_face_keeps_no_detail():
    points, image = face_points(center=(500, 500), size=800), noise(1000, 1000)
    result, face_mask = obfuscate(image, [points])
    core = cv2.erode(face_mask, np.ones((9, 9))) > 0
    laplacian = np.abs(cv2.Laplacian(result.astype(np.float32), cv2.CV_32F))
    assert laplacian[core].max() <= 4


def test_mosaic_cells_hold_their_mean():
    points, image = face_points(), noise()
    result, face_mask = obfuscate(image, [points], mode="mosaic", mosaic_cell=0.125)
    cell = round(0.125 * face_size(points))
    x, y, _, _ = cv2.boundingRect(face_mask)
    window = np.s_[y + 3 * cell : y + 4 * cell, x + 3 * cell : x + 4 * cell]
    assert face_mask[window].min() == 255
    assert np.array_equal(result[window], np.broadcast_to(np.rint(image[window].mean(axis=(0, 1))), (cell, cell, 3)))


def test_zero_blanks_the_face():
    result, face_mask = obfuscate(noise(), [face_points()], mode="zero")
    assert result[face_mask > 0].max() == 0


def soft_matte() -> np.ndarray:
    """Opaque to the left, a ramp through the middle of the face, clear to the right."""
    return np.tile(np.interp(np.arange(200), [95, 105], [255, 0]).astype(np.uint8), (200, 1))


@pytest.mark.parametrize("mode", MODES)
def test_the_transition_area_and_its_margin_stay_untouched(mode):
    points, alpha, image = face_points(), soft_matte(), noise()
    result, face_mask = obfuscate(image, [points], alpha, mode=mode, transition_margin=0.05)
    margin = round(0.05 * face_size(points))
    assert margin == 4
    soft = cv2.dilate(((alpha > 0) & (alpha < 255)).astype(np.uint8), np.ones((1, 2 * margin + 1))) > 0
    assert np.array_equal(result[soft], image[soft])
    inside = private_area(points, (200, 200)) > 0
    assert (face_mask[inside & ~soft] == 255).mean() > 0.95


def test_scraps_in_the_clear_background_are_no_face():
    points, image = face_points(), noise()
    alpha = np.zeros((200, 200), np.uint8)
    alpha[:, 64:] = 255  # the outermost jaw points lie in the background
    _, whole = obfuscate(image, [points], alpha, transition_margin=0.0125, smallest_piece=0)
    _, face_mask = obfuscate(image, [points], alpha, transition_margin=0.0125)
    assert whole[:, :62].any()
    assert not face_mask[:, :64].any()
    assert np.array_equal(face_mask[:, 66:], whole[:, 66:])


def test_transition_area_knows_hard_edges():
    alpha = np.zeros((20, 20), np.uint8)
    alpha[:, 10:] = 255
    assert np.flatnonzero(transition_area(alpha, 2)[10]).tolist() == [8, 9, 10, 11]
    assert not transition_area(alpha, 0).any()


def test_sixteen_bit_mattes_are_understood():
    eight = obfuscate(noise(), [face_points()], soft_matte())
    sixteen = obfuscate(noise(), [face_points()], soft_matte().astype(np.uint16) * 257)
    assert all(np.array_equal(a, b) for a, b in zip(eight, sixteen, strict=True))


def test_every_face_is_obfuscated_in_its_own_size():
    small, large = face_points((40, 40), 30), face_points((130, 130), 90)
    _, mask = obfuscate(noise(), [small, large])
    assert np.array_equal(mask, private_area(small, (200, 200)) | private_area(large, (200, 200)))


def test_without_faces_the_image_is_returned_as_a_copy():
    image = noise()
    result, face_mask = obfuscate(image, [])
    assert result is not image
    assert np.array_equal(result, image)
    assert not face_mask.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "smear"}, "mode: 'smear' is not one of blur, mosaic, zero"),
        ({"blur_sigma": 0}, "blur_sigma"),
        ({"alpha": np.zeros((10, 20), np.uint8)}, "20 x 10 pixels, but the image has 200 x 200"),
        ({"landmarks": [np.zeros((5, 2))]}, "68 finite points"),
        ({"landmarks": [np.full((68, 2), np.nan)]}, "68 finite points"),
        ({"image": np.zeros((200, 200, 3))}, "uint8"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {"image": noise(), "landmarks": [face_points()]} | change
    with pytest.raises(InputError, match=message):
        obfuscate(**arguments)
