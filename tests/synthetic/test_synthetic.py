"""Synthetic portraits: everything known exactly, the same bytes for the same seed, the layout of P3M-10k on disk."""

import hashlib
import json

import cv2
import numpy as np
import pytest

from p3m_lightning.cli import main
from p3m_lightning.images import read_image, read_matte
from p3m_lightning.landmarks import read_landmarks
from p3m_lightning.ops.faces import face_size, private_area
from p3m_lightning.ops.matting import trimap_from_alpha
from p3m_lightning.schema import BACKGROUND, FOREGROUND, UNKNOWN, InputError
from p3m_lightning.synthetic import render_portrait, synthesize
from p3m_lightning.synthetic.camera import continue_colors
from p3m_lightning.synthetic.dataset import MANIFEST, trimap_kernel
from p3m_lightning.synthetic.painting.plate import Plate, fixed_point
from p3m_lightning.synthetic.person import head
from p3m_lightning.synthetic.person.view import look_at

SIZE = 128


@pytest.fixture(scope="module")
def portraits():
    return [render_portrait(seed, SIZE) for seed in range(16)]


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    return synthesize(tmp_path_factory.mktemp("sets") / "one", train=2, test=1, size=96, seed=5, workers=1)


def digests(root):
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others(portraits):
    again = render_portrait(3, SIZE)
    for here, there in zip(portraits[3], again, strict=True):
        np.testing.assert_array_equal(here, there)
    assert not np.array_equal(portraits[3].image, portraits[4].image)
    assert not np.array_equal(portraits[3].alpha, portraits[4].alpha)


def test_the_image_is_the_composite_of_its_layers_and_noise(portraits):
    for portrait in portraits:
        alpha = portrait.alpha[..., None] / 255
        composite = alpha * portrait.foreground + (1 - alpha) * portrait.background
        inner = np.abs(composite - 127.5) < 90  # noise is cut at black and white
        residual = (portrait.image - composite)[inner]
        assert abs(residual.mean()) < 0.3
        expected = np.hypot(portrait.noise, 12**-0.5)  # rounding is noise too
        assert residual.std() == pytest.approx(expected, rel=0.25)


def test_mattes_have_soft_pixels_of_every_opacity(portraits):
    shares, histogram = [], np.zeros(10)
    for portrait in portraits:
        soft = portrait.alpha[(portrait.alpha > 0) & (portrait.alpha < 255)]
        unknown = trimap_from_alpha(portrait.alpha, trimap_kernel(SIZE)) == UNKNOWN
        shares.append(soft.size / unknown.sum())
        histogram += np.histogram(soft, 10, (1, 255))[0]
    assert np.median(shares) > 0.3
    assert (histogram / histogram.sum() > 0.025).all()
    for portrait in portraits:
        assert (portrait.alpha == 255).mean() > 0.02
        assert (portrait.alpha == 0).mean() > 0.05


def test_hair_is_thinner_than_a_pixel():
    # a strand of its own is a ridge: brighter than both sides of it, yet nowhere opaque
    ridges = 0
    for seed in range(8):
        alpha = render_portrait(seed, 256).alpha.astype(int)
        middle, sides = alpha[1:-1, 1:-1], np.maximum(alpha[1:-1, :-2], alpha[1:-1, 2:])
        ridges += ((middle > sides + 12) & (middle < 230)).sum()
    assert ridges > 400


