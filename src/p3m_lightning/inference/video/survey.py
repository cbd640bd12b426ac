"""Length of a video before it is decoded, and signs that a part of the file is missing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from p3m_lightning.inference.video.streams import VideoError

if TYPE_CHECKING:
    import av

TOLERANCE = 0.05
"""Seconds, and the share of a video, by which a declared length may exceed the real one."""

_GIF_TAIL = 4  # bytes; some writers pad the file


def survey(path: Path, container: av.container.InputContainer, stream: av.VideoStream) -> tuple[int, float, float]:
    """Return frames, begin and end in seconds of a stream.

    If the container has no index of its frames, the whole file is read, but not decoded.

    Raises:
        VideoError: the file is truncated, which FFmpeg does not notice, or damaged where it cannot continue.
    """
    import av

    last = max((entry.pos + entry.size for entry in stream.index_entries), default=0) if stream.frames else 0
    if max(last, matroska_end(path)) > path.stat().st_size:
        raise VideoError(f"{path}: is truncated; its frames continue beyond the end of the file")
    if stream.frames:
        return stream.frames, 0.0, _declared_seconds(stream)
    count, begin, end = 0, float("inf"), 0.0
    try:
        for packet in container.demux(stream):
            count += packet.size > 0
            if packet.pts is not None:
                begin = min(begin, float(packet.pts * packet.time_base))
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    except av.FFmpegError as error:
        raise VideoError(f"{path}: cannot be read after {end:.2f} s ({error.strerror})") from None
    return (count, begin, end) if end else (count, 0.0, _declared_seconds(stream))


def doubt(path: Path, stream: av.VideoStream, end: float) -> str:
    """Return what makes a file whose video ends at `end`, in seconds, look truncated; empty if nothing does.

    Headers may be wrong, as after cutting without reencoding, and some writers of GIF forget its end.
    """
    declared = max(_declared_seconds(stream), _tagged_seconds(stream))
    if declared - end > TOLERANCE * (1 + declared):
        return f"its header promises {declared:.2f} s of video, but it ends after {end:.2f} s; it may be truncated"
    with path.open("rb") as file:
        is_gif = file.read(4) == b"GIF8"
        file.seek(-min(_GIF_TAIL, path.stat().st_size), 2)
        return "it lacks the end of a GIF; it may be truncated" if is_gif and b";" not in file.read() else ""


def _declared_seconds(stream: av.VideoStream) -> float:
    return float((stream.duration or 0) * (stream.time_base or 0))


def _tagged_seconds(stream: av.VideoStream) -> float:
    """Return the duration that FFmpeg and mkvmerge write into a tag of Matroska, 0 if there is none."""
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    hours, minutes, seconds = map(float, match.groups()) if match else (0, 0, 0)
    return 3600 * hours + 60 * minutes + seconds


_HEAD = 256
"""Bytes that hold the header of an EBML file and the beginning of its segment."""

_LONGEST = 9
"""Bytes of a number of EBML, at most, where its first one is broken."""


def matroska_end(path: Path) -> int:
    """Return the declared size in bytes of a Matroska or WebM file, 0 if it has none or is of another kind.

    The file is an EBML header and one segment (RFC 9559), each a number of 1 to 4 bytes, a size, and content.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD).ljust(_HEAD, b"\0")
    if not head.startswith(b"\x1a\x45\xdf\xa3"):
        return 0
    begin, size = _ebml_content(head, 0)
    if begin + size > _HEAD - 2 * _LONGEST:
        return 0
    begin, size = _ebml_content(head, begin + size)
    return begin + size


def _ebml_content(head: bytes, at: int) -> tuple[int, int]:
    """Return the offset and length of the content of the element at `at`; 0 for an open length, as in live streams."""
    at += 9 - head[at].bit_length()  # leading zeros give the number of bytes
    width = 9 - head[at].bit_length()
    largest = (1 << 7 * width) - 1
    size = int.from_bytes(head[at : at + width], "big") & largest
    return at + width, 0 if size == largest else size
