"""The sound of a video: copied if the container allows it, else encoded; decided and tried before any frame."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from p3m_lightning.inference.video.streams import open_container
from p3m_lightning.schema import InputError

if TYPE_CHECKING:
    import av

SOUNDS = ("copy", "encode", "drop")

MUXERS = {".mov": "mov", ".mp4": "mp4", ".mkv": "matroska", ".webm": "webm"}

LAYOUTS = ("", "mono", "stereo", "2.1", "4.0", "5.0", "5.1", "6.1", "7.1")
"""Layouts that FFmpeg assumes for numbers of channels without declared positions."""

NAMES = ("language", "title")
"""Keys of a track's metadata that are kept."""

GAP = 0.02
"""Seconds without samples that count as a gap; Matroska rounds times to milliseconds."""

TRIED = 30
"""Packets of a track that are written as a trial."""


class Track(NamedTuple):
    """Decision about one track of the source."""

    stream: int  # its index
    codec: str = ""  # the encoder; empty to copy
    layout: str = ""  # of the encoded sound, as rate
    rate: int = 0
    given: str = ""  # the assumed layout of the source

    def __str__(self) -> str:
        return f"encoded as {self.codec} {self.layout}" if self.codec else "copied"


Convert = Callable[["av.Packet"], Iterator["av.Packet"]]


def plan_sound(source: Path, suffix: str, wanted: str | None, announce: Callable[[str], None]) -> list[Track]:
    """Decide how to treat every track, by a trial of each.

    Args:
        source: the video.
        suffix: of the output, a key of `MUXERS`.
        wanted: one of `SOUNDS`; None to copy if the container allows it, and encode otherwise.
        announce: called with one line per track.

    Raises:
        InputError: a track can be neither copied nor encoded, or not as requested; `wanted` is unknown.
    """
    if wanted not in (None, *SOUNDS):
        raise InputError(f"--sound {wanted}: choose from {', '.join(SOUNDS)}")
    plan = []
    with open_container(source) as container:
        for track in container.streams.audio:
            name = f"sound, stream {track.index}"
            if not track.codec_context:
                announce(f"{name}: dropped; FFmpeg does not know its codec")
                continue
            name += f" ({track.codec_context.name}, {track.layout.name})"
            if wanted == "drop":
                announce(f"{name}: dropped")
                continue
            planned = _plan_track(source, track, suffix, wanted)
            if planned is None:
                cure = (
                    "use --sound encode, drop, or another file type"
                    if wanted == "copy"
                    else "--sound drop leaves it out"
                )
                what = "copied" if wanted == "copy" else "encoded"
                raise InputError(f"{source}: {name} cannot be {what} into a {suffix}; {cure}")
            announce(f"{name}: {planned}")
            plan.append(planned)
    return plan


def add_track(track: Track, original: av.container.InputContainer, output: av.container.OutputContainer) -> Convert:
    """Add a track to `output`; return a function that converts packets of the source."""
    stream = next(stream for stream in original.streams.audio if stream.index == track.stream)
    return _encoded(track, stream, output) if track.codec else _copied(stream, output)


def _name(track: av.AudioStream, original: av.AudioStream) -> None:
    """Give a track the language, title and role of the original, which players show for the choice among several."""
    track.metadata.update({key: value for key, value in original.metadata.items() if key in NAMES})
    track.disposition = original.disposition


def _plan_track(source: Path, track: av.AudioStream, suffix: str, wanted: str | None) -> Track | None:
    """Return the treatment of a track, or None if the container accepts none that was requested."""
    copy = Track(track.index)
    if wanted != "encode" and _succeeds(copy, source, suffix):
        return copy
    if wanted == "copy":
        return None
    codec = "libopus" if suffix == ".webm" else "aac"
    given, channels = track.layout.name, track.layout.nb_channels
    if "channels" in given and channels < len(LAYOUTS):  # channels in unknown order
        given = LAYOUTS[channels]
    rate = _nearest_rate(codec, track.rate)
    twin = given.removesuffix("(side)")  # side speakers count as back speakers
    for layout in dict.fromkeys((given, twin, "stereo")):
        encoded = Track(track.index, codec, layout, rate, given)
        if _succeeds(encoded, source, suffix):
            return encoded
    return None


