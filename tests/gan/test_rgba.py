"""Portraits with mattes for a GAN: every layout, and the endless order in which they are shown."""

import numpy as np
import pytest
import torch
from PIL import Image

from p3m_lightning.data.datasets import SeededIndex
from p3m_lightning.gan.rgba import BLANK, Backgrounds, GANDataset, RGBADataset
from p3m_lightning.gan.ticks import TickSampler, gan_loader
from p3m_lightning.images import read_image, read_matte, write_image
from p3m_lightning.schema import InputError


@pytest.fixture
def rgba_folder(tmp_path):
    """Three RGBA pictures, one of them wide, with a transparent left half."""
    generator = np.random.default_rng(0)
    for k, shape in enumerate([(24, 24), (24, 40), (20, 20)]):
        pixels = generator.integers(256, size=(*shape, 4), dtype=np.uint8)
        pixels[..., 3] = 255
        pixels[:, : shape[1] // 2, 3] = 0
        write_image(tmp_path / "rgba" / f"{k}.png", pixels)
    return tmp_path / "rgba"


def test_p3m_layout_with_its_foregrounds(portraits):
    data = RGBADataset(portraits, "synthetic", images="original_image", size=160, foreground=True)
    name = data.names[0]
    assert len(data) == 6
    assert np.array_equal(data[0][..., :3], read_image(next((portraits / "train/fg").glob(f"{name}.*"))))
    assert np.array_equal(data[0][..., 3], read_matte(portraits / "train/mask" / f"{name}.png"))


def test_images_beside_mattes_keep_their_colors(portraits, tmp_path):
    (tmp_path / "image").symlink_to(portraits / "train/original_image")
    (tmp_path / "alpha").symlink_to(portraits / "train/mask")
    data = RGBADataset(tmp_path, "folder", size=160)
    image = next((tmp_path / "image").glob(f"{data.names[0]}.*"))
    assert np.array_equal(data[0][..., :3], read_image(image))


def test_rgba_pictures_are_cut_to_their_middle_square(rgba_folder):
    data = RGBADataset(rgba_folder, "rgba", size=24)
    whole = np.asarray(Image.open(rgba_folder / "1.png"))
    assert np.array_equal(data[1], whole[:, 8:32])
    assert data[2].shape == (24, 24, 4)


def test_blanked_colors_are_grey_where_alpha_is_zero_and_only_there(rgba_folder):
    kept, blanked = (RGBADataset(rgba_folder, "rgba", size=24, outside=o, cache=True)[0] for o in ("keep", "blank"))
    clear = kept[..., 3] == 0
    assert (blanked[clear][:, :3] == BLANK).all()
    assert np.array_equal(blanked[~clear], kept[~clear])
    assert not (kept[clear][:, :3] == BLANK).all()


def test_pictures_without_alpha_are_named(tmp_path):
    write_image(tmp_path / "plain.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(InputError, match=r"plain\.png.*alpha"):
        RGBADataset(tmp_path, "rgba")[0]


@pytest.mark.parametrize(("keys", "named"), [({"outside": "white"}, "white"), ({"name": "ffhq"}, "mattes")])
def test_wrong_keys_are_named(rgba_folder, keys, named):
    with pytest.raises(InputError, match=named):
        RGBADataset(rgba_folder, **keys)


def test_what_is_random_follows_from_the_draw(rgba_folder, portraits):
    data = GANDataset(RGBADataset(rgba_folder, "rgba", size=16), Backgrounds(portraits / "train/bg", size=16))
    one, again, other = (data.maps(SeededIndex(0, seed)) for seed in (1, 1, 2))
    assert np.array_equal(one[1], again[1])
    assert not np.array_equal(one[1], other[1])
    mirrored = [np.array_equal(data.maps(SeededIndex(0, seed))[0], data.portraits[0][:, ::-1]) for seed in range(64)]
    assert 16 < sum(mirrored) < 48


def stream(length, tick, ticks, **place):
    sampler = TickSampler(length, tick, seed=5, **place)
    for epoch in ticks:
        sampler.set_epoch(epoch)
        yield from sampler


def test_every_portrait_comes_once_in_every_turn_however_long_a_tick_is():
    indices = [draw.position for draw in stream(10, 6, range(5))]
    assert [sorted(indices[k : k + 10]) for k in (0, 10, 20)] == [list(range(10))] * 3
    assert indices[:10] != indices[10:20]


def test_the_order_depends_neither_on_where_a_run_was_taken_up_nor_on_the_processes():
    whole = list(stream(7, 6, range(4)))
    assert list(stream(7, 6, range(2, 4))) == whole[12:]
    assert list(stream(7, 12, range(2))) == whole
    dealt = [list(stream(7, 6, range(4), rank=rank, world_size=2)) for rank in range(2)]
    assert [draw for pair in zip(*dealt, strict=True) for draw in pair] == whole


def test_loaders_give_bytes_and_hand_errors_on(rgba_folder, portraits):
    data = GANDataset(RGBADataset(rgba_folder, "rgba", size=16), Backgrounds(portraits / "train/bg", size=16))
    batch = next(iter(gan_loader(data, batch_size=2, tick=4, workers=0)))
    assert batch["rgba"].shape == (2, 4, 16, 16)
    assert batch["background"].dtype == torch.uint8
    (rgba_folder / "0.png").write_bytes(b"broken")
    assert any(isinstance(batch, InputError) for batch in gan_loader(data, batch_size=1, tick=3, workers=0))
