import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from p3m_lightning.data.cards import DATASETS
from p3m_lightning.data.datasets import ImageDataset, MattingDataset, SeededIndex, names_to_hold_out
from p3m_lightning.data.transforms import EvalTransform, TrainTransform, UnknownBandCrop
from p3m_lightning.images import read_image, read_matte, write_image
from p3m_lightning.schema import UNKNOWN, InputError

SIZE = (40, 50)


def disk(value=255):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.clip((15 - np.hypot(y - 20, x - 25)) * 60, 0, value).astype(np.uint8)


def fill(root, folder, names="abc", pixels=None, suffix=None):
    """Write an image for each name; color folders get JPEG, the others PNG."""
    color = pixels is None
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8) if color else pixels
    for name in names:
        write_image(root / folder / f"{name}{suffix or ('.jpg' if color else '.png')}", pixels)


@pytest.fixture
def p3m(tmp_path):
    """P3M-10k as of 2024, three training portraits and one in each test set."""
    root = tmp_path / "p3m"
    for folder in ("train/blurred_image", "train/bg"):
        fill(root, folder)
    fill(root, "train/fg_blurred", suffix=".png")
    fill(root, "train/mask", pixels=disk())
    fill(root, "train/facemask", "ab", pixels=disk(200))
    for split, images in (("P3M-500-P", "blurred_image"), ("P3M-500-NP", "original_image")):
        fill(root, f"validation/{split}/{images}", "x")
        fill(root, f"validation/{split}/mask", "x", pixels=disk())
        fill(root, f"validation/{split}/trimap", "x", pixels=np.full(SIZE, 128, np.uint8))
    return root


def crop():
    return TrainTransform(UnknownBandCrop(sides=(16, 24), size=16, kernels=(3, 5)))


def test_both_generations_of_p3m_and_test_sets_under_the_root_are_read(p3m):
    assert MattingDataset(p3m).names == ["a", "b", "c"]
    assert MattingDataset(p3m, split="P3M-500-NP").files["x"]["image"].parent.name == "original_image"
    shutil.rmtree(p3m / "train/fg_blurred")
    shutil.rmtree(p3m / "train/bg")
    assert len(MattingDataset(p3m)) == 3
    for folder in list((p3m / "validation").iterdir()):
        folder.rename(p3m / folder.name)
    (p3m / "validation").rmdir()
    assert MattingDataset(p3m, split="P3M-500-P").names == ["x"]


@pytest.mark.parametrize("name", [name for name, card in DATASETS.items() if not card.images_only])
def test_every_data_set_is_read_in_the_layout_of_its_card(tmp_path, name):
    card = DATASETS[name]
    for split, facts in card.splits.items():
        folder = tmp_path / split / facts.folders[0]
        fill(folder, card.image[0])
        fill(folder, card.alpha[0], pixels=disk())
        sample = MattingDataset(tmp_path / split, name, split)[0]
        assert sample["alpha"].shape == (1, *SIZE)
    assert card.license
    assert card.source


@pytest.mark.parametrize("name", DATASETS)
def test_every_card_is_told_to_users(name):
    pages = Path(__file__).parents[2] / "docs/data.md"
    assert f"| `{name}` |" in pages.read_text()


@pytest.mark.parametrize("name", [name for name, card in DATASETS.items() if card.images_only])
def test_sets_of_images_alone_give_images_and_refuse_to_give_mattes(tmp_path, name):
    folder = tmp_path / DATASETS[name].splits["train"].folders[0]
    fill(folder, "00000" if DATASETS[name].nested else "")
    dataset = ImageDataset(tmp_path, name)
    assert dataset[1]["image"].shape == (3, *SIZE)
    assert dataset[SeededIndex(1, 0)]["name"] == "b"
    with pytest.raises(InputError, match="images only"):
        MattingDataset(tmp_path, name)


def test_an_evaluation_sample_holds_what_the_files_hold(p3m):
    sample = MattingDataset(p3m, split="P3M-500-P")[0]
    files = MattingDataset(p3m, split="P3M-500-P").files["x"]
    assert np.array_equal((sample["image"] * 255).round().permute(1, 2, 0).numpy(), read_image(files["image"]))
    assert np.array_equal((sample["alpha"][0] * 255).round().numpy(), read_matte(files["alpha"]))
    assert (sample["trimap"] == UNKNOWN).all()
    assert sample["name"] == "x"


