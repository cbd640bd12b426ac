import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from p3m_lightning.images import read_photo
from p3m_lightning.schema import InputError

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 65536, (6, 9, 3), dtype=np.uint16)
COLOR = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bit_color_stays(tmp_path, suffix, channels):
    alpha = RNG.integers(0, 65536, (6, 9, 1), dtype=np.uint16)
    stored = np.dstack([DEEP[..., ::-1], alpha])[..., :channels]
    cv2.imwrite(str(tmp_path / f"a{suffix}"), stored)
    pixels = read_photo(tmp_path / f"a{suffix}").pixels
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels, DEEP)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bit_grey_stays_and_is_widened(tmp_path, suffix):
    Image.fromarray(DEEP[..., 0]).save(tmp_path / f"a{suffix}")
    pixels = read_photo(tmp_path / f"a{suffix}").pixels
    np.testing.assert_array_equal(pixels, np.repeat(DEEP[..., :1], 3, 2))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotation_of_sixteen_bits_is_that_of_eight(tmp_path, orientation):
    eight, sixteen = (tmp_path / f"{bits}.png" for bits in (8, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(COLOR).save(eight, exif=exif)
    with Image.open(eight) as image:
        chunk = b"eXIf" + image.info["exif"].removeprefix(b"Exif\0\0")
    encoded = cv2.imencode(".png", (COLOR.astype(np.uint16) * 257)[..., ::-1])[1].tobytes()
    block = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    sixteen.write_bytes(encoded[:33] + block + encoded[33:])
    np.testing.assert_array_equal(read_photo(sixteen).pixels, read_photo(eight).pixels.astype(np.uint16) * 257)


def test_profiles_of_rgb_are_kept_others_end_with_the_conversion(tmp_path):
    Image.fromarray(COLOR).save(tmp_path / "rgb.jpg", icc_profile=SRGB)
    assert read_photo(tmp_path / "rgb.jpg").profile == SRGB
    Image.fromarray(COLOR).save(tmp_path / "odd.jpg", icc_profile=LAB)
    assert read_photo(tmp_path / "odd.jpg").profile is None
    assert read_photo(COLOR).profile is None


def test_arrays_are_widened_or_cut_to_rgb():
    rgba = np.dstack([COLOR, COLOR[..., :1]])
    np.testing.assert_array_equal(read_photo(rgba).pixels, COLOR)
    np.testing.assert_array_equal(read_photo(COLOR[..., 0]).pixels, np.repeat(COLOR[..., :1], 3, 2))
    np.testing.assert_array_equal(read_photo(DEEP).pixels, DEEP)


@pytest.mark.parametrize("wrong", [COLOR / 255, COLOR[None], COLOR[:0], COLOR[..., :2], COLOR.astype(np.int64)])
def test_other_arrays_are_refused(wrong):
    with pytest.raises(InputError, match=r"image array: .* give uint8"):
        read_photo(wrong)


def test_broken_input_is_refused(tmp_path):
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(InputError, match=r"empty\.jpg: not an image file; it is empty"):
        read_photo(tmp_path / "empty.jpg")
    with pytest.raises(InputError, match=r"gone\.jpg: no such file"):
        read_photo(str(tmp_path / "gone.jpg"))
    with pytest.raises(InputError, match="cannot be read"):
        read_photo(tmp_path)
    with pytest.raises(InputError, match="image bytes: not an image"):
        read_photo(b"text")
    file = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(file, "JPEG")
    with pytest.raises(InputError, match="image bytes: cannot be decoded"):
        read_photo(file.getvalue()[:-1500])


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_own_alpha_comes_with_the_pixels_turned_as_they_are(tmp_path, mode):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(np.dstack([COLOR, COLOR[..., :1]])).convert(mode)
    image.save(tmp_path / "a.png", exif=exif)
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.alpha, np.rot90(COLOR[..., 0], -1))
    assert photo.alpha.shape == photo.pixels.shape[:2]


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_own_alpha_of_sixteen_bits_stays(tmp_path, suffix):
    cv2.imwrite(str(tmp_path / f"a{suffix}"), np.dstack([DEEP[..., ::-1], DEEP[..., :1]]))
    photo = read_photo(tmp_path / f"a{suffix}")
    assert photo.alpha.dtype == np.uint16
    np.testing.assert_array_equal(photo.alpha, DEEP[..., 0])


def test_own_alpha_of_palettes_and_arrays():
    file = io.BytesIO()
    palette = Image.fromarray(np.array([[0, 1], [2, 3]], np.uint8), "L").convert("P")
    palette.save(file, "PNG", transparency=bytes([255, 128, 0, 7]))
    np.testing.assert_array_equal(read_photo(file.getvalue()).alpha, [[255, 128], [0, 7]])
    np.testing.assert_array_equal(read_photo(np.dstack([DEEP, DEEP[..., :1]])).alpha, DEEP[..., 0])


def test_an_opaque_photograph_has_no_alpha(tmp_path):
    Image.fromarray(COLOR).save(tmp_path / "rgb.png")
    Image.fromarray(np.dstack([COLOR, np.full_like(COLOR[..., 0], 255)])).save(tmp_path / "rgba.png")
    assert read_photo(tmp_path / "rgb.png").alpha is None
    assert read_photo(tmp_path / "rgba.png").alpha is None
    assert read_photo(COLOR).alpha is None


@pytest.mark.parametrize(("bits", "top"), [(8, 255), (16, 65535)])
def test_the_grey_that_a_png_names_is_transparent(tmp_path, bits, top):
    grey = RNG.integers(0, top + 1, (6, 9)).astype(">u2" if bits == 16 else np.uint8)
    grey[2:4, 3:7] = 7
    header = struct.pack(">IIBBBBB", 9, 6, bits, 0, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in grey)
    chunks = {b"IHDR": header, b"tRNS": struct.pack(">H", 7), b"IDAT": zlib.compress(rows), b"IEND": b""}
    content = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks.items()
    )
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    photo = read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.pixels[..., 1], grey)
    np.testing.assert_array_equal(photo.alpha, np.where(grey == 7, 0, top))


@pytest.mark.parametrize("top", [1.0, 255.0])
def test_floats_of_no_known_range_are_refused(tmp_path, top):
    image = Image.fromarray((np.linspace(0, top, 54).reshape(6, 9)).astype(np.float32))
    image.save(tmp_path / "a.pfm")
    for source in (tmp_path / "a.pfm", image):
        with pytest.raises(InputError, match="floats of unknown range"):
            read_photo(source)


def test_grey_of_32_bits_is_refused_not_clipped():
    with pytest.raises(InputError, match="gray from 7 to 70000"):
        read_photo(Image.fromarray(np.array([[7, 70000]], np.int32)))
