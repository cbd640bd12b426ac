from random import Random

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from p3m_lightning.images import write_image
from p3m_lightning.models import create_model
from p3m_lightning.models.box import load_box
from p3m_lightning.models.weights import save_weights
from p3m_lightning.quality import Judge, Quality, judge_folder
from p3m_lightning.quality.corruptions import corrupt
from p3m_lightning.quality.judge import HEAD_FILE, error_picture, load_head
from p3m_lightning.quality.network import create_head
from p3m_lightning.schema import InputError
from p3m_lightning.synthetic import render_portrait

SIZE = 160


@pytest.fixture(scope="module")
def judge():
    return Judge(device="cpu")


@pytest.fixture(scope="module")
def portrait():
    return render_portrait(902, SIZE)  # no picture of the training set


def faulty(alpha):
    """Mattes of one portrait from right to wrong."""
    half, empty = alpha.copy(), np.zeros_like(alpha)
    half[:, SIZE // 2 :] = 0
    return [alpha, half, 255 - alpha, empty]


def test_the_true_matte_is_better_than_a_half_one_and_than_an_inverted_one(judge, portrait):
    right, half, inverted, empty = (judge(portrait.image, alpha).mean for alpha in faulty(portrait.alpha))
    assert right < 0.5 * half
    assert half < inverted
    assert right < 0.5 * empty


def test_the_ranking_follows_the_true_errors_of_unseen_portraits(judge):
    true, predicted = [], []
    for seed in range(903, 909):
        portrait = render_portrait(seed, SIZE)
        alpha = (portrait.alpha / 255).astype(np.float32)
        for index in range(4):
            made = corrupt(alpha, portrait.image, Random(f"{seed} {index}"), most=2)
            true.append(np.abs(made - alpha).mean())
            predicted.append(judge(portrait.image, made).mean)
    assert spearmanr(true, predicted).statistic > 0.8


def test_the_map_shows_where_a_half_is_missing(judge, portrait):
    errors = judge(portrait.image, faulty(portrait.alpha)[1]).errors
    width = errors.shape[1]
    assert errors[:, width // 2 :].mean() > 4 * errors[:, : width // 2].mean()


def test_the_sad_is_the_mean_error_times_the_pixels(judge, portrait):
    quality = judge(portrait.image, portrait.alpha)
    assert quality.mean == pytest.approx(quality.errors.mean())
    assert quality.sad == pytest.approx(quality.mean * SIZE**2 / 1000)


@pytest.mark.parametrize("kind", ["uint16", "float32"])
def test_the_kind_of_numbers_does_not_matter(judge, portrait, kind):
    alpha = portrait.alpha
    other = alpha.astype(np.uint16) * 257 if kind == "uint16" else (alpha / 255).astype(np.float32)
    assert judge(portrait.image, other).mean == pytest.approx(judge(portrait.image, alpha).mean, rel=0.02)


def test_image_and_matte_of_two_sizes_are_refused(judge, portrait):
    with pytest.raises(InputError, match="image and matte differ in size: 160 x 160 and 160 x 80 pixels"):
        judge(portrait.image, portrait.alpha[:80])


def test_a_folder_goes_on_past_bad_files(judge, portrait, tmp_path):
    for name in ("a", "b", "c"):
        write_image(tmp_path / f"photos/{name}.png", portrait.image)
        write_image(tmp_path / f"mattes/{name}.png", portrait.alpha)
    (tmp_path / "mattes/b.png").write_bytes(b"no picture")
    write_image(tmp_path / "mattes/d.png", portrait.alpha)
    judged = dict(judge_folder(judge, tmp_path / "mattes", tmp_path / "photos"))
    assert list(judged) == ["a", "b", "c", "d"]
    assert [name for name, one in judged.items() if isinstance(one, Quality)] == ["a", "c"]
    assert "b.png" in str(judged["b"])
    assert str(judged["d"]).startswith("no photograph in")


def test_the_head_in_the_box_is_small():
    assert HEAD_FILE.stat().st_size < 1e6


def test_a_head_is_loaded_as_it_was_saved(tmp_path):
    net = load_box()[0]
    torch.manual_seed(0)
    head = create_head(net, 8)
    save_weights(head, {"model": {"name": "quality", "width": 8, "short_side": 64}}, tmp_path / "head.safetensors")
    loaded, short_side = load_head(tmp_path / "head.safetensors", net)
    assert short_side == 64
    assert all((a == b).all() for a, b in zip(head.state_dict().values(), loaded.state_dict().values(), strict=True))


def test_a_checkpoint_of_a_matting_network_is_refused(tmp_path):
    config = {"model": {"name": "modnet", "width": 0.125}}
    save_weights(create_model("modnet", width=0.125), config, tmp_path / "net.safetensors")
    with pytest.raises(
        InputError, match=r"net.safetensors: holds a network called modnet; give a checkpoint of p3m qu"
    ):
        Judge(tmp_path / "net.safetensors")


def test_errors_are_drawn_in_red_over_grey():
    image = np.full((8, 12, 3), (10, 200, 60), np.uint8)
    drawn = error_picture(image, np.zeros((2, 3), np.float32))
    assert (drawn == drawn[..., :1]).all()
    red = error_picture(image, np.ones((2, 3), np.float32))
    assert (red == (224, 16, 32)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.astype(float), r"^alpha: from 0 to 255; give floats in \[0, 1\]"),
        (lambda a: np.full(a.shape, np.nan), "^alpha: from nan to nan"),
        (lambda a: a / 255 - 0.1, r"^alpha: from -0\.1 to 0\.9"),
        (lambda a: a > 0, "^alpha: bool"),
        (lambda a: a.astype(np.int64), "^alpha: int64"),
        (lambda a: a[..., None], r"^alpha: uint8 \(160, 160, 1\)"),
    ],
)
def test_mattes_of_another_kind_are_refused_by_name(judge, portrait, change, message):
    with pytest.raises(InputError, match=message):
        judge(portrait.image, change(portrait.alpha))


@pytest.mark.parametrize("change", [lambda i: i / 255, lambda i: i[..., 0], lambda i: i[..., :1], lambda i: i > 9])
def test_images_of_another_kind_are_refused_by_name(judge, portrait, change):
    with pytest.raises(InputError, match=r"^image: .*; give RGB as uint8 or uint16"):
        judge(change(portrait.image), portrait.alpha)


def test_a_judge_draws_no_random_numbers():
    before = torch.get_rng_state()
    Judge(device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