def test_the_folder_of_images_can_be_chosen(p3m):
    fill(p3m, "train/original_image")
    assert MattingDataset(p3m).files["a"]["image"].parent.name == "blurred_image"
    assert MattingDataset(p3m, images="original_image").files["a"]["image"].parent.name == "original_image"
    with pytest.raises(InputError, match="images"):
        MattingDataset(p3m, images="sketch")


def test_blurred_images_take_the_foregrounds_made_of_blurred_images_first(p3m):
    fill(p3m, "train/fg", suffix=".png")
    fill(p3m, "train/original_image")
    for images, folder in (("blurred_image", "fg_blurred"), ("original_image", "fg")):
        files = MattingDataset(p3m, images=images, foreground="cached").files["a"]
        assert files["foreground"].parent.name == folder
        assert files["background"].parent.name == "bg"
    shutil.rmtree(p3m / "train/fg_blurred")
    assert MattingDataset(p3m, foreground="cached").files["a"]["foreground"].parent.name == "fg"


def test_a_cache_elsewhere_is_found_and_a_missing_foreground_names_the_command(p3m, tmp_path):
    (p3m / "train/fg_blurred").rename(tmp_path / "moved")
    with pytest.raises(InputError, match="p3m data foregrounds"):
        MattingDataset(p3m, foreground="cached")
    (tmp_path / "cache/train").mkdir(parents=True)
    (tmp_path / "moved").rename(tmp_path / "cache/train/fg_blurred")
    files = MattingDataset(p3m, foreground="cached", cache=tmp_path / "cache").files["b"]
    assert files["foreground"] == tmp_path / "cache/train/fg_blurred/b.png"
    assert files["background"] == p3m / "train/bg/b.jpg"


def test_foregrounds_of_crops_are_estimated_only_where_there_are_none(p3m):
    (p3m / "train/fg_blurred/b.png").unlink()
    dataset = MattingDataset(p3m, transform=crop(), foreground="crop")
    assert {"foreground", "background"} <= dataset[SeededIndex(1, 5)].keys()
    assert "foreground" not in MattingDataset(p3m, transform=crop())[0]


def test_face_masks_are_black_where_there_is_none(p3m):
    faces = [MattingDataset(p3m, face=True)[index]["face"] for index in range(3)]
    assert [bool(face.any()) for face in faces] == [True, True, False]
    assert faces[2].shape == faces[0].shape


def test_a_draw_fixes_a_sample_and_a_plain_index_follows_torch(p3m):
    dataset = MattingDataset(p3m, transform=crop())
    assert torch.equal(dataset[SeededIndex(0, 3)]["image"], dataset[SeededIndex(0, 3)]["image"])
    assert len({dataset[SeededIndex(0, seed)]["image"].sum().item() for seed in range(6)}) > 1
    torch.manual_seed(1)
    first = dataset[0]["image"]
    torch.manual_seed(1)
    assert torch.equal(first, dataset[0]["image"])


@pytest.mark.parametrize("limit", [2, np.int64(2)])
def test_a_limit_takes_the_first_names(p3m, limit):
    assert MattingDataset(p3m, limit=limit).names == ["a", "b"]
    assert MattingDataset(p3m, limit=50 * limit).names == MattingDataset(p3m, limit=None).names == ["a", "b", "c"]


@pytest.mark.parametrize("limit", ["2", -1, 0, 1.5, 2.0, True, [2]])
def test_a_limit_that_is_no_number_of_samples_is_refused(p3m, limit):
    for make in (MattingDataset, lambda root, **more: ImageDataset(root / "train/blurred_image", "images", **more)):
        with pytest.raises(InputError, match=r"limit=.*: give a whole number from 1 up, or null for all"):
            make(p3m, limit=limit)


