import json
import os
import resource
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from faces import face_points, noise
from p3m_lightning.cli import main
from p3m_lightning.images import read_image, read_matte, write_image
from p3m_lightning.landmarks import FoundFace, read_landmarks, write_landmarks
from p3m_lightning.ops.faces import obfuscate
from p3m_lightning.privacy.anonymize_folder import Recipe, anonymize_folder, report_path
from p3m_lightning.schema import InputError

FACE = np.round(face_points((60, 60), 60), 1)
CALLS: list[int] = []


def find_faces(image: np.ndarray) -> list[np.ndarray]:
    """Stands for a detector: sees no face in dark images."""
    CALLS.append(1)
    return [FACE] if image.mean() > 64 else []


@dataclass(frozen=True)
class Looker:
    """A finder that says how it found a face, in every person it is shown."""

    def look(self, image: np.ndarray, person: np.ndarray | None) -> list[FoundFace]:
        return [FoundFace(FACE, "eyes", "head", 2.345, 30, 0.5)] if person is not None else []


def matte() -> np.ndarray:
    return np.tile(np.interp(np.arange(120), [70, 80], [255, 0]).astype(np.uint8), (120, 1))


@pytest.fixture
def folder(tmp_path) -> Path:
    write_image(tmp_path / "src/a.png", noise(120, 120, 1))
    write_image(tmp_path / "src/b.jpg", noise(120, 120, 2), quality=90)
    write_image(tmp_path / "src/dark.png", noise(120, 120, 3) // 4)
    for stem in ("a", "b", "dark"):
        write_image(tmp_path / f"mattes/{stem}.png", matte())
    CALLS.clear()
    return tmp_path


def anonymize(folder: Path, **options) -> dict:
    recipe = options.pop("recipe", Recipe(find_faces))
    return anonymize_folder(folder / "src", folder / "dst", recipe, workers=1, **options)


def test_images_are_obfuscated_and_masks_written(folder):
    entries = anonymize(folder, mattes=folder / "mattes", masks=folder / "masks")
    image = read_image(folder / "src/a.png")
    expected, mask = obfuscate(image, [FACE], matte())
    assert np.array_equal(read_image(folder / "dst/a.png"), expected)
    assert np.array_equal(read_matte(folder / "masks/a.png"), mask)
    assert entries["a"].status == "obfuscated"
    assert entries["a"].faces == 1
    assert 0.3 < entries["a"].kept < 0.9


def test_the_report_says_how_each_face_was_found(folder):
    anonymize(folder, recipe=Recipe(Looker()), mattes=folder / "mattes")
    report = json.loads(report_path(folder / "dst").read_text())
    how = {"detector": "eyes", "where": "head", "enlarged": 2.35, "turned": 30, "score": 0.5}
    assert report["images"]["dark"]["found"] == [how]
    assert report["found"] == {"eyes in the head": 3}


def test_finders_that_return_points_alone_are_reported_by_name(folder):
    write_landmarks(folder / "hand.json", {"b": [FACE]})
    entries = anonymize(folder, landmarks=folder / "hand.json")
    assert [found["detector"] for found in entries["a"].found] == ["find_faces"]
    assert entries["b"].found == []


def test_images_without_a_face_are_reported_and_not_copied(folder):
    entries = anonymize(folder)
    assert entries["dark"].status == "no face found"
    assert not (folder / "dst/dark.png").exists()
    report = json.loads(report_path(folder / "dst").read_text())
    assert report["images"]["dark"]["status"] == "no face found"
    assert report["summary"] == {"no face found": 1, "obfuscated": 2}
    assert "dark" not in report["landmarks"]


def test_images_without_a_face_are_copied_on_request(folder):
    entries = anonymize(folder, recipe=Recipe(find_faces, copy_unfound=True))
    assert entries["dark"].status == "no face found"
    assert np.array_equal(read_image(folder / "dst/dark.png"), read_image(folder / "src/dark.png"))


def test_landmarks_by_hand_go_before_the_finder(folder):
    write_landmarks(folder / "hand.json", {"a": [FACE + 20], "dark": []})
    entries = anonymize(folder, landmarks=folder / "hand.json", masks=folder / "masks")
    assert len(CALLS) == 1  # b alone
    assert entries["dark"].status == "declared without a face"
    assert np.array_equal(read_image(folder / "dst/dark.png"), read_image(folder / "src/dark.png"))
    assert not read_matte(folder / "masks/dark.png").any()
    image = read_image(folder / "src/a.png")
    assert np.array_equal(read_image(folder / "dst/a.png"), obfuscate(image, [FACE + 20])[0])


def test_the_reported_landmarks_are_those_that_were_used(folder, monkeypatch):
    monkeypatch.setitem(find_faces.__globals__, "FACE", FACE + 0.4499)
    anonymize(folder)
    (face,) = read_landmarks(report_path(folder / "dst"))["a"]
    image = read_image(folder / "src/a.png")
    assert np.array_equal(read_image(folder / "dst/a.png"), obfuscate(image, [face])[0])


def test_a_jpeg_keeps_its_tables(folder):
    anonymize(folder)
    with Image.open(folder / "src/b.jpg") as before, Image.open(folder / "dst/b.jpg") as after:
        assert after.format == "JPEG"
        assert after.quantization == before.quantization


def test_png_output_keeps_every_pixel_outside_the_face(folder):
    anonymize(folder, output_format="png", masks=folder / "masks")
    outside = read_matte(folder / "masks/b.png") == 0
    changed = (read_image(folder / "src/b.jpg") != read_image(folder / "dst/b.png")).any(axis=2)
    assert not (changed & outside).any()
    assert changed[~outside].mean() > 0.9


def test_metadata_stays_behind_but_the_color_profile_and_the_rotation_are_kept(folder):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    exif[0x010F] = "maker"
    exif.get_ifd(0x8825)[1] = "N"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Image.fromarray(noise(120, 90))
    picture.save(folder / "src/b.jpg", exif=exif, icc_profile=profile, comment=b"who")
    anonymize(folder)
    with Image.open(folder / "dst/b.jpg") as after:
        assert not after.getexif()
        assert "comment" not in after.info
        assert after.info["icc_profile"] == profile
        assert after.size == (120, 90)


def test_a_second_run_does_nothing_and_a_correction_redoes_one_image(folder):
    anonymize(folder)
    times = {name: (folder / "dst" / name).stat().st_mtime_ns for name in ("a.png", "b.jpg")}
    anonymize(folder)
    assert len(CALLS) == 3
    landmarks = read_landmarks(report_path(folder / "dst"))
    write_landmarks(folder / "hand.json", {"a": [landmarks["a"][0] + 5]})
    anonymize(folder, landmarks=folder / "hand.json")
    assert len(CALLS) == 3
    assert (folder / "dst/a.png").stat().st_mtime_ns > times["a.png"]
    assert (folder / "dst/b.jpg").stat().st_mtime_ns == times["b.jpg"]


def test_changed_sources_and_lost_targets_are_done_again(folder):
    anonymize(folder)
    write_image(folder / "src/a.png", noise(120, 120, 9))
    (folder / "dst/b.jpg").unlink()
    anonymize(folder)
    assert len(CALLS) == 5
    assert np.array_equal(read_image(folder / "dst/a.png"), obfuscate(noise(120, 120, 9), [FACE])[0])
    assert (folder / "dst/b.jpg").exists()


def test_a_kill_in_between_loses_only_what_was_not_done(folder, monkeypatch):
    def stop_at_dark(image: np.ndarray) -> list[np.ndarray]:
        if image.mean() < 64:
            raise KeyboardInterrupt
        return find_faces(image)

    monkeypatch.setattr(stop_at_dark, "__qualname__", "find_faces", raising=False)
    with pytest.raises(KeyboardInterrupt):
        anonymize(folder, recipe=Recipe(stop_at_dark))
    assert json.loads(report_path(folder / "dst").read_text())["summary"] == {"obfuscated": 2}
    anonymize(folder)
    assert len(CALLS) == 3


def test_other_settings_or_foreign_files_are_not_mixed(folder):
    anonymize(folder)
    with pytest.raises(InputError, match="made with mode blur instead of zero"):
        anonymize(folder, recipe=Recipe(find_faces, "zero"))
    anonymize(folder, recipe=Recipe(find_faces, "zero"), overwrite=True)
    report_path(folder / "dst").unlink()
    with pytest.raises(InputError, match="exists without a report"):
        anonymize(folder)


def test_broken_files_are_reported_and_the_others_done(folder):
    (folder / "src/broken.jpg").write_bytes((folder / "src/b.jpg").read_bytes()[:500])
    entries = anonymize(folder)
    assert entries["broken"].status == "failed"
    assert "broken.jpg" in entries["broken"].reason
    assert entries["b"].status == "obfuscated"
    assert not list((folder / "dst").glob(".part-*"))


def test_mattes_that_do_not_fit_fail_alone(folder):
    write_image(folder / "mattes/a.png", matte()[:50])
    write_image(folder / "mattes/b.png", matte() // 255)
    entries = anonymize(folder, mattes=folder / "mattes")
    assert "120 x 50 pixels" in entries["a"].reason
    assert "multiply them by" in entries["b"].reason


def test_a_face_wholly_in_the_transition_area_is_not_passed_on(folder):
    write_image(folder / "mattes/a.png", np.full((120, 120), 128, np.uint8))
    entries = anonymize(folder, mattes=folder / "mattes")
    assert entries["a"].status == "face lies in the transition area"
    assert not (folder / "dst/a.png").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mattes": "src"}, "no matte for b.jpg"),
        ({"output_format": "gif"}, "'gif' is not one of same, png"),
        ({"landmarks": "none.json"}, "no such file"),
        ({"recipe": Recipe(find_faces, "smear")}, "'smear' is not one of"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_written(folder, change, message):
    if change.get("mattes"):
        write_image(folder / "only/a.png", matte())
        change = {"mattes": folder / "only"}
    with pytest.raises(InputError, match=message):
        anonymize(folder, **change)
    assert not (folder / "dst").exists()


def test_the_source_itself_is_refused_as_destination(folder):
    with pytest.raises(InputError, match="whose originals would be lost"):
        anonymize_folder(folder / "src", folder / "src", Recipe(find_faces), workers=1)


def test_images_of_one_name_are_refused(folder):
    write_image(folder / "src/a.jpg", noise(120, 120))
    with pytest.raises(InputError, match=r"a\.jpg and a\.png share a stem"):
        anonymize(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_destination_gives_a_clear_line(folder):
    (folder / "dst").mkdir()
    (folder / "dst").chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"):
        anonymize(folder)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_full_disk_stops_with_a_clear_line_and_no_half_file(tmp_path, suffix):
    write_image(tmp_path / f"src/a.{suffix}", noise(200, 200), **({"quality": 97} if suffix == "jpg" else {}))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # the write that crosses it comes out short first
    try:
        with pytest.raises(InputError, match=rf"a\.{suffix}: cannot be written"):
            anonymize(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "dst").iterdir()) == []


def test_command_prints_what_became_of_the_images(folder, capsys):
    write_landmarks(folder / "hand.json", {"a": [FACE], "b": [FACE], "dark": []})
    (folder / "src/broken.jpg").write_bytes(b"no image")
    arguments = ["data", "anonymize", str(folder / "src"), str(folder / "dst"), "--workers", "1", "--mode", "zero"]
    code = main([*arguments, "--landmarks", str(folder / "hand.json")])
    printed = capsys.readouterr()
    assert code == 2
    assert "2 of 4 images obfuscated, 2 faces" in printed.out
    assert "1 failed, not written:" in printed.out
    assert "broken.jpg" in printed.out
    assert read_image(folder / "dst/a.png")[60, 60].max() == 0


def test_a_folder_without_faces_gives_one_line(tmp_path, capsys):
    pytest.importorskip("dlib")
    for name in ("a", "b"):
        write_image(tmp_path / f"src/{name}.png", np.full((32, 32, 3), 90, np.uint8))
    arguments = ["data", "anonymize", str(tmp_path / "src"), str(tmp_path / "dst"), "--workers", "1"]
    code = main([*arguments, "--detector", "hog"])
    printed = capsys.readouterr()
    assert code == 2
    assert "no face found in any of the 2 images" in printed.err.splitlines()[-1]
    assert printed.out == ""
