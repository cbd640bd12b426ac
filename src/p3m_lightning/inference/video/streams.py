"""Opening media files whatever their names, and choosing among several video streams."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from p3m_lightning.schema import InputError

if TYPE_CHECKING:
    import av

ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Decoders that return the alpha of WebM; FFmpeg's own, which it prefers, drop it."""


class VideoError(InputError):
    """The error of a file that is not a video, or is truncated."""


def media_address(path: str | Path) -> str:
    """Return a path in a form safe for FFmpeg, which takes `a:b.mov` for a URL and `-` for standard output."""
    return f"file:{Path(path).absolute()}"


def open_container(path: str | Path) -> av.container.InputContainer:
    """Open a media file for reading.

    Raises:
        VideoError: missing, or not a media file; the message names it.
    """
    import av

    if not Path(path).is_file():  # FFmpeg would take some names for URLs and devices
        raise VideoError(f"{path}: " + ("is a folder; give a video file" if Path(path).is_dir() else "no such file"))
    try:
        return av.open(media_address(path), metadata_errors="replace")  # titles may not be UTF-8
    except av.FFmpegError as error:
        raise VideoError(f"{path}: not a video that can be read ({error.strerror})") from None


def choose_stream(container: av.container.InputContainer, path: str | Path) -> av.VideoStream:
    """Return the video stream to use: the one marked as default, else the largest, else the first.

    Cover images and thumbnails, which FFmpeg counts as video streams, are ignored.

    Raises:
        VideoError: no video; the message distinguishes a sound file with a cover image from one without.
    """
    import av

    pictures = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    videos = [stream for stream in container.streams.video if not stream.disposition & pictures]
    if not videos:
        only = ": only a cover picture" if container.streams.video else " in it"
        raise VideoError(f"{path}: no video stream{only}")
    known = [stream for stream in videos if stream.codec_context]
    if not known:
        raise VideoError(f"{path}: the installed FFmpeg has no decoder for its video")
    default = av.stream.Disposition.default
    return max(known, key=lambda s: (bool(s.disposition & default), s.width * s.height, -s.index))


def decode(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """Yield the frames of a stream from the current position, with their alpha if it is coded separately.

    AVI stores no presentation times, and what FFmpeg makes of the order of coding goes back and forth where frames are
    coded out of order. There the frames get the times of the packets, in order.
    """
    if container.format.name == "avi":
        yield from _in_order(container, stream)
    else:
        yield from _decode(container, stream)


def _in_order(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    times: deque[int] = deque()
    for packet in container.demux(stream):
        if packet.size and packet.dts is not None:
            times.append(packet.dts)
        for frame in stream.decode(packet):
            frame.pts = times.popleft() if times else None
            yield frame


def _decode(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    import av

    tags = {name.lower(): value for name, value in stream.metadata.items()}
    decoder = ALPHA_DECODERS.get(stream.codec_context.name) if tags.get("alpha_mode") == "1" else None
    if decoder is None or decoder not in av.codecs_available:
        yield from container.decode(stream)
        return
    context = av.CodecContext.create(decoder, "r")
    assert isinstance(context, av.VideoCodecContext)
    for packet in container.demux(stream):
        for frame in context.decode(packet if packet.size else None):
            frame.time_base = stream.time_base
            yield frame
