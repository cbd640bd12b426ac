"""Lengths of videos, and signs of truncated ones; what is refused is in test_video.py."""

import re

import av
import pytest
import torch

from p3m_lightning import Predictor
from p3m_lightning.inference.video import Product, matte_video
from p3m_lightning.inference.video.reader import VideoReader
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
