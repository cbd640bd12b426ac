"""Sound: copied, encoded in a layout that the encoder supports, dropped, or refused, before any frame."""

from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from p3m_lightning import Predictor
from p3m_lightning.inference.video import Product, matte_video
from p3m_lightning.schema import InputError
from video_clips import RATE, RedIsAlpha, moving_disc, sound_packets, write_streams

torch.set_num_threads(1)


def matted(source, target, format="matte", alive=None, **keys):
    said = []
    network = RedIsAlpha(alive)
    matte_video(Predictor(network, "cpu", "native"), source, target, Product(format), announce=said.append, **keys)
    return [line for line in said if line.startswith("sound")]


def channels(path, number=0):
    """The layout of a track, and its samples as float (channels, N)."""
    with av.open(str(path)) as container:
        track = container.streams.audio[number]
        layout = track.layout.name
        resampler = av.AudioResampler("flt", layout, RATE)  # interleaved: PyAV reads beyond eight planes
        parts = [f.to_ndarray()[0] for frame in container.decode(track) for f in resampler.resample(frame)]
        return layout, np.concatenate(parts).reshape(-1, track.layout.nb_channels).T


def pitch(samples):
    middle = samples[len(samples) // 4 : len(samples) // 4 * 3]
    return np.argmax(np.abs(np.fft.rfft(middle))) * RATE / len(middle)


@pytest.mark.parametrize(
    ("kind", "source", "target", "layout"),
    [
        ("ac3:5.1(side)", "in.mkv", "a.webm", "5.1"),
        ("ac3:5.0(side)", "in.mkv", "a.webm", "5.0"),
        ("flac:quad(side)", "in.mkv", "a.webm", "quad"),
        ("ac3:2.1", "in.mkv", "a.webm", "stereo"),
        ("pcm_s16le:4.0", "in.mkv", "a.webm", "stereo"),
        ("flac:7.1", "in.mkv", "a.webm", "7.1"),
        ("ac3:mono", "in.mkv", "a.webm", "mono"),
        ("pcm_s16le:stereo", "in.avi", "a.mp4", "stereo"),
        ("adpcm_ms:stereo", "in.avi", "a.mp4", "stereo"),
        ("pcm_s16le:mono", "in.avi", "a.mp4", None),
        ("pcm_s16le:4.0", "in.avi", "a.mp4", "4.0"),
        ("pcm_s16le:2.1", "in.avi", "a.mov", None),
        ("adpcm_ima_wav:stereo", "in.avi", "a.webm", "stereo"),
    ],
)
def test_every_layout_ends_in_a_file_that_plays(tmp_path, kind, source, target, layout):
    said = matted(write_streams(tmp_path / source, ["mjpeg", kind]), tmp_path / target)
    assert len(said) == 1
    assert kind.split(":")[0] in said[0]
    heard, samples = channels(tmp_path / target)
    assert layout is None or heard == layout
    assert abs(samples.shape[1] - RATE * 8 / 25) < 0.06 * RATE
    assert abs(pitch(samples[0]) - 440) < 12
    assert len(samples) == 1 or abs(pitch(samples[1]) - 880) < 12


def test_what_the_container_takes_is_copied_and_said(tmp_path):
    source = write_streams(tmp_path / "in.mkv", ["video", "ac3:5.1(side)", "aac"])
    assert matted(source, tmp_path / "a.mp4") == [
        "sound, stream 1 (ac3, 5.1(side)): copied",
        "sound, stream 2 (aac, stereo): copied",
    ]
    assert sound_packets(tmp_path / "a.mp4") == sound_packets(source)


def test_sound_is_encoded_or_dropped_as_wanted(tmp_path):
    source = write_streams(tmp_path / "in.mkv", ["video", "ac3:5.1(side)", "aac"])
    assert matted(source, tmp_path / "a.mp4", sound="encode")[0].endswith("encoded as aac 5.1(side)")
    assert channels(tmp_path / "a.mp4", 1)[0] == "stereo"
    assert all(line.endswith("dropped") for line in matted(source, tmp_path / "b.mp4", sound="drop"))
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert not container.streams.audio


@pytest.mark.parametrize(("wanted", "reason"), [("copy", r"stream 1 \(ac3.*cannot be copied"), ("loud", "choose from")])
def test_sound_that_does_not_go_as_wanted_is_refused_before_any_frame(tmp_path, wanted, reason):
    source = write_streams(tmp_path / "in.mkv", ["video", "ac3"])
    with pytest.raises(InputError, match=reason):
        matted(source, tmp_path / "a.webm", alive=0, sound=wanted)
    assert [p.name for p in tmp_path.iterdir()] == ["in.mkv"]


def test_sound_that_fails_at_the_end_costs_no_frame(tmp_path, monkeypatch):
    def failing(*_):
        raise av.error.ArgumentError(22, "Invalid argument")

    source = write_streams(tmp_path / "in.mkv", ["video", "ac3"])
    monkeypatch.setattr("p3m_lightning.inference.video.matting.join_video", failing)
    with pytest.raises(InputError, match="--resume --sound encode"):
        matted(source, tmp_path / "a.mp4")
    monkeypatch.undo()
    matted(source, tmp_path / "a.mp4", alive=0, resume=True, sound="drop")  # no frame goes through the network
    assert (tmp_path / "a.mp4").is_file()


def write_gap(path, codec, layout="mono", gap=0.5):
    """A video with a tone that lasts 0.3 s, is missing for `gap` seconds, and lasts again; in two languages."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 96, 64, "bgr0"
        tracks = [container.add_stream(codec, rate=RATE, layout=layout) for _ in range(2)]
        packets = []
        for track, language in zip(tracks, ("eng", "fra"), strict=True):
            track.metadata["language"] = language
            for begin in (0, round((0.3 + gap) * RATE)):
                tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(0.3 * RATE)) / RATE)
                samples = np.repeat(tone.astype(np.float32), len(track.layout.channels))[None]
                frame = av.AudioFrame.from_ndarray(samples, format="flt", layout=layout)
                frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
                packets += track.encode(frame)
            packets += track.encode()
        for i, image in enumerate(moving_disc(30)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="bgr0")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            packets += video.encode(frame)
        packets += video.encode()
        for packet in sorted((p for p in packets if p.size), key=lambda p: p.dts * p.time_base):
            container.mux(packet)
    return path


def loudness(path, begin, end):
    """The largest sample of the first track between two times, by the times of its packets."""
    largest = 0.0
    with av.open(str(path)) as container:
        track = container.streams.audio[0]
        resampler = av.AudioResampler("flt", "mono", RATE)
        for frame in container.decode(track):
            for heard in resampler.resample(frame):
                times = float(heard.pts * heard.time_base) + np.arange(heard.samples) / RATE
                chosen = np.abs(heard.to_ndarray()[0])[(times >= begin) & (times < end)]
                largest = max(largest, float(chosen.max(initial=0)))
    return largest


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_u8", "pcm_s24le", "pcm_f32le", "flac"])
@pytest.mark.parametrize("name", ["a.mov", "a.mp4", "a.mkv"])
def test_sound_after_a_gap_stays_at_its_time(tmp_path, codec, name):
    source = write_gap(tmp_path / "in.mkv", codec, "stereo" if codec == "pcm_s24le" else "mono", gap=1.5)
    matted(source, tmp_path / name)
    assert loudness(tmp_path / name, 0.1, 0.2) > 0.4
    assert loudness(tmp_path / name, 0.4, 1.7) < 0.05
    assert loudness(tmp_path / name, 1.9, 2) > 0.4


@pytest.mark.parametrize("name", ["a.mov", "a.mp4", "a.mkv", "a.webm"])
def test_tracks_keep_their_languages(tmp_path, name):
    source = write_gap(tmp_path / "in.mkv", "pcm_s16le", gap=0.1)
    matted(source, tmp_path / name)
    with av.open(str(tmp_path / name)) as container:
        assert [track.metadata.get("language") for track in container.streams.audio] == ["eng", "fra"]
