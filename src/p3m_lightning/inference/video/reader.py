"""Reading video files as upright RGB frames with their own times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from p3m_lightning.inference.video.streams import VideoError, choose_stream, decode, open_container

if TYPE_CHECKING:
    import av

HD = 720
"""Lines from which a file that does not declare its color space counts as BT.709, as in players; BT.601 below."""

SLOWEST = Fraction(1, 1001)
"""Frames per second: where they are hours apart, the nearest fraction of the usual kind would be none."""


class Frame(NamedTuple):
    """One frame, upright."""

    pixels: np.ndarray  # uint8 (H, W, 3), RGB
    time: int  # presentation time, in units of the reader's time base
    duration: int  # in the same units; 0 if the file does not give it
    opacity: np.ndarray | None = None  # the file's own alpha, uint8 or uint16 (H, W); None if it has none


class VideoReader:
    """The video stream of a file, see `choose_stream`; the file is reopened for every pass.

    Args:
        path: any container and codec of FFmpeg. More than 8 bits are rounded to 8; HDR is not tone-mapped.

    Attributes:
        size: (height, width), upright.
        time_base: seconds per unit of time.
        begin: time of the first frame, in units of the time base.
        rate: frames per second on average.
        pixel_aspect: width over height of a pixel, upright.
        count: frames, as far as can be known before decoding.
        seconds: length of the video.
        choice: a message about the chosen stream; empty if there is only one.

    Raises:
        VideoError: missing, not a video, or truncated; the message names the file.
    """

    def __init__(self, path: str | Path) -> None:
        import av

        self.path = Path(path)
        with self._open() as (container, stream):
            self.time_base = stream.time_base or Fraction(1, 1000)
            rivals = [other for other in container.streams.video if other.index != stream.index]
            self.choice = f"stream {stream.index} of {len(rivals) + 1} video streams is taken" if rivals else ""
            rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
            self.rate = max(rate.limit_denominator(1001), SLOWEST)
            self.count, self.seconds = survey(self.path, container, stream)
        with self._open() as (container, stream):
            try:
                first = next(decode(container, stream))
            except (av.FFmpegError, StopIteration):
                raise VideoError(f"{path}: no frame in it can be decoded") from None
            self.begin = first.pts or 0
            self._size = (first.height, first.width)
            turned = _is_turned(_display_matrix(first))
            self.size = self._size[::-1] if turned else self._size
            aspect = stream.sample_aspect_ratio or Fraction(1)
            self.pixel_aspect = 1 / aspect if turned else aspect

    def frames(self, skip: int = 0) -> Iterator[Frame]:
        """Decode from the beginning, without the first `skip` frames.

        Times always increase; where the file gives none, or goes back, a frame follows the previous one.

        Raises:
            VideoError: frames that cannot be decoded, or of another size than the first.
        """
        import av

        step = max(1, round(1 / (self.rate * self.time_base)))
        time = None
        with self._open() as (container, stream):
            try:
                for index, frame in enumerate(decode(container, stream)):
                    time = _next_time(time, frame.pts, step)
                    if index >= skip:
                        self._check_size(frame, index)
                        yield Frame(_pixels(frame), time, frame.duration or 0, _opacity(frame))
            except av.FFmpegError as error:
                at = float((time or 0) * self.time_base)
                raise VideoError(f"{self.path}: cannot be decoded after {at:.2f} s ({error.strerror})") from None

    def _check_size(self, frame: av.VideoFrame, index: int) -> None:
        if (frame.height, frame.width) != self._size:
            (height, width), (first_height, first_width) = (frame.height, frame.width), self._size
            raise VideoError(
                f"{self.path}: frame {index} has {width} x {height} pixels, the first {first_width} x {first_height};"
                " cut the video where its size changes"
            )

    @contextmanager
    def _open(self) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
        with open_container(self.path) as container:
            stream = choose_stream(container, self.path)
            stream.thread_type = "AUTO"
            yield container, stream


def survey(path: Path, container: av.container.InputContainer, stream: av.VideoStream) -> tuple[int, float]:
    """Return frames and seconds of a stream; refuse a truncated file, which FFmpeg would read without an error.

    If the container has no index of its frames, the whole file is read, but not decoded.
    """
    length = float((stream.duration or 0) * (stream.time_base or 0))
    last = max((entry.pos + entry.size for entry in stream.index_entries), default=0) if stream.frames else 0
    if max(last, matroska_end(path)) > path.stat().st_size:
        raise VideoError(f"{path}: is truncated; its frames continue beyond the end of the file")
    if stream.frames:
        return stream.frames, length
    count, end = 0, 0.0
    for packet in container.demux(stream):
        count += packet.size > 0
        if packet.pts is not None:
            end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return count, length or end


def matroska_end(path: Path) -> int:
    """Return the declared size in bytes of a Matroska or WebM file, 0 if it has none or is of another kind.

    The file is an EBML header and one segment (RFC 9559), each a number of 1 to 4 bytes, a size, and content.
    """
    with path.open("rb") as file:
        head = file.read(256)
    if not head.startswith(b"\x1a\x45\xdf\xa3"):
        return 0
    begin, size = _ebml_content(head, 0)
    begin, size = _ebml_content(head, begin + size)
    return begin + size


def _ebml_content(head: bytes, at: int) -> tuple[int, int]:
    """Return the offset and length of the content of the element at `at`; 0 for an open length, as in live streams."""
    at += 9 - head[at].bit_length()  # leading zeros give the number of bytes
    width = 9 - head[at].bit_length()
    largest = (1 << 7 * width) - 1
    size = int.from_bytes(head[at : at + width], "big") & largest
    return at + width, 0 if size == largest else size


def _pixels(frame: av.VideoFrame) -> np.ndarray:
    unnamed = frame.colorspace in _UNNAMED
    colors = ("ITU709" if frame.height >= HD else "ITU601") if unnamed else None
    return upright(frame.reformat(format="rgb24", src_colorspace=colors).to_ndarray(), _display_matrix(frame))


def _opacity(frame: av.VideoFrame) -> np.ndarray | None:
    """Return a frame's own alpha, uint8 (H, W), or uint16 if it has more than 8 bits."""
    alpha = next((part for part in frame.format.components if part.is_alpha), None)
    if alpha is None:
        return None
    pixels = frame.reformat(format="rgba64le" if alpha.bits > 8 else "rgba").to_ndarray()
    return upright(pixels[..., 3:], _display_matrix(frame))[..., 0]


