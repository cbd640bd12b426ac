"""Reading video files as upright RGB frames with their own times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from p3m_lightning.inference.video.streams import VideoError, choose_stream, decode, open_container
from p3m_lightning.inference.video.survey import doubt, survey

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
        doubt: a message about a file that seems to be truncated, but may not be; empty for others.

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
            self.count, begin, end = survey(self.path, container, stream)
            self.seconds = end - begin
            self.doubt = doubt(self.path, stream, end)
        try:
            with self._open() as (container, stream):
                first = next(decode(container, stream))
            with self._open() as (container, stream):
                self._matrix = _display_matrix(next(container.decode(stream)))
                aspect = stream.sample_aspect_ratio or Fraction(1)
        except (av.FFmpegError, StopIteration):
            raise VideoError(f"{path}: no frame in it can be decoded") from None
        self.begin = first.pts or 0
        self._size = (first.height, first.width)
        turned = _is_turned(self._matrix)
        self.size = self._size[::-1] if turned else self._size
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
                        pixels, opacity = _pixels(frame, self._matrix), _opacity(frame, self._matrix)
                        yield Frame(pixels, time, frame.duration or 0, opacity)
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


def _pixels(frame: av.VideoFrame, matrix: np.ndarray | None) -> np.ndarray:
    unnamed = frame.colorspace in _UNNAMED
    colors = ("ITU709" if frame.height >= HD else "ITU601") if unnamed else None
    return upright(frame.reformat(format="rgb24", src_colorspace=colors).to_ndarray(), matrix)


def _opacity(frame: av.VideoFrame, matrix: np.ndarray | None) -> np.ndarray | None:
    """Return a frame's own alpha, uint8 (H, W), or uint16 if it has more than 8 bits."""
    alpha = next((part for part in frame.format.components if part.is_alpha), None)
    if alpha is None:
        return None
    pixels = frame.reformat(format="rgba64le" if alpha.bits > 8 else "rgba").to_ndarray()
    return upright(pixels[..., 3:], matrix)[..., 0]


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


def _display_matrix(first: av.VideoFrame) -> np.ndarray | None:
    """Return the display matrix of a stream, from its first frame as decoded by FFmpeg itself.

    One for all frames, since all have the same size; decoders of `ALPHA_DECODERS` do not pass on the container's.
    """
    try:
        data = first.side_data.get("DISPLAYMATRIX")
    except (
        ValueError
    ):  # beside it lies data of a kind that PyAV does not know, such as EXIF; it tells the rotation only
        turn = np.deg2rad(first.rotation)
        cos, sin = round(np.cos(turn)), round(np.sin(turn))
        return np.array([cos, -sin, 0, sin, cos, 0, 0, 0, 1], np.int32) << 16
    return None if data is None else np.frombuffer(bytes(data), np.int32)  # type: ignore[call-overload]  # a buffer, which PyAV types as object
