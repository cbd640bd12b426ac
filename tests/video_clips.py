"""Small videos with known pixels, and a network with known mattes."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from torch import nn

from p3m_lightning.schema import MattingOutput

RATE = 48000


class RedIsAlpha(nn.Module):
    """Takes the red channel for the matte; `alive` frames in, then Ctrl-C."""

    needs_trimap = False

    def __init__(self, alive: int | None = None) -> None:
        super().__init__()
        self.alive, self.seen = alive, 0

    def forward(self, images):
        if self.alive is not None and self.seen >= self.alive and images.shape[-1] > 32:
            raise KeyboardInterrupt
        self.seen += len(images) if images.shape[-1] > 32 else 0  # 32: the predictor's own trial
        return MattingOutput(images[:, :1])


def moving_disc(frames: int = 14, size: tuple[int, int] = (64, 96)) -> list[np.ndarray]:
    """uint8 RGB: a soft disc in red that wanders over a gradient in green and blue."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    images = []
    for t in range(frames):
        disc = np.clip(1.4 - np.hypot(columns - 30 - 2 * t, rows - size[0] / 2 - t) / 20, 0, 1)
        images.append(np.dstack([255 * disc, 255 * columns / size[1], 60 + 0 * rows]).round().astype(np.uint8))
    return images


def uneven_times(frames: int) -> list[int]:
    """Milliseconds: steps of 20, 60 and 40, from 100 on."""
    return [100 + sum((20, 60, 40)[i % 3] for i in range(t)) for t in range(frames)]


def write_video(path: Path, images: list[np.ndarray], times: list[int] | None = None, **keys) -> Path:
    """Write RGB frames without loss (PNG in .mov, FFV1 in .mkv) at `times` in milliseconds.

    Keys: `rotation` in degrees, `matrix` of FFmpeg, `aspect` of a pixel, `sound` as a codec that gets a tone, another
    `codec`, `options`.
    """
    times = times or [40 * i for i in range(len(images))]
    base = Fraction(1, 1000)
    codec = keys.get("codec") or {".mov": "png", ".mkv": "ffv1"}[path.suffix]
    with av.open(str(path), "w", options=keys.get("options", {})) as container:
        stream = container.add_stream(codec, rate=25)
        stream.pix_fmt = {"png": "rgb24", "ffv1": "bgr0"}.get(codec, "yuv420p")
        stream.height, stream.width = images[0].shape[:2]
        stream.time_base = stream.codec_context.time_base = base
        if "rotation" in keys:
            stream.set_display_rotation(keys["rotation"])
        stream.codec_context.sample_aspect_ratio = keys.get("aspect", 1)
        if "matrix" in keys:
            stream.set_display_matrix(keys["matrix"])
        track = container.add_stream(keys["sound"], rate=RATE, layout="mono") if "sound" in keys else None
        for image, time in zip(images, times, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = time, base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if track:
            container.mux(track.encode(_tone(times[-1] + 40)))
            container.mux(track.encode())
    return path


def write_streams(path: Path, kinds: Sequence[str], frames: int = 8, **keys) -> Path:
    """Write a file with streams of these kinds, in order.

    Kinds: `video` (a moving disc), `mjpeg` (the same as motion JPEG), `small` (a smaller black video), `cover` (a
    picture of another size), `attachment` (the same in Matroska), or a codec of sound, with its layout behind a colon:
    `ac3:5.1(side)`.
    Keys: `default`, the number of the stream that is marked as default.
    """
    codecs = {"video": "h264", "small": "h264", "mjpeg": "mjpeg", "cover": "png"}
    with av.open(str(path), "w") as container:
        streams = []
        for kind in kinds:
            codec, _, layout = kind.partition(":")
            if kind == "attachment":
                picture = cv2.imencode(".png", np.zeros((90, 90, 3), np.uint8))[1].tobytes()
                streams.append(container.add_attachment("cover.png", "image/png", picture))
                continue
            if kind in codecs:
                stream = container.add_stream(codecs[kind], rate=25)
                stream.height, stream.width = {"cover": (90, 90), "small": (32, 48)}.get(kind, (64, 96))
                stream.pix_fmt = {"cover": "rgb24", "mjpeg": "yuvj420p"}.get(kind, "yuv420p")
                if kind == "cover":
                    stream.disposition = av.stream.Disposition.attached_pic
                else:
                    stream.disposition = av.stream.Disposition(0)
            else:
                stream = container.add_stream(codec, rate=RATE, layout=layout or "stereo")
            streams.append(stream)
        if "default" in keys:
            streams[keys["default"]].disposition = av.stream.Disposition.default
        for kind, stream in zip(kinds, streams, strict=True):
            if kind == "attachment":
                continue
            if stream.type == "audio":
                _write_layout(container, stream, frames)
                continue
            count = 1 if kind == "cover" else frames
            images = [np.zeros((stream.height, stream.width, 3), np.uint8)] * count
            for i, image in enumerate(moving_disc(frames) if kind in ("video", "mjpeg") else images):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=stream.pix_fmt)
                frame.pts, frame.time_base = i, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return path


def _write_layout(container: av.container.OutputContainer, stream: av.AudioStream, frames: int) -> None:
    """A tone of 440 Hz in the first channel, one of 880 in the second, silence in the others."""
    time = np.arange(RATE * frames // 25) / RATE
    samples = np.zeros((stream.codec_context.layout.nb_channels, len(time)), np.float32)
    for channel, hertz in zip(samples, (440, 880), strict=False):
        channel[:] = 0.3 * np.sin(2 * np.pi * hertz * time)
    interleaved = np.ascontiguousarray(samples.T).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=stream.codec_context.layout.name)
    frame.sample_rate, frame.pts = RATE, 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode())


def _tone(milliseconds: int) -> av.AudioFrame:
    samples = np.sin(2 * np.pi * 440 * np.arange(RATE * milliseconds // 1000) / RATE)
    frame = av.AudioFrame.from_ndarray((12000 * samples).astype(np.int16)[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts = RATE, 0
    return frame


def read_video(path: Path, format: str = "rgb24", decoder: str | None = None) -> tuple[list[np.ndarray], list[float]]:
    """Return all frames and their times in seconds; `decoder` where FFmpeg's choice would not do (alpha of VP9)."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = container.decode(stream)
        if decoder:
            context = av.CodecContext.create(decoder, "r")
            frames = (f for p in container.demux(stream) for f in context.decode(p if p.size else None))
        pictures = [(f.reformat(format=format).to_ndarray(), float(f.pts * stream.time_base)) for f in frames]
    return [picture for picture, _ in pictures], [time for _, time in pictures]


def read_sound(path: Path) -> np.ndarray:
    """Return the samples of the first audio stream, float in [-1, 1]."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    with av.open(str(path)) as container:
        parts = [f.to_ndarray()[0] for frame in container.decode(audio=0) for f in resampler.resample(frame)]
    return np.concatenate(parts) / 32768


def sound_packets(path: Path) -> list[bytes]:
    """Return the encoded sound as it lies in the file."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]