def _nearest_rate(codec: str, rate: int) -> int:
    """Return the lowest rate of an encoder that is not below `rate`, else its highest."""
    import av

    if codec == "libopus":
        return 48000
    rates = av.Codec(codec, "w").audio_rates or [rate]
    return min((r for r in rates if r >= rate), default=max(rates))


def _succeeds(track: Track, source: Path, suffix: str) -> bool:
    """Return whether the first packets of a track can be written; a muxer's list of codecs is not reliable."""
    import av

    try:
        with open_container(source) as original, av.open(io.BytesIO(), "w", format=MUXERS[suffix]) as trial:
            convert = add_track(track, original, trial)
            trial.start_encoding()
            packets = original.demux(original.streams[track.stream])
            for packet in islice((packet for packet in packets if packet.size), TRIED):
                trial.mux(list(convert(packet)))
    except (av.FFmpegError, ValueError):
        return False
    return True


def _copied(stream: av.AudioStream, output: av.container.OutputContainer) -> Convert:
    copy = output.add_stream_from_template(stream)
    _name(copy, stream)
    fill = _make_fill(stream) if output.format.name in ("mov", "mp4") else None
    last: int | None = None

    def convert(packet: av.Packet) -> Iterator[av.Packet]:
        nonlocal last
        if packet.dts is not None and (last is None or packet.dts > last):  # muxers refuse times that go back
            last = packet.dts
            for part in (*(fill(packet) if fill else ()), packet):
                part.stream = copy
                yield part

    return convert


def _make_fill(stream: av.AudioStream) -> Convert | None:
    """Return a function that yields the silence missing before a packet; None if the samples have no fixed size.

    MOV and MP4 store samples of fixed size without times, so that after a gap everything would come too early.
    """
    import av

    plain = re.fullmatch(r"pcm_(u(?=8)|[sf])(8|16|24|32|64)(?:le|be)?", stream.codec_context.name)
    if not plain:
        return None
    silence = b"\x80" if plain[1] == "u" else b"\0"
    frame, rate = int(plain[2]) // 8 * stream.layout.nb_channels, stream.rate
    end: float | None = None

    def fill(packet: av.Packet) -> Iterator[av.Packet]:
        nonlocal end
        time = float((packet.dts or 0) * packet.time_base)
        while end is not None and time - end > GAP:
            count = round(min(time - end, 1) * rate)  # a gap may be long
            lacking = av.Packet(silence * (count * frame))
            lacking.time_base = packet.time_base
            lacking.pts = lacking.dts = round(end / packet.time_base)
            yield lacking
            end += count / rate
        end = (time if end is None else end) + packet.size / frame / rate

    return fill


def _encoded(track: Track, stream: av.AudioStream, output: av.container.OutputContainer) -> Convert:
    import av

    encoder = output.add_stream(track.codec, rate=track.rate, layout=track.layout)
    assert isinstance(encoder, av.AudioStream)
    _name(encoder, stream)
    if track.given != stream.layout.name:
        stream.codec_context.layout = track.given
    resampler: av.AudioResampler | None = None
    shape: tuple[object, ...] = ()

    def convert(packet: av.Packet) -> Iterator[av.Packet]:
        nonlocal resampler, shape
        frames: list[av.AudioFrame] = []
        with suppress(av.error.InvalidDataError):  # players continue too, with silence
            frames = stream.decode(packet)
        for frame in frames:
            if shape != (
                shape := (frame.format.name, frame.layout.name, frame.sample_rate)
            ):  # may change within broadcasts
                resampler = av.AudioResampler(encoder.format.name, track.layout, track.rate)
            assert resampler is not None
            for resampled in resampler.resample(frame):
                yield from encoder.encode(resampled)
        if packet.dts is None and not packet.size:  # the end
            for resampled in resampler.resample(None) if resampler else ():
                yield from encoder.encode(resampled)
            yield from encoder.encode(None)

    return convert