def upright(pixels: np.ndarray, matrix: np.ndarray | None) -> np.ndarray:
    """Rotate and mirror a frame by its display matrix, in steps of 90 degrees.

    Args:
        pixels: (H, W, C).
        matrix: int32 (9,) of FFmpeg, which maps (x, y) of the coded frame to (x a + y c, x b + y d); None for upright.
    """
    if matrix is None:
        return pixels
    a, b, _, c, d = matrix[:5]
    across, down = (c, b) if _is_turned(matrix) else (a, d)
    turned = pixels.swapaxes(0, 1) if _is_turned(matrix) else pixels
    return np.ascontiguousarray(turned[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1])


_UNNAMED = (None, 2)
"""FFmpeg's values for an undeclared color space."""


def _next_time(before: int | None, time: int | None, step: int) -> int:
    """Return the time of a frame: its own if that is later than the previous one."""
    if before is None:
        return 0 if time is None else time
    if time is None:
        return before + step
    return max(time, before + 1)


def _is_turned(matrix: np.ndarray | None) -> bool:
    return matrix is not None and abs(int(matrix[1])) > abs(int(matrix[0]))


def _display_matrix(frame: av.VideoFrame) -> np.ndarray | None:
    data = frame.side_data.get("DISPLAYMATRIX")
    return None if data is None else np.frombuffer(bytes(data), np.int32)  # type: ignore[call-overload]  # a buffer, which PyAV types as object
