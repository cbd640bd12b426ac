import random

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from faces import face_points, noise
from p3m_lightning.data.image_copy_paste import FaceSource, ImageCopyPaste, Placement, SourceFace, place_face
from p3m_lightning.images import write_image
from p3m_lightning.landmarks import write_landmarks
from p3m_lightning.ops.faces import private_area
from p3m_lightning.ops.feature_paste import paste_features, pasted_region
from p3m_lightning.schema import InputError


def box_mask(height, width, top, left, rows, columns) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[top : top + rows, left : left + columns] = 255
    return mask


def box_center(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(mask)
    return np.array([columns.min() + columns.max(), rows.min() + rows.max()]) / 2


# features


def masks_of(*boxes, size=32) -> torch.Tensor:
    return torch.stack([torch.from_numpy(box_mask(size, size, *box)).float()[None] / 255 for box in boxes])


def paste_naively(target, source, target_mask, source_mask):
    """Cell by cell, boxes centered on each other; cells of 2 x 2 pixels."""
    result = target.clone()
    for n in range(len(target)):
        inside, there = ((m[n, 0, ::2, ::2] > 0.5).nonzero() for m in (target_mask, source_mask))
        shift = (inside.amin(0) + inside.amax(0)) / 2 - (there.amin(0) + there.amax(0)) / 2
        faces = {tuple(cell) for cell in there.tolist()}
        for row, column in inside.tolist():
            origin = (row - int(shift[0].round()), column - int(shift[1].round()))
            if origin in faces:
                result[n, :, row, column] = source[n, :, origin[0], origin[1]]
    return result


def test_features_are_pasted_center_on_center_where_both_faces_are():
    generator = torch.Generator().manual_seed(0)
    target, source = (torch.randn(2, 5, 16, 16, generator=generator) for _ in range(2))
    target_mask = masks_of((4, 6, 12, 10), (20, 0, 8, 14))
    source_mask = masks_of((10, 12, 8, 14), (2, 18, 14, 6))
    pasted = paste_features(target, source, target_mask, source_mask)
    assert torch.equal(pasted, paste_naively(target, source, target_mask, source_mask))
    assert not torch.equal(pasted, target)


def test_no_feature_outside_the_target_face_changes():
    target, source = torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)
    target_mask = masks_of((8, 8, 12, 6))
    pasted = paste_features(target, source, target_mask, masks_of((0, 0, 32, 32)))
    changed = (pasted != target).any(dim=1)[0]
    assert torch.equal(changed, target_mask[0, 0, ::2, ::2] > 0.5)


def test_no_gradient_flows_into_the_source_features():
    target, source = torch.randn(2, 4, 8, 8, requires_grad=True), torch.randn(1, 4, 8, 8, requires_grad=True)
    mask = masks_of((8, 8, 16, 16), (0, 0, 8, 8))
    paste_features(target, source, mask, masks_of((0, 0, 16, 16))).sum().backward()
    assert source.grad is None
    inside = nn.functional.interpolate(mask, size=(8, 8), mode="area") > 0.5
    assert torch.equal(target.grad, (~inside).float().expand(2, 4, 8, 8))


def test_a_cell_counts_by_the_share_that_lies_in_the_face():
    mask = masks_of((0, 0, 3, 4), size=8)  # of the 4 x 4 cell above left three quarters
    full = masks_of((0, 0, 8, 8), size=8)
    assert pasted_region(mask, full, (2, 2), 0.7)[0].sum() == 1
    assert pasted_region(mask, full, (2, 2), 0.8)[0].sum() == 0


@pytest.mark.parametrize("empty", ["target", "source"])
def test_an_empty_face_changes_nothing(empty):
    face, nothing = masks_of((8, 8, 8, 8)), torch.zeros(1, 1, 32, 32)
    target, source = torch.randn(1, 2, 16, 16), torch.randn(1, 2, 16, 16)
    masks = (nothing, face) if empty == "target" else (face, nothing)
    assert torch.equal(paste_features(target, source, *masks), target)


# images


@pytest.mark.parametrize("degrees", [0, 25])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("scale", [0.3, 1.0, 1.6])
def test_a_face_is_placed_where_it_shall_be(degrees, flip, scale):
    mask = np.zeros((200, 300), np.uint8)
    cv2.ellipse(mask, (90, 120), (40, 55), 0, 0, 360, 255, -1)
    image = np.full((200, 300, 3), 10, np.uint8)
    image[mask > 0] = 200
    image[120, 95:130] = (255, 0, 0)  # a mark on the right side of the face
    placed, inside = place_face(SourceFace(image, mask), Placement((110.0, 120.0), scale, degrees, flip), (230, 240))
    assert placed.shape == (230, 240, 3)
    ellipse_center = np.array([np.nonzero(inside)[1].mean(), np.nonzero(inside)[0].mean()])
    assert np.allclose(ellipse_center, [110, 120], atol=1)
    assert np.count_nonzero(inside) == pytest.approx(np.pi * 40 * 55 * scale**2, rel=0.06)
    core = cv2.erode(inside, np.ones((5, 5))) > 0
    assert (placed[core].max(axis=1) > 150).all()
    if scale >= 1:
        marked = np.argwhere((placed[..., 0] > 240) & (placed[..., 1] < 60))
        assert (marked[:, 1].mean() < 110) == flip


@pytest.fixture
def source(tmp_path) -> FaceSource:
    write_image(tmp_path / "faces/red.png", np.full((120, 150, 3), (250, 5, 5), np.uint8))
    write_landmarks(tmp_path / "faces.json", {"red": [face_points((70, 60), 70)]})
    return FaceSource(tmp_path / "faces", landmarks=tmp_path / "faces.json")