def test_foreground_colors_continue_where_there_is_no_foreground(portraits):
    for portrait in portraits:
        outside = (portrait.alpha == 0).astype(np.uint8)
        distance, nearest = cv2.distanceTransformWithLabels(
            (portrait.alpha < 200).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        colors = np.zeros((nearest.max() + 1, 3))
        solid = portrait.alpha >= 200
        colors[nearest[solid]] = portrait.foreground[solid]
        rim = (outside > 0) & (distance < 6)
        continued = np.abs(portrait.foreground[rim] - colors[nearest[rim]]).mean()
        assert continued < 30


def test_landmarks_lie_on_the_face_in_the_order_of_300w(portraits):
    for portrait in portraits:
        points = portrait.landmarks
        assert points.shape == (68, 2)
        assert ((points > -0.1 * SIZE) & (points < 1.1 * SIZE)).all()
        at = np.clip(np.rint(points).astype(int), 0, SIZE - 1)
        assert (portrait.alpha[at[:, 1], at[:, 0]] > 127).mean() > 0.9
        down = points[8] - points[27]  # from the bridge of the nose to the chin
        down /= np.linalg.norm(down)
        heights = points @ down
        assert heights[17:27].mean() < heights[36:48].mean() < heights[30] < heights[48:68].mean() < heights[8]
        across = points @ np.array([down[1], -down[0]])
        for left, right in ((0, 16), (17, 26), (36, 45), (39, 42), (31, 35), (48, 54)):
            assert across[left] < across[right]


@pytest.mark.parametrize("yaw", [-0.6, 0.0, 0.6])
def test_a_turned_head_shows_its_nose_to_that_side_and_its_jaw_on_the_outline(yaw):
    face = head.draw_face(np.random.default_rng(4))
    relief = head.make_relief(face)
    pose = head.Pose(head.rotation(yaw, 0.05, 0.1), np.array([150.0, 150.0]), 100.0)
    points = pose.view(head.landmarks(face, relief, pose.rotation))
    between = (points[0, 0] + points[16, 0]) / 2
    assert np.sign(round(points[30, 0] - between, -1)) == np.sign(yaw)
    view = look_at(relief, pose)
    silhouette = (view.depth > -8).astype(np.uint8)
    inside = cv2.distanceTransform(silhouette, cv2.DIST_L2, 5) * view.step  # plate pixels to the outline
    for side in (slice(2, 6), slice(11, 15)) if yaw == 0 else (slice(2, 6) if yaw < 0 else slice(11, 15),):
        at = np.floor((points[side, :2] - view.corner) / view.step).astype(int)
        assert (inside[at[:, 1], at[:, 0]] < 14).all()


def test_paint_on_a_plate_is_premultiplied_and_laid_over_what_is_there():
    plate, veil = Plate(64), Plate(64)
    line = [fixed_point(np.array([[3.3, 10.2], [60.1, 41.7]]))]
    veil.stroke(line, (200, 100, 50))
    cover = veil.pixels[..., 3:].astype(float) / 255
    assert np.unique(cover).size > 20
    np.testing.assert_allclose(veil.pixels[..., :3], cover * (200, 100, 50), atol=3)
    ground = np.full((64, 64), 0.5, np.float32)
    plate.lay(np.s_[0:64, 0:64], np.array([10, 20, 240]), ground)
    plate.over(veil, 0.5)
    expected = 0.5 * cover * (200, 100, 50) + (1 - 0.5 * cover) * np.array([5, 10, 120])
    np.testing.assert_allclose(plate.pixels[..., :3], expected, atol=3)
    np.testing.assert_allclose(plate.pixels[..., 3:] / 255, 0.5 * cover + (1 - 0.5 * cover) * 0.5, atol=0.02)


def test_continued_colors_are_the_own_ones_where_there_are_any():
    rng = np.random.default_rng(0)
    alpha = np.zeros((40, 50, 1), np.float32)
    alpha[10:20, 5:30] = rng.uniform(0.3, 1, (10, 25, 1))
    color = np.array([0.8, 0.3, 0.1], np.float32)
    np.testing.assert_allclose(
        continue_colors(np.dstack([color * alpha, alpha])), np.broadcast_to(color, (40, 50, 3)), atol=1e-5
    )


def test_portraits_go_from_close_up_to_full_figure():
    sizes = np.array([face_size(render_portrait(seed, 64).landmarks) for seed in range(30)]) / 64
    assert sizes.max() > 0.3
    assert sizes.min() < 0.09
    assert 0.1 < np.median(sizes) < 0.35


@pytest.mark.parametrize("size", [64, 97])
def test_any_size_shows_the_same_person(size):
    small, large = render_portrait(7, size), render_portrait(7, 2 * size)
    assert small.image.shape == small.foreground.shape == small.background.shape == (size, size, 3)
    np.testing.assert_allclose((small.landmarks + 0.5) * 2 - 0.5, large.landmarks, atol=1e-6)
    shrunk = cv2.resize(large.alpha, (size, size), interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(int) - small.alpha).mean() < 8


def test_the_set_has_the_layout_of_p3m_10k(data_set):
    folders = {str(path.relative_to(data_set)) for path in data_set.rglob("*") if path.is_dir()}
    train = "blurred_image original_image mask fg fg_blurred bg facemask landmarks"
    private = "blurred_image original_image mask trimap facemask landmarks"
    expected = {"train", "validation", "validation/P3M-500-P", "validation/P3M-500-NP"}
    expected |= {f"train/{name}" for name in train.split()}
    expected |= {f"validation/P3M-500-P/{name}" for name in private.split()}
    expected |= {f"validation/P3M-500-NP/{name}" for name in ("original_image", "mask", "trimap", "landmarks")}
    assert folders == expected
    for folder in expected:
        files = sorted((data_set / folder).glob("*.*"))
        stems = {path.stem for path in files}
        if folder.startswith("train/"):
            assert stems == {"train_00000", "train_00001"}
        elif folder.count("/") == 2:
            assert len(stems) == 1
        suffix = {"image": ".jpg", "bg": ".jpg", "landmarks": ".json"}.get(folder.split("/")[-1].split("_")[-1], ".png")
        assert {path.suffix for path in files} <= {suffix}


def test_files_hold_what_was_rendered(data_set):
    root = data_set / "validation" / "P3M-500-P"
    alpha = read_matte(root / "mask" / "p_00000.png")
    assert alpha.shape == (96, 96)
    assert alpha.dtype == np.uint8
    trimap = read_matte(root / "trimap" / "p_00000.png")
    expected = trimap_from_alpha(alpha, trimap_kernel(96))
    for code, value in ((0, BACKGROUND), (128, UNKNOWN), (255, FOREGROUND)):
        np.testing.assert_array_equal(trimap == code, expected == value)
    home = data_set / "train"
    image = read_image(home / "original_image" / "train_00000.jpg").astype(float)
    share = read_matte(home / "mask" / "train_00000.png")[..., None] / 255
    foreground = read_image(home / "fg" / "train_00000.png")
    background = read_image(home / "bg" / "train_00000.jpg")
    assert np.abs(share * foreground + (1 - share) * background - image).mean() < 8  # noise and JPEG


def test_faces_are_blurred_inside_the_face_mask_and_nowhere_else(data_set):
    home = data_set / "train"
    landmarks = read_landmarks(home / "landmarks")
    for stem in ("train_00000", "train_00001"):
        intact, blurred = (read_image(home / name / f"{stem}.jpg") for name in ("original_image", "blurred_image"))
        face, alpha = read_matte(home / "facemask" / f"{stem}.png"), read_matte(home / "mask" / f"{stem}.png")
        assert face.any()
        assert (alpha[face > 0] == 255).all()
        (points,) = landmarks[stem]
        area = cv2.dilate(private_area(points, face.shape), np.ones((3, 3)))  # files round landmarks to a tenth
        assert (area[face > 0] == 255).all()
        beyond = cv2.dilate(face, np.ones((33, 33))) == 0  # JPEG works in blocks of up to 16 pixels
        np.testing.assert_array_equal(intact[beyond], blurred[beyond])
        foreground = read_image(home / "fg" / f"{stem}.png")
        hidden = read_image(home / "fg_blurred" / f"{stem}.png")
        np.testing.assert_array_equal(foreground[face == 0], hidden[face == 0])
        assert np.abs(hidden[face > 0] - blurred[face > 0].astype(float)).mean() < 6


def test_aligned_portraits_have_every_face_at_the_same_place():
    faces = [render_portrait(seed, 64, "aligned").landmarks / 64 for seed in range(12)]
    eyes = np.array([face[36:48].mean(axis=0) for face in faces])
    assert np.ptp(eyes[:, 0]) < 0.2  # heads turn
    assert np.ptp(eyes[:, 1]) < 0.1
    assert np.ptp([face_size(face) for face in faces]) < 0.1
    mixed = np.array([render_portrait(seed, 64).landmarks[36:48].mean(axis=0) for seed in range(12)]) / 64
    assert np.ptp(mixed[:, 1]) > 0.2


def test_bytes_depend_neither_on_workers_nor_on_the_number_of_portraits(data_set, tmp_path):
    other = synthesize(tmp_path / "two", train=3, test=1, size=96, seed=5, workers=2)
    here, there = digests(data_set), digests(other)
    here.pop(MANIFEST)
    assert len(there) == len(here) + 9
    assert {name: there[name] for name in here} == here


def test_a_finished_set_is_left_alone_and_a_broken_one_completed(data_set):
    before = digests(data_set)
    times = {path: path.stat().st_mtime_ns for path in data_set.rglob("*.*")}
    synthesize(data_set, train=2, test=1, size=96, seed=5, workers=1)
    assert times == {path: path.stat().st_mtime_ns for path in data_set.rglob("*.*")}
    (data_set / "train" / "fg" / "train_00001.png").unlink()
    synthesize(data_set, train=2, test=1, size=96, seed=5, workers=1)
    assert digests(data_set) == before


def test_a_set_of_other_parameters_is_refused_and_replaced_on_demand(tmp_path):
    root = synthesize(tmp_path / "set", train=1, test=0, size=64, workers=1)
    before = digests(root)
    with pytest.raises(InputError, match=r"seed 0 instead of 1; use --overwrite"):
        synthesize(root, train=1, test=0, size=64, seed=1, workers=1)
    assert digests(root) == before
    synthesize(root, train=1, test=0, size=64, seed=1, workers=1, overwrite=True)
    after = digests(root)
    assert after.keys() == before.keys()
    assert after["train/mask/train_00000.png"] != before["train/mask/train_00000.png"]
    assert json.loads((root / MANIFEST).read_text())["seed"] == 1
    with pytest.raises(InputError, match="framing None instead of aligned"):
        synthesize(root, train=1, test=0, size=64, seed=1, framing="aligned", workers=1)


def test_a_folder_of_something_else_is_never_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="not made by this command"):
            synthesize(tmp_path, train=1, test=0, overwrite=overwrite)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 20}, "size: 20"),
        ({"train": -1}, "train: -1"),
        ({"seed": -3}, "seed: -3"),
        ({"workers": 0}, "workers: 0"),
        ({"framing": "wide"}, "framing: .wide"),
    ],
)
def test_impossible_parameters_are_refused_before_anything_is_written(tmp_path, wrong, message):
    with pytest.raises(InputError, match=message):
        synthesize(tmp_path / "set", **wrong)
    assert not (tmp_path / "set").exists()


