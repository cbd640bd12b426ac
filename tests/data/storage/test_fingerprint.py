import shutil

import pytest

from p3m_lightning.data.datasets import MattingDataset
from p3m_lightning.data.mixtures import MixedDataset
from p3m_lightning.data.prepare.pack_folder import pack_dataset
from p3m_lightning.data.storage.fingerprint import SAMPLED, fingerprint
from p3m_lightning.schema import InputError


@pytest.fixture
def copied(portraits, tmp_path):
    return shutil.copytree(portraits, tmp_path / "elsewhere")


def test_the_same_files_in_another_folder_have_the_same_fingerprint(portraits, copied):
    first, second = (fingerprint(MattingDataset(root, split="P3M-500-P")) for root in (portraits, copied))
    assert first == second
    assert first["samples"] == 4
    assert len(first["sha256"]) == 16


def test_packs_hold_the_same_pixels_and_change_nothing(copied):
    before = fingerprint(MattingDataset(copied, "synthetic"))
    pack_dataset(copied, "synthetic", workers=1)
    dataset = MattingDataset(copied, "synthetic")
    assert "pack" in dataset.files[dataset.names[0]]
    assert fingerprint(dataset) == before


def test_another_selection_of_images_has_another_fingerprint(portraits):
    sets = [{}, {"limit": 3}, {"images": "original_image"}, {"face": True}]
    found = [fingerprint(MattingDataset(portraits, split="P3M-500-P", **keys))["sha256"] for keys in sets]
    assert len(set(found)) == 4


def test_one_changed_byte_of_a_small_set_is_seen(portraits, copied):
    before = fingerprint(MattingDataset(copied, split="P3M-500-P"))
    file = sorted((copied / "validation/P3M-500-P/mask").iterdir())[-1]
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    assert fingerprint(MattingDataset(copied, split="P3M-500-P")) != before


def test_of_a_large_set_few_files_are_read(tmp_path, monkeypatch):
    for folder in ("image", "alpha"):
        (tmp_path / folder).mkdir()
        for number in range(300):
            (tmp_path / folder / f"{number:03}.png").write_bytes(b"x" * number)
    dataset = MattingDataset(tmp_path, name="folder", split="test")
    read = []
    whole = type(tmp_path).read_bytes
    monkeypatch.setattr(type(tmp_path), "read_bytes", lambda path: read.append(path) or whole(path))
    found = fingerprint(dataset)
    assert found["samples"] == 300
    assert SAMPLED - 2 <= len(read) / 2 <= SAMPLED
    (tmp_path / "image" / "123.png").write_bytes(b"x" * 1000)
    assert fingerprint(dataset) != found


def test_a_mixture_counts_all_of_its_sets(portraits):
    parts = {name: MattingDataset(portraits, images=f"{name}_image") for name in ("blurred", "original")}
    mixed = fingerprint(MixedDataset(parts))
    assert mixed["samples"] == 12
    assert mixed["sha256"] not in {fingerprint(part)["sha256"] for part in parts.values()}


def test_a_file_that_is_gone_is_named(copied):
    dataset = MattingDataset(copied, split="P3M-500-P")
    gone = sorted((copied / "validation/P3M-500-P/mask").iterdir())[0]
    gone.unlink()
    with pytest.raises(InputError, match=gone.name):
        fingerprint(dataset)
