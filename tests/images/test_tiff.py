"""The TIFF that people hand over, decoded here and by tifffile, which shares no code with Pillow and OpenCV."""

import io
import itertools
import struct
import tracemalloc

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from p3m_lightning.images import read_codes, read_deep, read_image, read_photo, to_uint8
from p3m_lightning.images.decoding import declared_pixels, image_header
from p3m_lightning.schema import InputError

RNG = np.random.default_rng(0)
SMOOTH = cv2.resize(RNG.random((5, 4, 4)), (45, 37), interpolation=cv2.INTER_LINEAR)
DTYPES = {"8": np.uint8, "16": np.uint16, "float": np.float32}


def picture(channels, dtype):
    values = SMOOTH[..., :channels] if channels > 1 else SMOOTH[..., 0]
    return values.astype(dtype) if dtype == np.float32 else np.rint(values * np.iinfo(dtype).max).astype(dtype)


def as_codes(pixels):
    return np.rint(pixels.astype(np.float64) * 65535).astype(np.uint16) if pixels.dtype == np.float32 else pixels


def test_a_few_bytes_that_speak_of_millions_of_channels_are_refused_without_making_lists_of_them(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", picture(1, np.float32), photometric="minisblack")
    content, entry = (tmp_path / "a.tif").read_bytes(), struct.pack("<HHL", 277, 3, 1)  # channels, a short, one of them
    at = content.index(entry)
    (tmp_path / "a.tif").write_bytes(content[:at] + struct.pack("<HHLL", 277, 4, 1, 134_228_553) + content[at + 12 :])
    tracemalloc.start()
    with pytest.raises(InputError, match="134228553 channels are not known"):
        read_deep(tmp_path / "a.tif")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 10e6


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("depth", DTYPES)
def test_every_depth_plane_and_byte_order_is_what_tifffile_wrote(tmp_path, depth, channels, planes, compression, order):
    pixels = picture(channels, DTYPES[depth])
    stored = np.ascontiguousarray(np.moveaxis(pixels, 2, 0)) if planes == "separate" and channels > 1 else pixels
    kind = {"photometric": "rgb", "planarconfig": planes} if channels > 1 else {"photometric": "minisblack"}
    for tiled, predictor in itertools.product((None, (16, 16)), (None, 2) if compression == "zlib" else (None,)):
        if predictor and depth == "float":
            continue
        keys = kind | ({"tile": tiled} if tiled else {"rowsperstrip": 7}) | ({"predictor": 2} if predictor else {})
        file = tmp_path / "a.tif"
        tifffile.imwrite(file, stored, byteorder=order, compression=compression, **keys)
        photo = read_photo(file)
        wanted = as_codes(pixels)
        rgb = np.repeat(wanted[..., None], 3, 2) if channels == 1 else wanted[..., :3]
        np.testing.assert_array_equal(photo.pixels, rgb, str(keys))
        np.testing.assert_array_equal(read_image(file), to_uint8(rgb))
        if channels == 4:
            np.testing.assert_array_equal(photo.alpha, wanted[..., 3])


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16", "F"])
def test_what_pillow_compresses_is_what_it_was(tmp_path, mode, compression):
    depth = {"I;16": "16", "F": "float"}.get(mode, "8")
    pixels = picture({"RGB": 3, "RGBA": 4}.get(mode, 1), DTYPES[depth])
    Image.fromarray(pixels).save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(
        read_photo(tmp_path / "a.tif").pixels[..., 0], as_codes(pixels).reshape(37, 45, -1)[..., 0]
    )


@pytest.mark.parametrize("compression", [1, 5, 8, 32946])
@pytest.mark.parametrize("channels", [3, 4])
def test_deep_color_that_opencv_compresses_is_what_it_was(tmp_path, channels, compression):
    pixels = picture(channels, np.uint16)
    order = [2, 1, 0, 3][:channels]
    cv2.imwrite(str(tmp_path / "a.tif"), pixels[..., order], [cv2.IMWRITE_TIFF_COMPRESSION, compression])
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").pixels, pixels[..., :3])


def test_big_tiff_with_planes(tmp_path):
    pixels = picture(3, np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif", np.moveaxis(pixels, 2, 0), bigtiff=True, photometric="rgb", planarconfig="separate"
    )
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").pixels, pixels)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("depth", DTYPES)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_big_tiff_of_both_byte_orders(tmp_path, channels, depth, order):
    pixels = picture(channels, DTYPES[depth])
    kind = "rgb" if channels > 1 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", pixels, bigtiff=True, byteorder=order, photometric=kind)
    found = read_photo(tmp_path / "a.tif").pixels
    np.testing.assert_array_equal(found[..., : min(channels, 3)], as_codes(pixels).reshape(37, 45, -1)[..., :3])


@pytest.mark.parametrize(
    "keys", [{}, {"compression": "zlib"}, {"compression": "zlib", "predictor": 2}, {"tile": (16, 16)}]
)
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_with_alpha_is_both(tmp_path, dtype, photometric, planes, keys):
    pixels = picture(2, dtype)
    stored = np.ascontiguousarray(np.moveaxis(pixels, 2, 0)) if planes == "separate" else pixels
    kind = {"photometric": photometric, "planarconfig": planes, "extrasamples": ["unassalpha"]}
    tifffile.imwrite(tmp_path / "a.tif", stored, **kind, **keys)
    grey = pixels[..., 0] if photometric == "minisblack" else np.iinfo(dtype).max - pixels[..., 0]
    photo = read_photo(tmp_path / "a.tif")
    np.testing.assert_array_equal(photo.pixels, np.repeat(grey[..., None], 3, 2))
    np.testing.assert_array_equal(photo.alpha, pixels[..., 1])
    np.testing.assert_array_equal(read_codes(tmp_path / "a.tif"), pixels[..., 1])


@pytest.mark.parametrize("big", [{}, {"bigtiff": True}, {"bigtiff": True, "byteorder": ">"}])
@pytest.mark.parametrize("keys", [{}, {"compression": "zlib", "predictor": 2}, {"tile": (16, 16)}])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("depth", DTYPES)
def test_colors_that_alpha_has_multiplied_are_divided_by_it(tmp_path, depth, channels, planes, keys, big):
    if depth == "float" and "predictor" in keys:
        pytest.skip("differences of floats are another predictor")
    pixels = picture(4, DTYPES[depth])[..., -channels:]
    top = 1.0 if depth == "float" else np.iinfo(pixels.dtype).max
    pixels[:3, :, -1], pixels[3:6, :, -1] = 0, top
    multiplied = pixels[..., :-1] * (pixels[..., -1:] / top)
    stored = np.dstack([multiplied if depth == "float" else np.rint(multiplied), pixels[..., -1]]).astype(pixels.dtype)
    stored = np.ascontiguousarray(np.moveaxis(stored, 2, 0)) if planes == "separate" else stored
    kind = {"photometric": "rgb" if channels == 4 else "minisblack", "extrasamples": ["assocalpha"]}
    tifffile.imwrite(tmp_path / "a.tif", stored, planarconfig=planes, **kind, **keys, **big)
    photo, wanted = read_photo(tmp_path / "a.tif"), as_codes(pixels)
    colors = np.repeat(wanted[..., :1], 3, 2) if channels == 2 else wanted[..., :3]
    np.testing.assert_array_equal(photo.alpha, wanted[..., -1])
    seen = pixels[..., -1] > top / 10
    assert np.abs(photo.pixels.astype(int) - colors)[seen].max() <= 6  # half a code through a tenth of alpha
    np.testing.assert_array_equal(photo.pixels[3:6], colors[3:6])
    np.testing.assert_array_equal(read_codes(tmp_path / "a.tif"), wanted[..., -1])


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("depth", ["8", "16"])
def test_an_extra_channel_that_is_said_to_be_no_alpha_hides_nothing(tmp_path, depth, channels, planes):
    pixels = picture(4, DTYPES[depth])[..., :channels]
    stored = np.ascontiguousarray(np.moveaxis(pixels, 2, 0)) if planes == "separate" else pixels
    kind = {"photometric": "rgb" if channels == 4 else "minisblack", "planarconfig": planes}
    tifffile.imwrite(tmp_path / "a.tif", stored, extrasamples=["unspecified"], **kind)
    photo = read_photo(tmp_path / "a.tif")
    assert photo.alpha is None
    assert np.array_equal(photo.pixels, pixels[..., :3] if channels == 4 else np.repeat(pixels[..., :1], 3, axis=2))


def test_a_kind_that_no_decoder_knows_is_said(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", picture(3, np.uint8), photometric="rgb", metadata=None)
    content = (tmp_path / "a.tif").read_bytes()
    entry = np.array([259, 3], "<u2").tobytes() + np.array([1], "<u4").tobytes()  # compression, one short
    at = content.index(entry) + len(entry)
    (tmp_path / "a.tif").write_bytes(content[:at] + np.array([50002], "<u2").tobytes() + content[at + 2 :])
    with pytest.raises(InputError, match=r"a\.tif: a TIFF of 3 channels, 8 bits, JPEG XL, which is not supported"):
        read_image(tmp_path / "a.tif")


def test_jpeg_inside_and_palettes(tmp_path):
    pixels = picture(3, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.tif", compression="jpeg", quality=95)
    assert np.abs(read_image(tmp_path / "a.tif").astype(int) - pixels).max() < 20
    indices = RNG.integers(0, 256, (9, 8), dtype=np.uint8)
    colors = RNG.integers(0, 256, (3, 256), dtype=np.uint16) * 257
    tifffile.imwrite(tmp_path / "p.tif", indices, photometric="palette", colormap=colors)
    np.testing.assert_array_equal(read_image(tmp_path / "p.tif"), (colors.T // 257)[indices])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_is_white_where_zero_means_white(tmp_path, dtype):
    pixels = picture(1, dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
    np.testing.assert_array_equal(read_codes(tmp_path / "a.tif"), np.iinfo(dtype).max - pixels)


@pytest.mark.parametrize("dtype", [np.uint32, np.int32, np.int16, np.int8, np.uint64])
@pytest.mark.parametrize("reader", [read_image, read_codes, read_photo])
def test_integers_of_no_known_range_are_refused(tmp_path, dtype, reader):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((9, 8), dtype) * 100, photometric="minisblack")
    with pytest.raises(InputError, match=r"a\.tif: .*(integers|cannot be decoded)"):
        reader(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("value", "reason"),
    [(1.5, "from 0 to 1.5"), (-1, "from -1"), (np.nan, "NaN"), (np.inf, "NaN or infinity"), (255, "to 255")],
)
@pytest.mark.parametrize("shape", [(9, 8), (9, 8, 3)])
def test_floats_outside_the_unit_range_are_refused(tmp_path, value, reason, shape):
    pixels = np.zeros(shape, np.float32)
    pixels[3, 4] = value
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    for reader in (read_image, read_codes, read_photo):
        with pytest.raises(InputError, match=rf"a\.tif: .*{reason}"):
            reader(tmp_path / "a.tif")


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_thumbnail_in_front_is_passed_over(tmp_path, marked, dtype):
    pixels = picture(3, dtype)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(np.ascontiguousarray(pixels[::4, ::4]), subfiletype=1 if marked else 0, photometric="rgb")
        file.write(pixels, photometric="rgb")
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif").pixels, as_codes(pixels))


def test_a_larger_page_that_is_marked_as_reduced_is_passed_over(tmp_path):
    pixels = picture(3, np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(np.zeros((90, 90), np.uint8), subfiletype=1)
        file.write(pixels, photometric="rgb")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), pixels)


def test_a_photograph_below_its_thumbnail_is_found(tmp_path):
    pixels = picture(3, np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(np.ascontiguousarray(pixels[::4, ::4]), subfiletype=1, subifds=1, photometric="rgb")
        file.write(pixels, photometric="rgb")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_pages_are_turned_as_shallow_ones(tmp_path, orientation):
    for dtype in (np.uint8, np.uint16):
        tag = [(274, "H", 1, orientation, True)]
        tifffile.imwrite(tmp_path / f"{np.dtype(dtype)}.tif", picture(3, dtype), photometric="rgb", extratags=tag)
    deep = read_deep(tmp_path / "uint16.tif").pixels
    assert np.abs(to_uint8(deep).astype(int) - read_image(tmp_path / "uint8.tif")).max() <= 1


@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_a_truncated_file_is_refused_at_every_length(tmp_path, planes):
    pixels = picture(3, np.uint16)
    content = io.BytesIO()
    stored = np.moveaxis(pixels, 2, 0) if planes == "separate" else pixels
    tifffile.imwrite(content, stored, photometric="rgb", planarconfig=planes)
    whole = content.getvalue()
    for length in range(1, len(whole) - 1, len(whole) // 40):
        (tmp_path / "a.tif").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"a\.tif"):
            read_photo(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("pieces", [{"rowsperstrip": 7}, {"tile": (16, 16)}], ids=["strips", "tiles"])
def test_a_page_without_all_its_strips_or_tiles_is_refused(tmp_path, dtype, planes, pieces):
    stored = np.moveaxis(picture(3, dtype), 2, 0) if planes == "separate" else picture(3, dtype)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planes, **pieces)
    content = (tmp_path / "a.tif").read_bytes()
    height = struct.pack("<HHL", 257, 4, 1)
    at = content.index(height) + len(height)
    assert content[at : at + 4] == struct.pack("<L", 37)
    (tmp_path / "a.tif").write_bytes(content[:at] + struct.pack("<L", 74) + content[at + 4 :])
    with pytest.raises(InputError, match=r"a\.tif: cannot be decoded \(only the first \d+ of its strips or tiles"):
        read_photo(tmp_path / "a.tif")


@pytest.mark.parametrize(("channels", "mode"), [(1, "F"), (3, "RGB")])
def test_deep_pages_have_a_header_also_where_pillow_knows_none(tmp_path, channels, mode):
    pixels = np.full((6, 9, 3)[: 2 + channels // 3], 0.5, np.float32)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb" if channels == 3 else "minisblack")
    with image_header(tmp_path / "a.tif") as header:
        assert (header.size, header.mode, header.format) == ((9, 6), mode, "TIFF")
    assert declared_pixels(tmp_path / "a.tif") == 54
    assert read_image(tmp_path / "a.tif").shape == (6, 9, 3)
