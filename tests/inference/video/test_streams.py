"""Which stream is the video, whatever else the file holds and however it is called."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from p3m_lightning import Predictor
from p3m_lightning.inference.video import Product, matte_video
from p3m_lightning.inference.video.reader import VideoReader
from p3m_lightning.inference.video.streams import VideoError
from video_clips import RedIsAlpha, moving_disc, read_video, write_streams, write_video

torch.set_num_threads(1)


def predictor() -> Predictor:
    return Predictor(RedIsAlpha(), "cpu", "native")


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("cover_first.mp4", ["cover", "video"]),
        ("cover_last.mp4", ["video", "cover"]),
        ("cover.mkv", ["attachment", "video", "ac3"]),
        ("two.mkv", ["small", "video"]),
        ("sound_first.mkv", ["ac3", "small", "video"]),
        ("motion_jpeg.avi", ["mjpeg"]),
        ("motion_jpeg_and_cover.mp4", ["cover", "mjpeg"]),
    ],
)
def test_the_moving_pictures_are_taken(tmp_path, name, kinds):
    reader = VideoReader(write_streams(tmp_path / name, kinds))
    frames = list(reader.frames())
    assert reader.size == (64, 96)
    assert len(frames) == 8
    difference = np.abs(np.stack([f.pixels for f in frames]).astype(int) - np.stack(moving_disc(8)))
    assert np.median(difference) < 12
    assert bool(reader.choice) == (
        len([k for k in kinds if k in ("attachment", "cover", "small", "video", "mjpeg")]) > 1
    )


def test_the_stream_marked_as_default_goes_before_a_larger_one(tmp_path):
    path = write_streams(tmp_path / "two.mkv", ["video", "small"], default=1)
    reader = VideoReader(path)
    assert reader.size == (32, 48)
    assert reader.choice == "stream 1 of 2 video streams is taken"


def test_a_sound_file_with_a_cover_says_so(tmp_path):
    path = write_streams(tmp_path / "song.mp4", ["aac", "cover"])
    with pytest.raises(VideoError, match="no video stream: only a cover picture"):
        VideoReader(path)


@pytest.mark.parametrize("name", ["out:1.mov", "100%d.mov", "-", "a b=c,(d).mov", "tcp:80.mov", "\u00e9\u4e2d.mov"])
def test_any_file_name_is_read_and_written(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    source = write_video(tmp_path / "plain.mov", moving_disc(3))
    Path(name).with_suffix(".mov").write_bytes(source.read_bytes())
    target = Path("x" + name).with_suffix(".mov") if name == "-" else Path("out", name)
    target.parent.mkdir(exist_ok=True)
    assert matte_video(predictor(), Path(name).with_suffix(".mov"), target, Product("prores")) == 3
    assert len(read_video(f"file:{target}")[0]) == 3


@pytest.mark.parametrize(("name", "format"), [("out:1.mov", "prores"), ("-x.mp4", "matte"), ("a:b", "png")])
def test_a_relative_target_is_no_address(tmp_path, monkeypatch, name, format):
    source = write_video(tmp_path / "plain.mov", moving_disc(3))
    monkeypatch.chdir(tmp_path)
    assert matte_video(predictor(), source, name, Product(format)) == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["plain.mov", name])


@pytest.mark.parametrize(("name", "codec", "pixels"), [("a.mov", "png", "rgba"), ("a.webm", "libvpx-vp9", "yuva420p")])
@pytest.mark.parametrize("smoothing", ["none", "one_frame_delay"])
def test_the_own_alpha_of_a_video_limits_the_matte(tmp_path, name, codec, pixels, smoothing):
    opacity = np.zeros((64, 96), np.uint8)
    opacity[:, 40:] = 255
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"auto-alt-ref": "0"} if pixels == "yuva420p" else {})
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixels
        if pixels == "yuva420p":
            stream.metadata["alpha_mode"] = "1"
        for image in moving_disc(6):
            frame = av.VideoFrame.from_ndarray(np.dstack([image, opacity]), format="rgba")
            container.mux(stream.encode(frame.reformat(format=pixels)))
        container.mux(stream.encode())
    matte_video(predictor(), tmp_path / name, tmp_path / "out.mov", Product("prores"), smoothing, segment=2)
    alphas = np.stack(read_video(tmp_path / "out.mov", "rgba64le")[0])[..., 3] / 65535
    expected = np.stack(moving_disc(6))[..., 0] / 255
    assert alphas[:, :, :36].max() < 0.02
    assert np.abs(alphas - expected)[:, :, 44:].mean() < 0.02


@pytest.mark.parametrize("rotation", [90, 180, 270])
@pytest.mark.parametrize("name", ["a.webm", "a.mkv"])
def test_a_video_with_alpha_is_turned_as_any_other(tmp_path, name, rotation):
    images = moving_disc(2)
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=25, options={"auto-alt-ref": "0"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuva420p"
        stream.metadata["alpha_mode"] = "1"
        stream.set_display_rotation(rotation)
        for image in images:
            frame = av.VideoFrame.from_ndarray(np.dstack([image, image[..., :1]]), format="rgba")
            container.mux(stream.encode(frame.reformat(format="yuva420p")))
        container.mux(stream.encode())
    reader = VideoReader(tmp_path / name)
    frame = next(reader.frames())
    upright = np.rot90(images[0], rotation // 90)
    assert reader.size == upright.shape[:2]
    assert np.abs(frame.pixels.astype(int) - upright).mean() < 6
    assert np.abs(frame.opacity.astype(int) - upright[..., 0]).mean() < 6


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_frames_with_exif_of_which_pyav_knows_no_kind_are_read_and_turned(tmp_path, orientation, turns):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = moving_disc(1)[0]
    coded = io.BytesIO()
    Image.fromarray(image).save(coded, "JPEG", exif=exif, quality=95, subsampling=0)
    with av.open(str(tmp_path / "camera.mov"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj444p"
        container.start_encoding()
        for time in range(3):
            packet = av.Packet(coded.getvalue())
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, time, time, Fraction(1, 25)
            container.mux(packet)
    frames = list(VideoReader(tmp_path / "camera.mov").frames())
    assert len(frames) == 3
    assert np.abs(frames[0].pixels.astype(int) - np.rot90(image, turns)).mean() < 2


@pytest.mark.parametrize(("codec", "between"), [("h264", 0), ("h264", 3), ("mpeg4", 2)])
def test_frames_of_avi_follow_each_other_evenly(tmp_path, codec, between):
    with av.open(str(tmp_path / "in.avi"), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.max_b_frames = between
        for image in moving_disc(8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")))
        container.mux(stream.encode())
    reader = VideoReader(tmp_path / "in.avi")
    frames = list(reader.frames())
    assert [frame.time * reader.time_base for frame in frames] == [Fraction(i, 25) for i in range(8)]
    difference = np.abs(np.stack([f.pixels for f in frames]).astype(int) - np.stack(moving_disc(8)))
    assert difference[..., 0].mean(axis=(1, 2)).max() < 5
