"""HEIC and HEIF photographs are recognized by their first bytes, and AVIF is none of them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, features

from p3m_lightning.images import heif


@pytest.mark.parametrize("brand", ["heic", "heix", "mif1"])
def test_the_brands_of_phones_are_heif(brand):
    assert heif.is_heif(b"\0\0\0\x18ftyp" + brand.encode() + b"\0\0\0\0")


def test_other_files_are_not():
    assert not heif.is_heif(b"")
    assert not heif.is_heif(b"\0\0\0\x18ftypisom\0\0\0\0")
    if features.check("avif"):
        content = io.BytesIO()
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(content, "AVIF")
        assert not heif.is_heif(content.getvalue()[:32])
