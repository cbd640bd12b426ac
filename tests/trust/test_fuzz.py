"""Coverage-guided fuzzing: every reader returns or raises InputError."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from fractions import Fraction
from pathlib import Path

import av
import pytest
from fuzz import READERS, fuzz
from own_records import whole_records
from seeds import APART, tiny_onnx
from verbs import LONG

from p3m_lightning.inference.video.reader import VideoReader

SECONDS = float(os.environ.get("P3M_TRUST_FUZZ", 300 if LONG else 60 / len(READERS)))  # for each reader


@pytest.mark.parametrize("name", READERS)
def test_a_reader_answers_whatever_the_bytes(name, tmp_path, tally):
    pytest.importorskip("atheris")  # has wheels for Linux alone
    found = fuzz(name, SECONDS, tmp_path)
    tally(f"fuzzed files, {name}", found.tried, [found.fault] if found.fault else [])
    assert found.covered > 0, "the fuzzer has seen nothing of the reader"


def test_what_a_reader_does_not_answer_is_found(tmp_path):
    """The fuzzer must find the fault of a JSON reader that trusts its input."""
    pytest.importorskip("atheris")
    found = fuzz("careless", 60, tmp_path)
    assert "ended with" in found.fault
    assert "KeyError" in found.fault or "TypeError" in found.fault or "JSONDecodeError" in found.fault
    assert list(tmp_path.glob("crash-*"))


def zip_with_a_name_of_no_encoding() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/dätä.pkl", b"")
    return out.getvalue().replace("dätä".encode(), b"d\xc2ata\xff")


def encrypted_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/constants.pkl", b"x")
    content = out.getvalue()
    at = content.index(b"PK\x01\x02") + 8
    return content[:6] + b"\x01" + content[7:at] + b"\x01" + content[at + 1 :]


def video_with_a_title_of_no_encoding(folder: Path) -> bytes:
    with av.open(str(folder / "a.mkv"), "w") as container:
        container.metadata["title"] = "TITLE"
        stream = container.add_stream("ffv1", rate=5)
        stream.width = stream.height = 16
        container.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
        container.mux(stream.encode())
    return (folder / "a.mkv").read_bytes().replace(b"TITLE", b"\xff\xfe\xfd\xfc\xfb")


def video_of_a_frame_an_hour(folder: Path) -> bytes:
    with av.open(str(folder / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 16
        for number in range(3):
            frame = av.VideoFrame(16, 16, "yuv420p")
            frame.pts, frame.time_base = number * 90_000, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return (folder / "a.mp4").read_bytes()


def png_without_a_palette() -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 3, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(20))) + chunk(b"IEND", b"")


def video_with_a_long_header(folder: Path) -> bytes:
    content = video_with_a_title_of_no_encoding(folder)
    magic, size, rest = content[:4], content[4] & 0x7F, content[5:]
    padding = b"\xec" + (0x4000 | 300).to_bytes(2, "big") + bytes(300)  # EBML's element for nothing
    return magic + (0x4000 | size + len(padding)).to_bytes(2, "big") + rest[:size] + padding + rest[size:]


def stage_with_a_column_of_no_encoding() -> bytes:
    kinds = list(whole_records())
    results, metrics = whole_records()["stage of a training"].files.values()
    return bytes([kinds.index("stage of a training")]) + results + APART + metrics.replace(b"val/sad", b"v\xb5")


FOUND = {
    "a palette that is missing": ("mattes", lambda _: png_without_a_palette()),
    "a header of Matroska longer than others": ("videos", video_with_a_long_header),
    "an archive with a name of no encoding": ("checkpoints", lambda _: zip_with_a_name_of_no_encoding()),
    "an encrypted archive": ("programs", lambda _: encrypted_zip()),
    "metadata of no encoding": ("onnx", lambda _: tiny_onnx("TEXT").replace(b"TEXT", b"\xff\xfe\xfd\xfc")),
    "a frame an hour": ("videos", video_of_a_frame_an_hour),
    "a title of no encoding": ("videos", video_with_a_title_of_no_encoding),
    "a value that YAML cannot make": ("cards", lambda _: b"name: !!bool x\n"),
    "a run whose value YAML cannot make": ("runs", lambda _: b"a: !!timestamp b\n--8<--\n{}"),
    "metrics with a name of no encoding": ("records", lambda _: stage_with_a_column_of_no_encoding()),
    "a date that is none": ("cards", lambda _: b"a: 2001-99-99\n"),
    "a deep list": ("landmarks", lambda _: b"[" * 100_000),
    "a number beyond floats": ("landmarks", lambda _: b'{"landmarks": {"a": [[[1%s, 1]]]}}' % (b"0" * 400)),
}
"""Bytes that readers did not answer once."""


@pytest.mark.parametrize(("name", "content"), FOUND.values(), ids=FOUND)
def test_what_was_found_stays_mended(name, content, tmp_path):
    READERS[name]()(content(tmp_path), tmp_path / "file")


def test_a_video_with_a_long_header_is_read_all_the_same(tmp_path):
    (tmp_path / "b.mkv").write_bytes(video_with_a_long_header(tmp_path))
    assert VideoReader(tmp_path / "b.mkv").size == (16, 16)


def test_a_video_with_a_title_of_no_encoding_is_read_all_the_same(tmp_path):
    (tmp_path / "b.mkv").write_bytes(video_with_a_title_of_no_encoding(tmp_path))
    assert VideoReader(tmp_path / "b.mkv").size == (16, 16)