def sample(face: np.ndarray) -> dict[str, np.ndarray]:
    image = noise(160, 160) // 2
    alpha = np.full((160, 160), 255, np.uint8)
    return {"image": image, "foreground": image.copy(), "background": image.copy(), "alpha": alpha, "face": face}


def paste(source, face, seed=0, **options):
    transform = ImageCopyPaste(source, p=1.0, **options)
    transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
    before = sample(face)
    return before, transform(**before)


def test_image_and_foreground_get_the_face_and_nothing_else_changes(source):
    face = private_area(face_points((80, 90), 60), (160, 160))
    face[:, 100:] = 0
    face[60:70] //= 2  # soft pixels are not wholly in the face
    before, after = paste(source, face, rotation=0, scale=[1.4, 1.4])
    for role in ("image", "foreground"):
        changed = (after[role] != before[role]).any(axis=2)
        assert not changed[face < 255].any()
        assert changed[face == 255].mean() > 0.8
        assert (after[role][changed] == (250, 5, 5)).all()
    for role in ("background", "alpha", "face"):
        assert after[role] is before[role]


def test_the_pasted_face_is_as_large_as_the_target_and_in_its_middle(source):
    face = box_mask(160, 160, 30, 40, 90, 90)
    before, after = paste(source, face, rotation=0, scale=[0.9, 0.9], p_flip=0)
    changed = (after["image"] != before["image"]).any(axis=2)
    assert np.allclose(box_center(changed), box_center(face), atol=1)
    assert max(cv2.boundingRect(changed.astype(np.uint8))[2:]) == pytest.approx(0.9 * 90, abs=2)


def test_without_matching_the_source_keeps_its_pixels(source):
    before, after = paste(source, box_mask(160, 160, 5, 5, 150, 150), rotation=0, scale=[1, 1], match_size=False)
    changed = (after["image"] != before["image"]).any(axis=2)
    assert np.count_nonzero(changed) == pytest.approx(np.count_nonzero(source[0].mask), rel=0.02)


def test_every_face_of_the_target_gets_one_and_tiny_ones_none(source):
    face = box_mask(160, 160, 10, 10, 50, 40) | box_mask(160, 160, 90, 90, 60, 50) | box_mask(160, 160, 150, 5, 6, 6)
    face[32:34] = 0  # a strand of hair divides the first face
    before, after = paste(source, face, rotation=0, scale=[1.2, 1.2])
    changed = (after["image"] != before["image"]).any(axis=2)
    assert changed[15:30, 20:40].all()
    assert changed[40:50, 20:40].all()
    assert changed[100:140, 105:130].all()
    assert not changed[148:, :15].any()


def test_half_of_the_samples_are_pasted_and_a_seed_decides_which(source):
    transform = ImageCopyPaste(source)
    face = box_mask(160, 160, 30, 40, 90, 90)
    outcomes = []
    for seed in range(60):
        transform.set_random_state(np.random.default_rng(seed), random.Random(seed))
        before = sample(face)
        outcomes.append(not np.array_equal(transform(**before)["image"], before["image"]))
    assert 15 < sum(outcomes) < 45


def test_a_target_without_a_face_stays_and_one_without_mask_is_refused(source):
    before, after = paste(source, np.zeros((160, 160), np.uint8))
    assert np.array_equal(after["image"], before["image"])
    with pytest.raises(InputError, match=r"data\.train\.face=true"):
        ImageCopyPaste(source, p=1.0)(image=noise(), alpha=np.zeros((200, 200), np.uint8))


def test_sources_come_by_landmarks_or_by_masks(tmp_path, source):
    (face,) = list(source)
    assert np.array_equal(face.mask, private_area(np.round(face_points((70, 60), 70), 1), (120, 150)))
    write_image(tmp_path / "masks/red.png", box_mask(120, 150, 10, 10, 40, 40) | box_mask(120, 150, 80, 80, 5, 5))
    (by_mask,) = list(FaceSource(tmp_path / "faces", masks=tmp_path / "masks"))
    assert np.array_equal(by_mask.mask, box_mask(120, 150, 10, 10, 40, 40))  # the largest part


def test_wrong_sources_are_refused(tmp_path, source):
    with pytest.raises(InputError, match="either landmarks or masks"):
        FaceSource(tmp_path / "faces")
    write_landmarks(tmp_path / "other.json", {"blue": [face_points()]})
    with pytest.raises(InputError, match="do the file names match"):
        FaceSource(tmp_path / "faces", landmarks=tmp_path / "other.json")
    for name in ("red.tif", "red.png"):
        write_image(tmp_path / "masks" / name, box_mask(120, 150, 10, 10, 40, 40))
    with pytest.raises(InputError, match=r"red\.png and red\.tif share a stem"):
        FaceSource(tmp_path / "faces", masks=tmp_path / "masks")
    (tmp_path / "masks/red.tif").unlink()
    write_image(tmp_path / "masks/red.png", box_mask(20, 20, 0, 0, 5, 5))
    with pytest.raises(InputError, match="its size differs"):
        FaceSource(tmp_path / "faces", masks=tmp_path / "masks")[0]
    write_image(tmp_path / "masks/red.png", np.zeros((120, 150), np.uint8))
    with pytest.raises(InputError, match="are empty"):
        FaceSource(tmp_path / "faces", masks=tmp_path / "masks").draw(np.random.default_rng(0))
