"""What a researcher passes by mistake is refused by the name of the argument; what is passed rightly is left alone."""

import copy
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from p3m_lightning import compose_run
from p3m_lightning.images import from_unit, read_photo, to_unit, write_image
from p3m_lightning.inference import Predictor
from p3m_lightning.inference.features import watch
from p3m_lightning.inference.finder import Finder
from p3m_lightning.inference.matte import Matte, Products
from p3m_lightning.models import create_model
from p3m_lightning.schema import InputError
from pixel_networks import Copycat, picture

IMAGE = picture(24, 32)
ALPHA = np.linspace(0, 1, 24 * 32, dtype=np.float32).reshape(24, 32)
FLOATS = np.random.default_rng(0).random((6, 9, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def narrow():
    torch.manual_seed(0)
    return create_model("p3mnet_r34", width=0.125).eval()


SOURCES = (None, 5, [1, 2], torch.zeros(3, 8, 8), memoryview(b"x"), "")


@pytest.mark.parametrize("source", SOURCES, ids=lambda s: type(s).__name__)
def test_a_source_of_another_kind_is_named(source):
    with pytest.raises(InputError, match=r"^image: .*; give a path, bytes of a file, a Pillow image or"):
        read_photo(source)


@pytest.mark.parametrize(
    ("image", "alpha", "named"),
    [
        (IMAGE, (ALPHA * 255).astype(np.uint8), "alpha: uint8"),
        (IMAGE, ALPHA[:-1], "alpha: float32"),
        (IMAGE, ALPHA[..., None], "alpha: float32"),
        (IMAGE, torch.from_numpy(ALPHA), "alpha: Tensor"),
        (IMAGE, np.where(ALPHA > 0.5, np.nan, ALPHA), "alpha: holds NaN"),
        (np.dstack([IMAGE, IMAGE[..., :1]]), ALPHA, "image: uint8"),
        (IMAGE / np.float32(255), ALPHA, "image: float32"),
    ],
)
def test_a_matte_of_arrays_that_do_not_fit_is_refused(image, alpha, named):
    with pytest.raises(InputError, match=named):
        Matte(image, alpha)


@pytest.mark.parametrize(
    ("background", "light", "named"),
    [
        (FLOATS * 255, 0, "background array: floats"),
        (np.where(FLOATS > 0.5, np.nan, FLOATS), 0, "background array: floats"),
        (np.zeros((0, 3, 3)), 0, "background array"),
        (("a", "b", "c"), 0, "background="),
        (None, 0, "image: a NoneType"),
        ("white", -1, "light=-1"),
        ("white", 5, "light=5"),
        ("white", float("nan"), "light=nan"),
    ],
)
def test_a_background_that_is_none_is_refused(background, light, named):
    with pytest.raises(InputError, match=named):
        Matte(IMAGE, ALPHA).composite(background, light)


@pytest.mark.parametrize("light", [0, 0.4, 1])
def test_an_enlarged_background_of_floats_is_that_of_its_codes(light):
    """Cubic interpolation overshoots where floats have no limits; a power of what is below 0 is not a number."""
    codes = from_unit(FLOATS)
    ours, theirs = (Matte(IMAGE, ALPHA).composite(one, light) for one in (codes / np.float32(255), codes))
    assert np.abs(ours.astype(int) - theirs).max() <= 2


@pytest.mark.parametrize("trimap", [ALPHA, ALPHA > 0.5, np.full((24, 32), 3), np.full((24, 32), -1), [[0, 1]], "a.png"])
def test_a_trimap_of_other_values_is_refused(trimap):
    with pytest.raises(InputError, match=r"^trimap"):
        Predictor(Copycat(), "cpu")(IMAGE, trimap)


@pytest.mark.parametrize("kind", [np.uint8, np.int64])
def test_a_trimap_may_hold_classes_or_the_codes_of_files(kind):
    classes = np.zeros((24, 32), kind)
    classes[:, 10:20], classes[:, 20:] = 1, 2
    codes = np.array([0, 128, 255], kind)[classes]
    predictor = Predictor(Copycat(), "cpu")
    np.testing.assert_array_equal(predictor(IMAGE, codes).alpha, predictor(IMAGE, classes).alpha)
    assert predictor(IMAGE, codes).alpha[:, 25:].min() > 0.9


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"device": None}, "device=None"),
        ({"device": "meta"}, "device=meta"),
        ({"max_short_side": "100"}, "max_short_side=100"),
        ({"max_short_side": 1.5}, "max_short_side=1.5"),
        ({"recorded": 5}, "recorded: a int"),
        ({"mode": ""}, "mode="),
    ],
)
def test_arguments_of_a_predictor_are_named(narrow, keys, named):
    with pytest.raises(InputError, match=named):
        Predictor(narrow, **{"device": "cpu", **keys})
    assert {part.device.type for part in narrow.parameters()} == {"cpu"}


