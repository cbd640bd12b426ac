import cv2
import numpy as np
import pytest
from PIL import Image

from p3m_lightning.images import read_matte, read_trimap, trimap_classes
from p3m_lightning.messages import tell
from p3m_lightning.schema import InputError


def saved(path, codes, **options):
    Image.fromarray(np.asarray(codes)).save(path, **options)
    return path


@pytest.fixture(autouse=True)
def _every_word_is_the_first():
    tell.cache_clear()


@pytest.mark.parametrize(
    ("codes", "dtype"),
    [([0, 128, 255], np.uint8), ([0, 127, 255], np.uint8), ([0, 1, 2], np.uint8), ([0, 32768, 65535], np.uint16)],
)
def test_both_codings_of_trimaps_are_read(tmp_path, codes, dtype):
    path = saved(tmp_path / "a.png", np.array([codes, codes[::-1]], dtype))
    np.testing.assert_array_equal(read_trimap(path), [[0, 1, 2], [2, 1, 0]])


@pytest.mark.parametrize("codes", [[0, 255], [255], [0], [0, 128], [0, 2], [0, 0]])
def test_a_class_may_be_absent(codes):
    classes = {0: 0, 128: 1, 255: 2, 2: 2}
    np.testing.assert_array_equal(trimap_classes(np.array([codes], np.uint8)), [[classes[code] for code in codes]])


@pytest.mark.parametrize(
    "codes",
    [
        [0, 127, 254],
        [0, 254],
        [0, 128, 254, 255],
        [0, 1],
        [1],
        [0, 1, 255],
        [0, 3],
        [0, 100, 255],
        [0, 127, 128, 255],
        [0, 1, 2, 3],
    ],
)
def test_other_codes_are_refused_by_name_with_a_cure(tmp_path, codes):
    path = saved(tmp_path / "odd.png", np.array([codes], np.uint8))
    with pytest.raises(InputError, match=r"odd\.png: a trimap of the values .*write it as PNG of 0, 128 and 255"):
        read_trimap(path)


def test_codes_of_eight_bits_in_sixteen_are_refused(tmp_path):
    path = saved(tmp_path / "a.png", np.array([[0, 128, 255]], np.uint16))
    with pytest.raises(InputError, match=r"a trimap of the values 0, 128, 255 in a file of 16 bits; .* of 8 bits"):
        read_trimap(path)


@pytest.mark.parametrize("unknown", [(255, 0, 0), (128, 0, 128), (128, 128, 0)])
@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_a_trimap_in_colors_is_refused_and_one_in_greys_read(tmp_path, mode, unknown):
    classes = np.array([[0, 1, 2]], np.uint8)
    for name, middle in (("colors", unknown), ("greys", (128, 128, 128))):
        palette = np.array([(0, 0, 0), middle, (255, 255, 255)], np.uint8)
        image = Image.fromarray(palette[classes])
        if mode == "P":
            image = Image.fromarray(classes).convert("P")
            image.putpalette(palette.tobytes())
        image.save(tmp_path / f"{name}.png")
    np.testing.assert_array_equal(read_trimap(tmp_path / "greys.png"), classes)
    with pytest.raises(InputError, match=r"colors\.png: a trimap in color"):
        read_trimap(tmp_path / "colors.png")


def test_a_trimap_after_jpeg_is_refused(tmp_path):
    codes = np.repeat(np.repeat(np.array([[0, 128], [128, 255]], np.uint8), 33, 0), 29, 1)
    with pytest.raises(InputError, match=r"a\.jpg: a trimap of .*as JPEG or resizing produce"):
        read_trimap(saved(tmp_path / "a.jpg", codes, quality=60))


def test_a_trimap_that_is_unknown_everywhere_gets_a_word(tmp_path, caplog):
    assert (read_trimap(saved(tmp_path / "a.png", np.full((2, 3), 128, np.uint8))) == 1).all()
    assert "a.png: all of the trimap is unknown" in caplog.text


@pytest.mark.parametrize(("top", "dtype"), [(1, np.uint8), (1, np.uint16), (255, np.uint16)])
def test_a_matte_of_another_range_is_refused(tmp_path, top, dtype):
    path = saved(tmp_path / "a.png", np.array([[0, top]], dtype))
    with pytest.raises(InputError, match=r"a\.png: its values .* multiply them"):
        read_matte(path)


@pytest.mark.parametrize("top", [0, 2, 254, 255])
def test_other_mattes_are_read_as_they_are(tmp_path, top):
    np.testing.assert_array_equal(read_matte(saved(tmp_path / "a.png", np.array([[0, top]], np.uint8))), [[0, top]])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_matte_is_turned_as_its_photograph(tmp_path, dtype):
    exif = Image.Exif()
    exif[0x0112] = 6
    codes = np.arange(6, dtype=dtype).reshape(2, 3)
    path = saved(tmp_path / "a.png", codes, exif=exif)
    np.testing.assert_array_equal(read_matte(path), np.rot90(codes, -1))


def test_an_opaque_cutout_given_as_a_matte_gets_a_word(tmp_path, caplog):
    rgba = np.full((2, 3, 4), 255, np.uint8)
    rgba[..., 0] = 7
    assert (read_matte(saved(tmp_path / "a.png", rgba)) == 7).all()
    assert "a.png: its alpha channel is opaque everywhere" in caplog.text


@pytest.mark.parametrize("color", [(0, 255, 0), (128, 0, 0), (255, 0, 255)])
@pytest.mark.parametrize("mode", ["RGB", "P", "RGB of 16 bits"])
def test_a_painted_mask_is_refused_as_no_channel_means_alpha(tmp_path, mode, color):
    mask = np.zeros((20, 30), np.uint8)
    mask[5:15, 5:15] = 1
    image = Image.fromarray(mask, "P")
    image.putpalette([0, 0, 0, *color])
    if mode == "RGB of 16 bits":
        cv2.imwrite(str(tmp_path / "a.png"), np.asarray(image.convert("RGB")).astype(np.uint16) * 257)
    else:
        image.convert(mode).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png: a matte or mask in color"):
        read_matte(tmp_path / "a.png")


def test_gray_in_other_kinds_of_color_is_read(tmp_path):
    gray = cv2.resize(np.random.default_rng(0).integers(0, 256, (5, 6), np.uint8), (60, 50))
    color = Image.fromarray(np.dstack([gray] * 3))
    color.save(tmp_path / "a.jpg", quality=75)
    assert np.abs(read_matte(tmp_path / "a.jpg").astype(int) - gray).max() < 12
    color.convert("CMYK").save(tmp_path / "a.tif")
    assert np.abs(read_matte(tmp_path / "a.tif").astype(int) - gray).max() < 3
    color.convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "a.png")
    assert np.array_equal(read_matte(tmp_path / "a.png"), gray)
