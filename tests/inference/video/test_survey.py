"""Lengths of videos, and signs of truncated ones; what is refused is in test_video.py."""

import re
from fractions import Fraction
from types import SimpleNamespace

import av
import pytest
import torch

from p3m_lightning import Predictor
from p3m_lightning.inference.video import Product, matte_video
from p3m_lightning.inference.video.reader import VideoReader
from p3m_lightning.inference.video.streams import VideoError
from p3m_lightning.inference.video.survey import survey
from video_clips import RedIsAlpha, moving_disc, write_video

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "words"),
    [("a.gif", "gif", "rgb8", "lacks the end"), ("a.mxf", "mpeg2video", "yuv422p", r"promises 1.20 s .* after 0")],
)
def test_what_seems_truncated_is_told(tmp_path, name, codec, pixels, words):
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixels
        for image in moving_disc(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixels)))
        container.mux(stream.encode())
    assert VideoReader(tmp_path / name).doubt == ""
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) * 6 // 10])
    said: list[str] = []
    matte_video(
        Predictor(RedIsAlpha(), "cpu", "native"),
        tmp_path / name,
        tmp_path / "out.mp4",
        Product("matte"),
        announce=said.append,
    )
    assert re.search(words, said[0])


def test_the_length_of_a_video_that_begins_late(tmp_path):
    source = write_video(tmp_path / "late.mkv", moving_disc(4), [5000 + 40 * i for i in range(4)])
    reader = VideoReader(source)
    assert reader.seconds == pytest.approx(0.16)
    assert reader.doubt == ""


def test_a_container_that_cannot_be_read_on_is_named_before_it_is_decoded(tmp_path):
    """Found by fuzzing: FFmpeg gives up in the middle of some damaged AVI files, which have no index."""

    def demux(stream):
        for number in range(2):
            yield SimpleNamespace(size=9, pts=number, duration=1, time_base=Fraction(1, 4))
        raise av.error.InvalidDataError(1, "Invalid data found")

    path = tmp_path / "a.avi"
    path.write_bytes(b"RIFF")
    stream = SimpleNamespace(index_entries=[], frames=0)
    with pytest.raises(VideoError, match=r"a\.avi: cannot be read after 0\.50 s \(Invalid data found\)$"):
        survey(path, SimpleNamespace(demux=demux), stream)
