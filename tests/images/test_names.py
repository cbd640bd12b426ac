import unicodedata

import pytest
from PIL import Image

from p3m_lightning.images import IMAGE_SUFFIXES, images_by_stem, list_images
from p3m_lightning.images.decoding import FORMATS
from p3m_lightning.messages import tell
from p3m_lightning.schema import InputError


@pytest.fixture(autouse=True)
def _every_word_is_the_first():
    tell.cache_clear()


def test_folders_take_every_suffix_of_the_formats_that_are_read():
    Image.init()
    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in FORMATS}
    assert known - {".pfm"} == {suffix for suffix in IMAGE_SUFFIXES if suffix in known}  # floats are refused
    assert {".mpo", ".jif", ".pjpeg", ".heic"} <= IMAGE_SUFFIXES  # what a file holds is told by its content


def test_what_is_left_out_is_counted_by_name(tmp_path, caplog):
    for name in ("a.JPG", "b.jfif", "c.avif", "movie.mov", "notes.txt", ".DS_Store", "Thumbs.db"):
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == ["a.JPG", "b.jfif", "c.avif"]
    assert caplog.messages == [
        f"p3m: {tmp_path}: left out 2 files without the suffix of an image: movie.mov, notes.txt"
    ]


def test_many_files_left_out_are_one_line(tmp_path, caplog):
    for k in range(30):
        (tmp_path / f"{k}.txt").touch()
    (tmp_path / "a.png").touch()
    list_images(tmp_path)
    shown = "0.txt, 1.txt, 10.txt, 11.txt, 12.txt, ... (.txt 30)"
    assert caplog.messages[0].endswith(f"left out 30 files without the suffix of an image: {shown}")


def test_two_files_of_one_stem_are_refused_by_both_names(tmp_path):
    for name in ("p0.JPG", "p0.png"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"p0\.JPG and p0\.png share a stem"):
        images_by_stem(tmp_path)


def test_composed_and_decomposed_letters_are_one_name(tmp_path):
    for form in ("NFC", "NFD"):
        (tmp_path / (unicodedata.normalize(form, "caf\u00e9") + ".png")).touch()
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("this file system composes names itself")
    with pytest.raises(InputError, match="share a stem"):
        images_by_stem(tmp_path)