def test_companions_of_other_sizes_are_refused_by_the_probability(p3m):
    write_image(p3m / "train/blurred_image/a.jpg", np.zeros((30, 20, 3), np.uint8))
    write_image(p3m / "train/mask/a.png", disk()[:30, :20])
    dataset = MattingDataset(p3m, transform=EvalTransform(), p_companion=1.0)
    with pytest.raises(InputError, match=r"p_companion: .* use a transform to one size"):
        [dataset.maps(SeededIndex(0, seed)) for seed in range(20)]


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda root: (root / "train/mask/b.png").unlink(), "b.jpg"),
        (lambda root: (root / "train/blurred_image/b.jpg").unlink(), "b.png"),
        (lambda root: shutil.rmtree(root / "train/mask"), "mask"),
        (lambda root: shutil.rmtree(root / "train"), "train"),
        (lambda root: shutil.rmtree(root), "no such folder"),
    ],
)
def test_an_incomplete_set_is_refused_by_the_name_of_what_is_missing(p3m, spoil, named):
    spoil(p3m)
    with pytest.raises(InputError, match=named):
        MattingDataset(p3m)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda root: write_image(root / "train/mask/a.png", disk()[:-1]), "50 x 39"),
        (lambda root: (root / "train/mask/a.png").write_bytes(b"no picture"), "a.png"),
        (lambda root: write_image(root / "train/mask/a.png", disk() // 255), "0 and 1"),
        (
            lambda root: (root / "train/blurred_image/a.jpg").write_bytes(
                (root / "train/blurred_image/a.jpg").read_bytes()[:700]
            ),
            "a.jpg",
        ),
        (lambda root: (root / "train/blurred_image/a.jpg").write_text("no picture"), "a.jpg"),
    ],
)
def test_a_broken_sample_is_refused_by_name_when_it_is_read(p3m, spoil, named):
    spoil(p3m)
    dataset = MattingDataset(p3m)
    with pytest.raises(InputError, match=named):
        dataset[0]
    assert dataset[1]["name"] == "b"


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "p3m"},
        {"name": None},
        {"name": ["p3m-10k"]},
        {"split": "test"},
        {"split": None},
        {"split": ["train"]},
        {"foreground": "yes"},
        {"split": "P3M-500-P", "images": "mask2"},
    ],
)
def test_wrong_names_are_refused(p3m, arguments):
    with pytest.raises(InputError):
        MattingDataset(p3m, **arguments)


def test_what_is_held_out_depends_on_the_names_alone():
    names = [f"p_{number:05d}" for number in range(1000)]
    held = names_to_hold_out(names, 0.1)
    assert len(held) == 100
    assert names_to_hold_out(names[::-1], 0.1) == held
    assert set(names_to_hold_out(names[:500], 0.1)) <= set(names_to_hold_out(names, 0.3))
    assert len(names_to_hold_out(names, 20)) == 20
    assert len(names_to_hold_out(names[:3], 0.01)) == 1
    assert len(names_to_hold_out(names[:3], 50)) == 1
    for wrong in ((names[:1], 0.1), (names, -1)):
        with pytest.raises(InputError):
            names_to_hold_out(*wrong)


def test_the_two_parts_of_a_set_share_nothing_and_make_the_whole(p3m):
    whole = MattingDataset(p3m, transform=crop())
    rest, held = whole.hold_out(1, transform=MattingDataset(p3m).transform)
    assert sorted(rest.names + held.names) == whole.names
    assert not set(rest.names) & set(held.names)
    assert rest[0]["image"].shape == (3, 16, 16)
    assert held[0]["image"].shape == (3, *SIZE)
    assert whole[0]["image"].shape == (3, 16, 16)


def test_people_held_out_have_no_companion(portraits):
    everyone = MattingDataset(
        portraits, "synthetic", transform=TrainTransform(UnknownBandCrop([96], 64, (7, 15))), p_companion=1.0
    )
    rest, held = everyone.hold_out(2, EvalTransform())
    alone = MattingDataset(portraits, "synthetic", transform=EvalTransform())
    assert (rest.p_companion, len(held)) == (1.0, 2)
    maps, name = held.maps(0)
    assert np.array_equal(maps["alpha"], alone.maps(alone.names.index(name))[0]["alpha"])


def test_a_companion_comes_as_often_as_asked_and_by_the_seed(portraits):
    alone = MattingDataset(portraits, "synthetic", transform=TrainTransform(UnknownBandCrop([96], 64, (7, 15))))
    often = MattingDataset(
        portraits, "synthetic", transform=TrainTransform(UnknownBandCrop([96], 64, (7, 15))), p_companion=0.5
    )
    changed = 0
    for seed in range(20):
        one, two = alone[SeededIndex(0, seed)], often[SeededIndex(0, seed)]
        assert torch.equal(two["image"], often[SeededIndex(0, seed)]["image"])
        assert (two["alpha"] >= one["alpha"] - 1e-6).all()
        changed += not torch.equal(one["image"], two["image"])
    assert 4 <= changed <= 16