@pytest.mark.parametrize("net", ["best.ckpt", copy.deepcopy])
def test_a_predictor_of_no_network_says_so(net):
    with pytest.raises(InputError, match=r"^net: a "):
        Predictor(net, "cpu")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_a_network_of_other_numbers_is_refused(narrow, kind):
    with pytest.raises(InputError, match=r"net: has weights of .*float"):
        Predictor(copy.deepcopy(narrow).to(kind), "cpu")


def test_a_batch_of_several_sizes_is_refused_and_an_empty_one_is_empty(narrow):
    predictor = Predictor(narrow, "cpu")
    assert predictor.batch([]) == []
    with pytest.raises(InputError, match=r"photos: \(24, 32\) and \(25, 32\)"):
        predictor.batch([read_photo(IMAGE), read_photo(picture(25, 32))])


def test_a_matte_keeps_its_own_photograph(narrow):
    frame = IMAGE.copy()
    matte = Predictor(narrow, "cpu")(frame)
    frame[:] = 7
    np.testing.assert_array_equal(matte.image, IMAGE)


def test_colors_leave_the_threads_of_torch_alone():
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        Matte(IMAGE, ALPHA).rgba()
        found = torch.get_num_threads()
        torch.set_num_threads(before)
        assert found == threads


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_the_predictor_in_the_box_travels_to_other_processes(copied):
    pytest.importorskip("onnxruntime")
    predictor = Predictor(device="cpu")
    image = picture(64, 48)
    np.testing.assert_array_equal(copied(predictor)(image).alpha, predictor(image).alpha)


@pytest.mark.parametrize("kind", [bool, np.int64, np.float32])
def test_pixels_of_another_kind_are_not_written(kind, tmp_path):
    with pytest.raises(InputError, match=r"a\.png: pixels of .*; give uint8 or uint16"):
        write_image(tmp_path / "a.png", IMAGE.astype(kind))


def test_color_of_16_bits_is_written_as_png_only(tmp_path):
    with pytest.raises(InputError, match=r"a\.jpg: color of 16 bits is written as PNG only"):
        write_image(tmp_path / "a.jpg", IMAGE.astype(np.uint16))
    assert not list(tmp_path.iterdir())


def test_numbers_of_unknown_range_are_no_pixels():
    for kind in (bool, np.int64):
        with pytest.raises(InputError, match="pixels of"):
            to_unit(IMAGE.astype(kind))
    for kind in (np.float32, np.int32):
        with pytest.raises(InputError, match="dtype="):
            Matte(IMAGE, ALPHA).rgba(kind)


def test_gray_of_32_bits_with_values_of_8_is_refused():
    gray = Image.fromarray(IMAGE[..., 0]).convert("I")
    with pytest.raises(InputError, match=r"ends at \d+; convert\('L'\)"):
        read_photo(gray)


def test_a_part_that_is_no_module_is_not_watched_and_no_hook_stays(narrow):
    with pytest.raises(InputError, match="watch: a str is no module"), watch(narrow.matting, "tfi"):
        pass
    assert not narrow.matting._forward_hooks


def test_names_of_folders_may_be_texts(tmp_path):
    write_image(tmp_path / "a.png", IMAGE)
    (task,) = Finder([str(tmp_path)])
    products = Products(str(tmp_path / "out"))
    products.write(Matte(IMAGE, ALPHA), task)
    assert products.finished("a")


@pytest.mark.parametrize("overrides", [None, "seed=1"])
def test_overrides_are_a_list(overrides):
    with pytest.raises(InputError, match="overrides="):
        compose_run("train", overrides, "run")
