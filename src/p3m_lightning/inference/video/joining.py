"""Finished segments and the source's sound become one file, without encoding pictures again."""

from __future__ import annotations

import heapq
import io
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from p3m_lightning.inference.video.reader import open_container
from p3m_lightning.inference.video.segments import Encoding, Parts, mark_alpha, picture_name

if TYPE_CHECKING:
    import av

MUXERS = {".mov": "mov", ".mp4": "mp4", ".mkv": "matroska", ".webm": "webm"}

OPUS_RATE = 48000


def join_video(parts: Parts, source: Path, time_base: Fraction, encoding: Encoding) -> None:
    """Write the target of `parts`: segments one after the other at the times of the source, and its sound.

    Sound is copied where the container takes it, else encoded again: Opus in WebM, AAC elsewhere. WebM and
    Matroska round times to milliseconds.
    """
    import av

    aside = parts.folder / f"joined{parts.target.suffix}"
    paths = parts.paths(parts.target.suffix)
    with av.open(str(aside), "w") as output, open_container(source) as original, av.open(str(paths[0])) as first:
        stream = output.add_stream_from_template(first.streams.video[0])
        stream.time_base = time_base
        mark_alpha(stream, encoding)
        suffix = parts.target.suffix.lower()
        heard = [track for track in original.streams.audio if track.codec_context]  # not what FFmpeg does not know
        tracks = {track.index: _sound(track, output, suffix) for track in heard}
        pictures = _video_packets(parts, paths, stream, time_base)
        for packet in heapq.merge(pictures, _sound_packets(original, tracks), key=_seconds):
            output.mux(packet)
    os.replace(aside, parts.target)


def join_pictures(parts: Parts, time_base: Fraction) -> None:
    """Move all pictures into the target, a folder, with their times in `frames.ffconcat`, which FFmpeg reads."""
    aside = parts.folder / "joined"
    aside.mkdir(exist_ok=True)
    lines = ["ffconcat version 1.0"]
    for number, (_, duration) in enumerate(parts.stamps()):
        lines += [f"file {picture_name(number)}", f"duration {float(duration * time_base):.6f}"]
    for folder in parts.paths(""):
        for picture in folder.iterdir():  # after a kill some have been moved already
            os.replace(picture, aside / picture.name)
    (aside / "frames.ffconcat").write_text("\n".join(lines) + "\n")
    os.replace(aside, parts.target)


def _video_packets(parts: Parts, paths: list[Path], stream: av.VideoStream, time_base: Fraction) -> Iterator[av.Packet]:
    packets = chain.from_iterable(map(_packets, paths))
    for packet, (time, duration) in zip(packets, parts.stamps(), strict=True):
        packet.stream, packet.time_base = stream, time_base
        packet.pts = packet.dts = time
        packet.duration = duration
        yield packet


def _packets(path: Path) -> Iterator[av.Packet]:
    import av

    with av.open(str(path)) as segment:
        yield from (packet for packet in segment.demux(video=0) if packet.size)


def _sound_packets(original: av.container.InputContainer, tracks: dict[int, Callable]) -> Iterator[av.Packet]:
    if not tracks:  # demux would take that for all streams
        return
    for packet in original.demux([original.streams[index] for index in tracks]):
        yield from tracks[packet.stream.index](packet)


def _sound(
    track: av.AudioStream, output: av.container.OutputContainer, suffix: str
) -> Callable[[av.Packet], Iterator[av.Packet]]:
    """Add a track to `output`; return what turns a packet of the source into packets of it."""
    if _is_taken(track, suffix):
        copy = output.add_stream_from_template(track)

        def copied(packet: av.Packet) -> Iterator[av.Packet]:
            if packet.dts is not None:
                packet.stream = copy
                yield packet

        return copied
    opus = suffix == ".webm"
    rate = OPUS_RATE if opus else track.rate
    encoder = output.add_stream("libopus" if opus else "aac", rate=rate, layout=track.layout.name)

    def encoded(packet: av.Packet) -> Iterator[av.Packet]:
        yield from chain.from_iterable(map(encoder.encode, packet.decode()))
        if packet.dts is None:  # the end
            yield from encoder.encode()

    return encoded


def _is_taken(track: av.AudioStream, suffix: str) -> bool:
    """Tell whether a container takes a track as it is, by a trial: what its muxer says it supports is not all."""
    import av

    try:
        with av.open(io.BytesIO(), "w", format=MUXERS[suffix]) as trial:
            trial.add_stream_from_template(track)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


def _seconds(packet: av.Packet) -> float:
    return float(packet.dts * packet.time_base)
