import json
import shutil

import numpy as np
import pytest
from safetensors import safe_open

from p3m_lightning.data.storage import packs
from p3m_lightning.data.storage.packs import TILE, Pack, encode_pack, signature
from p3m_lightning.data.windows import Window
from p3m_lightning.schema import InputError

SHAPE = (2 * TILE[0] + 37, TILE[1] + 11)


@pytest.fixture
def maps():
    """A noisy photograph; a foreground that is the same in its upper half, a background of its own, a deep matte."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (*SHAPE, 3), np.uint8)
    foreground = image.copy()
    foreground[SHAPE[0] // 2 :] = 90
    background = np.broadcast_to(np.arange(SHAPE[1], dtype=np.uint8)[None, :, None], (*SHAPE, 3))
    alpha = np.linspace(0, 65535, SHAPE[0] * SHAPE[1]).astype(np.uint16).reshape(SHAPE)
    return {"image": image, "alpha": alpha, "foreground": foreground, "background": background}


@pytest.fixture
def path(tmp_path, maps):
    file = tmp_path / "a.safetensors"
    file.write_bytes(encode_pack(maps, {}))
    return file


def test_all_pixels_come_back_whatever_their_depth(path, maps):
    pack = Pack(path)
    assert pack.roles() == maps.keys()
    for role, pixels in maps.items():
        assert pack.shape(role) == pixels.shape
        found = pack.read(role)
        assert found.dtype == pixels.dtype
        assert np.array_equal(found, pixels)


@pytest.mark.parametrize("seed", range(20))
def test_any_window_holds_the_pixels_of_the_whole(path, maps, seed):
    generator = np.random.default_rng(seed)
    top, left = (int(generator.integers(side)) for side in SHAPE)
    window = Window(
        top, left, int(generator.integers(1, SHAPE[0] - top + 1)), int(generator.integers(1, SHAPE[1] - left + 1))
    )
    pack = Pack(path)
    for role in generator.permutation(list(maps)):  # a foreground may be asked for before its image
        assert np.array_equal(pack.read(role, window), maps[role][window.slices])
    assert np.array_equal(pack.read("foreground"), maps["foreground"])


def test_only_the_tiles_of_a_window_are_decompressed(path, maps, monkeypatch):
    sizes = []

    def decompress(data, uncompressed_size, real=packs.block.decompress):
        sizes.append(uncompressed_size)
        return real(data, uncompressed_size=uncompressed_size)

    monkeypatch.setattr(packs.block, "decompress", decompress)
    Pack(path).read("image", Window(TILE[0] + 3, 5, 20, 30))
    assert sizes == [TILE[0] * TILE[1] * 3]


def test_what_the_image_shows_already_costs_next_to_nothing(path, maps):
    with safe_open(path, "numpy") as file:
        sizes = {role: file.get_tensor(f"{role}.tiles").size for role in maps}
    assert sizes["foreground"] < sizes["image"] / 1.5
    assert sizes["image"] >= maps["image"].size  # noise


@pytest.mark.parametrize("kept", [0, 5, 300, -1])
def test_a_file_cut_short_is_not_taken_for_whole(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"a\.safetensors: damaged pack"):
        Pack(path)


def test_the_same_maps_are_the_same_bytes(maps):
    assert len({encode_pack(maps, {}) for _ in range(8)}) == 1  # the library writes metadata in a random order


def test_a_file_with_a_hole_is_named_when_the_hole_is_read(path):
    content = bytearray(path.read_bytes())
    length = 8 + int.from_bytes(content[:8], "little")
    content[length:] = bytes(len(content) - length)
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged pack"):
        Pack(path).read("image")


def test_a_file_of_another_make_is_refused(tmp_path):
    from safetensors.numpy import save_file

    file = tmp_path / "x.safetensors"
    save_file({"weights": np.zeros(3)}, file)
    with pytest.raises(InputError, match="packed by another version"):
        Pack(file)


ODD_NOTES = {
    "no text of JSON": "[",
    "deep": "[" * 100_000,
    "a list": "[]",
    "no table": '{"image": 3}',
    "another type": '{"image": {"shape": [9, 7], "dtype": "object", "tile": [9, 7]}}',
    "minus": '{"image": {"shape": [-9, 7], "dtype": "uint8", "tile": [9, 7]}}',
    "fractions": '{"image": {"shape": [9.5, 7], "dtype": "uint8", "tile": [9, 7]}}',
    "nothing": '{"image": {"shape": [9, 7], "dtype": "uint8", "tile": [0, 7]}}',
    "terabytes": '{"image": {"shape": [1000000, 1000000], "dtype": "uint8", "tile": [1, 1]}}',
    "a million tiles": '{"image": {"shape": [1000, 1000], "dtype": "uint8", "tile": [1, 1]}}',
    "another role": '{"depth": {"shape": [9, 7], "dtype": "uint8", "tile": [9, 7]}}',
}


@pytest.mark.parametrize("roles", ODD_NOTES.values(), ids=ODD_NOTES)
def test_a_file_that_says_odd_things_of_itself_is_named(tmp_path, roles):
    from safetensors.numpy import save_file

    file = tmp_path / "x.safetensors"
    tiles = {"image.tiles": np.zeros(4, np.uint8), "image.starts": np.zeros(2, np.int64)}
    save_file(tiles | {"image.relative": np.zeros(1, bool)}, file, metadata={"layout": "1", "roles": roles})
    with pytest.raises(InputError, match=r"x\.safetensors: damaged pack"):
        read_all(file)


def read_all(file):
    pack = Pack(file)
    return [pack.read(role) for role in pack.roles()]


def test_an_image_that_is_kept_as_a_difference_to_itself_is_named(tmp_path):
    from lz4 import block
    from safetensors.numpy import save_file

    blob = np.frombuffer(block.compress(bytes(63), store_size=False), np.uint8)
    roles = '{"image": {"shape": [9, 7], "dtype": "uint8", "tile": [9, 7], "source": null}}'
    tensors = {"image.tiles": blob, "image.starts": np.array([0, len(blob)]), "image.relative": np.array([True])}
    save_file(tensors, tmp_path / "x.safetensors", metadata={"layout": "1", "roles": roles})
    with pytest.raises(InputError, match="difference from the image"):
        Pack(tmp_path / "x.safetensors").read("image")


def test_a_changed_source_is_noticed(tmp_path, maps):
    sources = {role: tmp_path / f"{role}.png" for role in maps}
    for number, source in enumerate(sources.values()):
        source.write_bytes(bytes(number + 1))
    file = tmp_path / "a.safetensors"
    file.write_bytes(encode_pack(maps, {role: signature(source) for role, source in sources.items()}))
    assert Pack(file).changed(sources) is None
    copy = shutil.copytree(tmp_path, tmp_path.parent / "copy")  # keeps the times of files, as rsync -a and tar do
    assert Pack(copy / "a.safetensors").changed({role: copy / f"{role}.png" for role in maps}) is None
    sources["foreground"].write_bytes(b"other")
    assert Pack(file).changed(sources) == sources["foreground"]
    sources["foreground"].unlink()
    with pytest.raises(InputError, match="cannot be read"):
        Pack(file).changed(sources)


def test_the_notes_can_be_read_by_anyone(path, maps):
    with safe_open(path, "numpy") as file:
        notes = json.loads(file.metadata()["roles"])
    assert notes["image"] == {"shape": [*SHAPE, 3], "dtype": "uint8", "tile": list(TILE), "source": None}