def test_the_command_prints_the_folder_and_refuses_in_one_line(tmp_path, capsys):
    command = [
        "data",
        "synthesize",
        str(tmp_path / "set"),
        "--train",
        "1",
        "--test",
        "0",
        "--size",
        "64",
        "--workers",
        "1",
    ]
    assert main(command) == 0
    assert capsys.readouterr().out.strip().endswith("set")
    assert main([*command, "--seed", "1"]) == 2
    assert capsys.readouterr().err.strip().count("\n") == 0


def test_a_set_that_is_continued_keeps_no_half_written_files(tmp_path):
    options = {"train": 1, "test": 0, "size": 64, "workers": 1}
    root = synthesize(tmp_path / "set", **options)
    missing, leftover = root / "train/mask/train_00000.png", root / "train/mask/.part-of-a-killed-run.png"
    assert missing.is_file()
    missing.unlink()
    leftover.write_bytes(b"half")
    synthesize(root, **options)
    assert missing.is_file()
    assert not leftover.exists()


@pytest.mark.parametrize(
    "wrong",
    [{"size": 1}, {"size": 63}, {"size": 64.5}, {"seed": -1}, {"seed": "a"}, {"framing": "foo"}, {"framing": ""}],
)
def test_portraits_that_cannot_be_rendered_are_refused_by_name(wrong):
    ((key, value),) = wrong.items()
    with pytest.raises(InputError, match=f"^{key}={value}: "):
        render_portrait(**{"seed": 3, "size": 64} | wrong)
