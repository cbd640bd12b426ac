"""JPEG 2000 of more than 8 bits: the codes that were stored, above all the highest."""

import base64
import io

import cv2
import numpy as np
import pytest
from PIL import Image

from p3m_lightning.images import read_codes, read_image, read_photo
from p3m_lightning.schema import InputError

TWELVE_BITS = np.array(
    [[[0, 4095, 100], [4094, 4080, 2048], [4095, 4095, 4095]], [[1, 2, 3], [1000, 2000, 3000], [16, 15, 8]]]
)
RGB = (
    "/0//UQAvAAAAAAADAAAAAgAAAAAAAAAAAAAAAwAAAAIAAAAAAAAAAAADCwEBCwEBCwEB/1IADAAAAAEBAAQEAAH/XAAEQGD/ZAAlAAFDcmVhdGVkIGJ5"
    "IE9wZW5KUEVHIHZlcnNpb24gMi41LjT/kAAKAAAAAAAxAAH/k8/kJAuoCCaYgxuvt9/gJAfSKpUzVC76A9/gIAfr1HIg75Q//9k="
)
GRAY = (
    "/0//UQApAAAAAAADAAAAAgAAAAAAAAAAAAAAAwAAAAIAAAAAAAAAAAABCwEB/1IADAAAAAEAAAQEAAH/XAAEQGD/ZAAlAAFDcmVhdGVkIGJ5IE9wZW5K"
    "UEVHIHZlcnNpb24gMi41LjT/kAAKAAAAAAAcAAH/k9/gLAedgqeSs277EHN//9k="
)
"""Codestreams of `TWELVE_BITS`, and of its first channel, by imagecodecs.jpeg2k_encode(..., reversible=True)."""


def test_the_color_of_12_bits_fills_16(tmp_path):
    (tmp_path / "a.j2k").write_bytes(base64.b64decode(RGB))
    photo = read_photo(tmp_path / "a.j2k")
    assert np.array_equal(photo.pixels, np.rint(TWELVE_BITS * (65535 / 4095)))
    assert read_image(tmp_path / "a.j2k")[0, 2].tolist() == [255, 255, 255]


def test_a_matte_of_12_bits(tmp_path):
    (tmp_path / "a.j2k").write_bytes(base64.b64decode(GRAY))
    assert np.array_equal(read_codes(tmp_path / "a.j2k"), np.rint(TWELVE_BITS[..., 0] * (65535 / 4095)))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_are_what_was_written(tmp_path, channels):
    pixels = np.random.default_rng(0).integers(0, 65536, (40, 50, channels), np.uint16)
    pixels[:10] = 65535
    stored = pixels if channels == 1 else np.dstack([pixels[..., 2::-1], pixels[..., 3:]])
    cv2.imwrite(str(tmp_path / "a.jp2"), stored, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])
    photo = read_photo(tmp_path / "a.jp2")
    assert np.array_equal(photo.pixels, np.repeat(pixels, 3, 2) if channels == 1 else pixels[..., :3])
    assert channels < 4 or np.array_equal(photo.alpha, pixels[..., 3])


def test_8_bits_stay_8_and_half_a_file_is_refused(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    coded = io.BytesIO()
    Image.fromarray(pixels).save(coded, "JPEG2000")
    (tmp_path / "a.jp2").write_bytes(coded.getvalue())
    assert read_photo(tmp_path / "a.jp2").pixels.dtype == np.uint8
    whole = base64.b64decode(RGB)
    for length in (60, 100, len(whole) // 2):
        (tmp_path / "cut.j2k").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"cut\.j2k"):
            read_photo(tmp_path / "cut.j2k")
