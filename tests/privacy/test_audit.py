import json

import numpy as np
import pytest
from scipy import stats

from faces import face_points, noise
from p3m_lightning.cli import main
from p3m_lightning.images import read_image, write_image
from p3m_lightning.landmarks import write_landmarks
from p3m_lightning.ops.faces import obfuscate, private_area
from p3m_lightning.privacy.audit import AuditedFace, AuditedImage, Auditor, AuditTask, Changes, audit_folders, compare
from p3m_lightning.privacy.audit_report import (
    audit_report,
    distances_between_people,
    nearest_is_own,
    summarize,
    worst_cases,
)
from p3m_lightning.schema import InputError

FACE = face_points((100, 100), 100)


def rough_faces(image: np.ndarray) -> list[np.ndarray]:
    """Stands for a detector: sees a face where the middle of the image is noisy, and one more in a bright corner."""
    found = [FACE + 2] if image[90:110, 90:110].std() > 40 else []
    return found + ([face_points((20, 20), 20)] if image[:10, :10].min() > 250 else [])


def mean_color(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Stands for a describer: the colors of the eyes' row."""
    row, column = np.rint(landmarks.mean(axis=0)[::-1]).astype(int)
    return image[row, column - 10 : column + 10].reshape(-1) / 255


AUDITOR = Auditor(rough_faces, mean_color)


@pytest.fixture
def folders(tmp_path):
    for k, mode in enumerate(["blur", "zero", "none"]):
        image = noise(200, 200, k)
        write_image(tmp_path / f"src/{mode}.png", image)
        write_image(tmp_path / f"dst/{mode}.png", image if mode == "none" else obfuscate(image, [FACE], mode=mode)[0])
    return tmp_path


def audit(folders, **options):
    return audit_folders(folders / "src", folders / "dst", AUDITOR, workers=1, **options)


def test_an_untouched_face_is_recognized_and_obfuscated_ones_are_not(folders):
    images, missing = audit(folders)
    faces = {image.task.original.stem: image.faces[0] for image in images}
    assert missing == []
    assert faces["none"].distance == 0
    assert [name for name, face in faces.items() if face.recognized] == ["none"]
    assert [name for name, face in faces.items() if face.found_again] == ["none"]
    assert faces["blur"].distance > 0.6


def test_distance_is_that_of_the_descriptors(folders):
    images, _ = audit(folders, landmarks={"zero": [FACE]})
    (face,) = next(image.faces for image in images if image.task.original.stem == "zero")
    original = mean_color(read_image(folders / "src/zero.png"), FACE)
    assert face.distance == pytest.approx(np.sqrt((original**2).sum()))


def test_a_face_left_visible_elsewhere_is_counted(folders):
    image = read_image(folders / "dst/blur.png").copy()
    image[:10, :10] = 255
    write_image(folders / "dst/blur.png", image)
    images, _ = audit(folders)
    assert summarize(images)["unexpected_faces"] == 1


def counts(changes: Changes) -> tuple[int, int, int]:
    return changes.outside, changes.transition, changes.largest


def test_changes_outside_the_private_area_and_in_the_transition_area_are_counted():
    before, alpha = noise(), np.full((200, 200), 255, np.uint8)
    alpha[:, 120:125] = 128
    after = obfuscate(before, [FACE], alpha)[0]
    assert counts(compare(after, before, [FACE], alpha)) == (0, 0, 0)
    after[5, 7] ^= 16  # outside the face
    after[100, 122] ^= 1  # in the transition area, inside the private area
    assert counts(compare(after, before, [FACE], alpha)) == (1, 1, 16)


def test_only_the_pixels_of_the_private_area_may_change():
    before = noise()
    area = private_area(FACE, before.shape)
    changes = compare(255 - before, before, [FACE])
    assert changes.outside == np.count_nonzero((area == 0) & (before != 255 - before).any(axis=2))
    assert changes.beside == 0


@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_jpeg_is_compared_with_the_original_recompressed(tmp_path, subsampling):
    smooth = np.repeat(np.repeat(noise(25, 25), 8, axis=0), 8, axis=1)
    write_image(tmp_path / "a.png", smooth)
    result, _ = obfuscate(smooth, [FACE], mode="zero")
    write_image(tmp_path / "b.jpg", result, quality=80, subsampling=subsampling)
    image = AUDITOR(AuditTask(tmp_path / "a.png", tmp_path / "b.jpg", None, [FACE]))
    assert image.changes.recompressed
    assert image.changes.outside == 0
    assert 0 < image.changes.beside < 200 * 200 / 3
    result[190:, 190:] = 0
    write_image(tmp_path / "b.jpg", result, quality=80, subsampling=subsampling)
    assert AUDITOR(AuditTask(tmp_path / "a.png", tmp_path / "b.jpg", None, [FACE])).changes.outside > 50


def fake_image(name: str, *descriptors: list[float], hidden: list[list[float]] | None = None) -> AuditedImage:
    hidden = hidden or descriptors
    faces = [AuditedFace(FACE, np.array(d), np.array(h), True) for d, h in zip(descriptors, hidden, strict=True)]
    return AuditedImage(AuditTask(name, name, None, None), faces)


def test_people_are_the_faces_of_different_images():
    images = [
        fake_image("a", [0.0, 0], [9.0, 9]),
        fake_image("b", [3.0, 4]),
        AuditedImage(AuditTask("c", "c", None, [])),
    ]
    assert sorted(distances_between_people(images)) == pytest.approx([5, np.hypot(6, 5)])
    assert len(distances_between_people(images[:1])) == 0


def test_a_random_choice_of_pairs_has_their_distribution():
    generator = np.random.default_rng(0)
    images = [fake_image(str(k), list(generator.normal(size=3))) for k in range(150)]
    every, some = distances_between_people(images), distances_between_people(images, most=3000)
    assert len(every) == 150 * 149 / 2
    assert stats.ks_2samp(every, some).pvalue > 0.01


def test_nearest_original_is_counted():
    images = [fake_image("a", [0.0, 0], hidden=[[0.1, 0]]), fake_image("b", [1.0, 0], hidden=[[0.2, 0]])]
    faces = [face for image in images for face in image.faces]
    assert nearest_is_own(faces) == 1
    assert nearest_is_own(faces[:1]) is None


def test_summary_of_nothing_has_no_numbers():
    summary = summarize([])
    assert summary["faces"] == 0
    assert summary["distance_to_own_original"] is None
    assert summary["closer_than_5_percent_of_people"] is None


def test_worst_cases_come_first(folders):
    images, _ = audit(folders)
    rows, notes = worst_cases(images, 2)
    assert notes[0].startswith("none.png: RECOGNIZED, distance 0.00")
    assert [panel.caption for panel in rows[0]] == ["original", "anonymized", "change x 8"]
    assert len(rows) == 2
    assert rows[0][2].picture.max() == 0
    assert rows[1][2].picture.max() == 255


def test_report_is_plain_json(folders):
    images, _ = audit(folders)
    report = json.loads(json.dumps(audit_report(images, ["lost.png"])))
    assert report["summary"]["recognized"] == 1
    assert report["missing"] == ["lost.png"]
    assert report["images"][1]["faces"][0]["recognized"] is True


def test_unreadable_and_misfit_images_are_said(folders):
    (folders / "dst/blur.png").write_bytes(b"")
    write_image(folders / "dst/zero.png", noise(100, 100))
    images, _ = audit(folders)
    reasons = {image.task.original.stem: image.reason for image in images}
    assert "blur.png" in reasons["blur"]
    assert "100 rows of 100 pixels, but the original has 200 rows" in reasons["zero"]
    assert reasons["none"] is None


def test_images_that_were_not_anonymized_are_missing_and_foreign_ones_refused(folders):
    (folders / "dst/zero.png").unlink()
    assert audit(folders)[1] == ["zero.png"]
    write_image(folders / "dst/other.png", noise())
    with pytest.raises(InputError, match=r"other\.png: no original of this name"):
        audit(folders)


def test_command_writes_table_json_and_sheet(tmp_path, capsys):
    pytest.importorskip("dlib")
    from skimage import data

    image = data.astronaut()[:256, 96:352]
    write_image(tmp_path / "src/face.png", image)
    points = face_points((126, 108), 110)
    write_landmarks(tmp_path / "faces.json", {"face": [points]})
    write_image(tmp_path / "dst/face.png", obfuscate(image, [points])[0])
    arguments = ["data", "audit", str(tmp_path / "src"), str(tmp_path / "dst"), "--workers", "1", "--detector", "hog"]
    extra = ["--smallest-face", "0.2", "--landmarks", str(tmp_path / "faces.json"), "-o", str(tmp_path / "out")]
    assert main([*arguments, *extra]) == 0
    assert "recognized                         0" in capsys.readouterr().out
    report = json.loads((tmp_path / "out/audit.json").read_text())
    assert report["summary"]["faces"] == 1
    assert report["summary"]["images_changed_outside"] == 0
    assert read_image(tmp_path / "out/worst.png").shape[1] > 900
