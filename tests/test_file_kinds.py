"""Files that are given as weights by mistake."""

import io
import tarfile
import zipfile

import pytest
import torch

from p3m_lightning.models import load_model
from p3m_lightning.models.weights import read_weights
from p3m_lightning.schema import InputError


def packed(*names: str) -> bytes:
    """A ZIP archive of empty files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("net.pth"))
    return buffer.getvalue()


def saved(**content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


FOREIGN = {
    "page": (b"<!DOCTYPE html>\n<html><head>", "a page in HTML"),
    "indented page": (b"\xef\xbb\xbf\n  <html lang=en>", "a page in HTML"),
    "error of a store": (b'<?xml version="1.0"?><Error>', "XML"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull"),
    "onnx": (b"\x08\x0a\x12\x07pytorch\x1a\x052.15", "an ONNX file"),
    "json": (b'{"weight_map": {"a": "b"}}', "JSON"),
    "indented json": (b'{\n  "a": 1\n}', "JSON"),
    "gzip": (b"\x1f\x8b\x08\x00", "unpack it"),
    "tar": (tarred(), "tar archive"),
    "zip": (packed("a.txt", "b.txt"), "a ZIP archive of 2 files"),
    "npz": (packed("a.npy"), "NumPy"),
    "torchscript": (packed("net/constants.pkl", "net/data.pkl"), "TorchScript"),
    "half of a torch file": (saved(state_dict={"a": torch.zeros(500)})[:1200], "truncated"),
    "hdf5": (b"\x89HDF\r\n\x1a\n", "HDF5"),
    "picture": (b"\xff\xd8\xff\xe0\x00\x10JFIF", "an image"),
    "text": (b"404: Not Found", "404: Not Found"),
    "empty": (b"", "empty"),
    "zeros": (bytes(4096), "zeros"),
    "noise": (bytes(range(200, 256)), "neither"),
}


@pytest.mark.parametrize("name", ["net.ckpt", "net.safetensors", "net.pth"])
@pytest.mark.parametrize(("content", "reason"), FOREIGN.values(), ids=FOREIGN)
def test_other_files_are_called_what_they_are(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    for read in (read_weights, load_model):
        with pytest.raises(InputError, match=name) as caught:
            read(path)
        assert reason in str(caught.value)
        assert "run code" not in str(caught.value)
        assert "\n" not in str(caught.value)
