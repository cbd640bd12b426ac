"""Kinds of files that are given as weights, judged by their content."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Literal

from p3m_lightning.schema import InputError

FETCH = "fetch it again"
BEGINNINGS = {
    rb"version https://git-(lfs|annex)": ("a Git LFS pointer, not the file itself", "`git lfs pull` fetches it"),
    rb"(\xef\xbb\xbf)?\s*<": ("a page in HTML or XML", "download the file itself"),
    rb"(\xef\xbb\xbf)?\s*[{[]\s*[\"\]}{\[\d]": ("JSON", "give the weights file that belongs to it"),
    rb"\x08[\x01-\x1f][\x12\x1a\x22\x32\x3a\x42]": (
        "an ONNX file",
        "`p3m predict --ckpt FILE.onnx` runs one; elsewhere give the checkpoint it was exported from",
    ),
    rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd": ("a compressed file", "unpack it first"),
    rb"(?s).{257}ustar": ("a tar archive", "unpack it first"),
    rb"\x89HDF": ("an HDF5 file, as Keras writes them", "only PyTorch and safetensors files are read"),
    rb"GGUF|(?s:.{4}TFL3)": ("a model of another framework", "only PyTorch and safetensors files are read"),
    rb"\x93NUMPY": ("a NumPy array", "only PyTorch and safetensors files are read"),
    rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF|II\*\x00|MM\x00\*|(?s:.{4}ftyp)": (
        "an image or a video, not a checkpoint",
        "give a file of weights",
    ),
    rb"%PDF": ("a PDF, not a checkpoint", "give a file of weights"),
}
"""Beginnings of files that are given as weights by mistake: what they are, and what to do."""


def weights_format(path: Path) -> Literal["safetensors", "torch"]:
    """Return the format of a weights file, judged by its content.

    Raises:
        InputError: it is neither; the message says what it is, and what to do.
    """
    if path.is_dir():
        raise InputError(f"{path}: a folder; give a file in it")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    with open(path, "rb") as file:
        start = file.read(512)
    if start[8:9] == b"{" and (path.suffix == ".safetensors" or start[4:8] == bytes(4)):
        return "safetensors"
    what, cure = _kind(path, start)
    if what:
        raise InputError(f"{path}: {what}; {cure}")
    return "torch"


def _kind(path: Path, start: bytes) -> tuple[str, str]:
    """Return what a file is and what to do about it, or two empty strings if it may be a PyTorch file."""
    if not start.strip(b"\0"):
        return ("an empty file" if not start else "a file of zeros, such as an unfinished download leaves"), FETCH
    for pattern, found in BEGINNINGS.items():
        if re.match(pattern, start):
            return found
    if start.startswith(b"PK"):
        return _kind_of_archive(path)
    if start.startswith((b"\x80", b"}", b"(", b"c")):  # pickles
        return "", ""
    try:
        text = start.decode(errors="strict" if len(start) < 512 else "ignore")
    except UnicodeDecodeError:
        return "neither a PyTorch nor a safetensors file", FETCH
    line = text.strip().partition("\n")[0][:40]
    return (
        "a text file" if text.isprintable() or line.isprintable() else "not a file of weights"
    ), f"it begins with {line!r}"


def _kind_of_archive(path: Path) -> tuple[str, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # a broken archive fails in many ways
        return "a truncated PyTorch file or ZIP archive", FETCH
    if any(name.endswith("/constants.pkl") for name in names):
        return "a TorchScript program", "give the checkpoint it was made from"
    if any(name.endswith("data.pkl") for name in names):
        return "", ""
    if all(name.endswith(".npy") for name in names):
        return "NumPy arrays (.npz)", "only PyTorch and safetensors files are read"
    return f"a ZIP archive of {len(names)} files", "unpack it, and give the weights file in it"
