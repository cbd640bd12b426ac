"""Joining finished segments and the source's sound into one file, without reencoding frames."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from p3m_lightning.inference.video.segments import Encoding, Parts, mark_alpha, picture_name
from p3m_lightning.inference.video.sound import Convert, Track, add_track
from p3m_lightning.inference.video.streams import media_address, open_container

if TYPE_CHECKING:
    import av

REPEATABLE = {"fflags": "+bitexact"}
"""Suppresses the random segment IDs of Matroska and WebM, so that equal frames give equal files."""


def join_video(
    parts: Parts, source: Path, time_base: Fraction, encoding: Encoding, sound: Sequence[Track] = ()
) -> None:
    """Write the target of `parts`: segments one after another at the times of the source, and its sound.

    WebM and Matroska round times to milliseconds.
    """
    import av

    aside = parts.folder / f"joined{parts.target.suffix}"
    paths = parts.paths(parts.target.suffix)
    with (
        av.open(media_address(aside), "w", options=REPEATABLE) as output,
        open_container(source) as original,
        av.open(media_address(paths[0])) as first,
    ):
        template = first.streams.video[0]
        stream = output.add_stream_from_template(template)
        stream.time_base = time_base
        stream.codec_context.sample_aspect_ratio = template.sample_aspect_ratio or Fraction(1)  # not in the template
        mark_alpha(stream, encoding)
        tracks = {track.stream: add_track(track, original, output) for track in sound}
        pictures = _video_packets(parts, paths, stream, time_base)
        for packet in heapq.merge(pictures, _sound_packets(original, tracks), key=_seconds):
            output.mux(packet)
    os.replace(aside, parts.target)


def join_pictures(parts: Parts, time_base: Fraction) -> None:
    """Move all images into the target, a folder, with their times in `frames.ffconcat`, which FFmpeg reads."""
    aside = parts.folder / "joined"
    aside.mkdir(exist_ok=True)
    lines = ["ffconcat version 1.0"]
    for number, (_, duration) in enumerate(parts.stamps()):
        lines += [f"file {picture_name(number)}", f"duration {float(duration * time_base):.6f}"]
    for folder in parts.paths(""):
        for picture in folder.iterdir():  # some may have been moved before a kill
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

    with av.open(media_address(path)) as segment:
        yield from (packet for packet in segment.demux(video=0) if packet.size)


def _sound_packets(original: av.container.InputContainer, tracks: dict[int, Convert]) -> Iterator[av.Packet]:
    if not tracks:  # demux would read all streams
        return
    for packet in original.demux([original.streams[index] for index in tracks]):
        yield from tracks[packet.stream.index](packet)


def _seconds(packet: av.Packet) -> float:
    return float((packet.dts or 0) * packet.time_base)
