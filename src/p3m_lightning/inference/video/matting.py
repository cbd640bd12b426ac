"""Matting of whole clips: from frames through network and smoother to a video, in constant memory."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

from p3m_lightning.files import unwritable
from p3m_lightning.images import Photo, to_unit
from p3m_lightning.inference.predictor import Predictor
from p3m_lightning.inference.video.formats import Painter, Product, choose_format
from p3m_lightning.inference.video.joining import join_pictures, join_video
from p3m_lightning.inference.video.queues import Backlog, prefetch
from p3m_lightning.inference.video.reader import Frame, VideoReader
from p3m_lightning.inference.video.segments import (
    Encoding,
    Parts,
    PictureSegment,
    Stamps,
    VideoSegment,
    encoding_for,
    parts_folder,
)
from p3m_lightning.inference.video.smoothing import Smoother, State, make_smoother
from p3m_lightning.inference.video.sound import Track, plan_sound
from p3m_lightning.inference.video.streams import VideoError
from p3m_lightning.progress import progress_bar
from p3m_lightning.schema import InputError

SEGMENT = 250
"""Frames in a segment: about the number that a kill loses."""


def matte_video(
    predictor: Predictor,
    source: str | Path,
    target: str | Path,
    product: Product,
    smoothing: str = "none",
    *,
    batch_size: int = 1,
    segment: int = SEGMENT,
    resume: bool = False,
    parameters: Mapping[str, object] | None = None,
    sound: str | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> int:
    """Matte a video, with a progress bar; the target is written atomically at the end.

    Until then finished segments lie in `TARGET.parts`, which a later call with `resume` continues. The result is
    identical, byte for byte, to that of an uninterrupted run. Memory holds a few batches, whatever the length.

    Args:
        predictor: runs in the calling thread.
        source: a video file.
        target: file or, for PNG, folder to write; an existing file is replaced.
        product: the product to make from the frames.
        smoothing: a key of `smoothing.SMOOTHINGS`.
        batch_size: frames that share a pass.
        segment: frames in a segment, rounded up to whole batches.
        resume: continue an interrupted run; does nothing if the target exists and no run was interrupted.
        parameters: plain values that identify the predictor; a resumed run must give the same.
        sound: one of `sound.SOUNDS`, None to copy if the container allows it and encode otherwise.
        announce: called with messages about the chosen streams and the treatment of the sound.

    Returns:
        The number of frames written, 0 if nothing was left to do.

    Raises:
        InputError: not a whole video; a target that cannot be written; parameters that make no sense or, with
            `resume`, differ; a network that needs trimaps; sound that the target cannot take as requested.
    """
    source, target = Path(source), Path(target)
    if batch_size < 1 or segment < 1:
        raise InputError(f"batches of {batch_size}, segments of {segment} frames: give 1 or more")
    choose_format(target, product.format, product.background is not None)
    if predictor.engine.needs_trimap:
        raise InputError("this network needs a trimap for every frame, which a video does not have; use another")
    if resume and target.exists() and not parts_folder(target).exists():
        return 0
    encoding = encoding_for(product.format, target.suffix.lower())
    matting = _Matting(predictor, make_smoother(smoothing))
    reader = VideoReader(source)
    painter = product.painter(reader.size)
    _check_target(source, target, encoding)
    for message in filter(None, (reader.choice, reader.doubt)):
        announce(f"{source}: {message}")
    tracks = [] if encoding is None else plan_sound(source, target.suffix.lower(), sound, announce)
    described = _describe(source, product, smoothing, batch_size, segment) | dict(parameters or {})
    with _kept_parts(target, described, resume) as parts:
        matting.restore(parts.state())
        batches = -(-segment // batch_size)
        _Work(reader, matting, painter, parts, encoding, batch_size, batches).make_segments()
        if encoding is None:
            join_pictures(parts, reader.time_base)
        else:
            _join(parts, source, reader.time_base, encoding, tracks)
        return parts.written


def _join(parts: Parts, source: Path, time_base: Fraction, encoding: Encoding, tracks: list[Track]) -> None:
    """Join finished segments; if the sound fails in spite of its trial, no frame is lost."""
    import av

    try:
        join_video(parts, source, time_base, encoding, tracks)
    except (av.error.ArgumentError, av.error.InvalidDataError) as error:
        if not tracks:
            raise
        cure = "the frames are kept: finish with --resume --sound encode, or drop"
        raise InputError(f"{parts.target}: its sound cannot be written ({error.strerror}); {cure}") from None


@contextmanager
def _kept_parts(target: Path, described: Mapping[str, object], resume: bool) -> Iterator[Parts]:
    """Yield the parts of a video, which are kept only if a later run could continue with them."""
    import av

    parts = None
    try:
        parts = Parts(target, described, resume)
        yield parts
    except VideoError:
        if parts:
            parts.finished.clear()
        raise
    except OSError as error:
        raise unwritable(target, error) from None
    except av.FFmpegError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror or error})") from None
    else:
        parts.remove()
    finally:
        if parts and not parts.finished:
            parts.remove()


class _Matting:
    """Network and smoother: turns frames into frames with their final alpha."""

    def __init__(self, predictor: Predictor, smoother: Smoother) -> None:
        self._predictor, self._smoother = predictor, smoother
        self._waiting: deque[Frame] = deque()  # for the smoother

    def push(self, frames: list[Frame]) -> Iterator[tuple[Frame, np.ndarray]]:
        """Process one batch, and yield finished frames."""
        mattes = self._predictor.batch([Photo(frame.pixels) for frame in frames])
        for frame, matte in zip(frames, mattes, strict=True):
            self._waiting.append(frame)
            yield from self._final(self._smoother.push(frame.pixels, matte.alpha))

    def flush(self) -> Iterator[tuple[Frame, np.ndarray]]:
        """End the clip, and yield the remaining frames."""
        yield from self._final(self._smoother.flush())

    def state(self) -> State:
        """Return everything that the next frames depend on."""
        stamps = np.array([(frame.time, frame.duration) for frame in self._waiting], np.int64)
        waiting = {f"waiting{i}": frame.pixels for i, frame in enumerate(self._waiting)}
        waiting |= {f"opacity{i}": f.opacity for i, f in enumerate(self._waiting) if f.opacity is not None}
        return (
            {f"smoother_{name}": value for name, value in self._smoother.state().items()} | {"stamps": stamps} | waiting
        )

    def restore(self, state: State) -> None:
        """Restore what `state` returned, if anything."""
        if state:
            prefix = "smoother_"
            self._smoother.restore({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
            stamps = state["stamps"].tolist()
            self._waiting = deque(
                Frame(state[f"waiting{i}"], time, duration, state.get(f"opacity{i}"))
                for i, (time, duration) in enumerate(stamps)
            )

    def _final(self, alphas: list[np.ndarray]) -> Iterator[tuple[Frame, np.ndarray]]:
        for alpha in alphas:
            frame = self._waiting.popleft()
            yield frame, alpha if frame.opacity is None else np.minimum(alpha, to_unit(frame.opacity))


@dataclass(frozen=True)
class _Work:
    """Everything that the segments of one video share."""

    reader: VideoReader
    matting: _Matting
    painter: Painter
    parts: Parts
    encoding: Encoding | None
    batch_size: int
    batches: int  # in a segment

    def make_segments(self) -> None:
        """Write all missing segments."""
        frames = prefetch(self.reader.frames(self.parts.consumed), 2 * self.batch_size)
        with closing(frames), progress_bar() as bar:
            task = bar.add_task("matting", total=self.reader.count or None, completed=self.parts.written)
            batches = _batches(frames, self.batch_size)
            while not self.parts.ended:
                self._make_segment(batches, lambda: bar.advance(task))

    def _make_segment(self, batches: Iterator[list[Frame]], advance: Callable[[], None]) -> None:
        """Write one segment and the state for the next one."""
        shown: list[tuple[int, int]] = []  # time and duration
        consumed, runs = self.parts.consumed, 0
        with closing(self._open()) as segment, Backlog(2 * self.batch_size) as backlog:

            def write(matted: Iterable[tuple[Frame, np.ndarray]]) -> None:
                for frame, alpha in matted:
                    backlog.submit(self._write, segment, frame, alpha)
                    shown.append((frame.time, frame.duration))
                    advance()

            for batch in islice(batches, self.batches):
                consumed, runs = consumed + len(batch), runs + 1
                write(self.matting.push(batch))
            if last := runs < self.batches:
                write(self.matting.flush())
        stamps = Stamps([time for time, _ in shown], shown[-1][1] if shown else 0)
        self.parts.commit(stamps, consumed, self.matting.state(), last)

    def _open(self) -> VideoSegment | PictureSegment:
        if self.encoding is None:
            return PictureSegment(self.parts.next_path(""), self.parts.written)
        path = self.parts.next_path(self.parts.target.suffix)
        return VideoSegment(path, self.encoding, self.reader.rate, self.reader.pixel_aspect)

    def _write(self, segment: VideoSegment | PictureSegment, frame: Frame, alpha: np.ndarray) -> None:
        seconds = float((frame.time - self.reader.begin) * self.reader.time_base)
        segment.write(self.painter.paint(frame, alpha, seconds))


def _batches(frames: Iterator[Frame], size: int) -> Iterator[list[Frame]]:
    while batch := list(islice(frames, size)):
        yield batch


def _describe(source: Path, product: Product, smoothing: str, batch_size: int, segment: int) -> dict[str, object]:
    """Return what the frames depend on, as plain values; files by name, size and modification time."""
    background: object = product.background
    if isinstance(background, np.ndarray):
        background = zlib.crc32(background.tobytes())
    elif isinstance(background, str | Path) and Path(background).is_file():
        background = file_identity(background)
    return {
        "video": file_identity(source),
        "format": product.format,
        "background": background,
        "light": product.light,
        "foreground": product.foreground,
        "smoothing": smoothing,
        "batch size": batch_size,
        "segment": segment,
    }


def file_identity(path: str | Path) -> list[object]:
    """Return name, size and modification time of a file."""
    status = Path(path).stat()
    return [str(Path(path).resolve()), status.st_size, status.st_mtime_ns]


def _check_target(source: Path, target: Path, encoding: Encoding | None) -> None:
    if target.exists() and target.samefile(source):
        raise InputError(f"{target}: is the video itself; choose another output")
    if encoding is None and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target}: exists already; choose a new or empty folder")
    if encoding is not None and target.is_dir():
        raise InputError(f"{target}: is a folder; give a file name, such as {target / 'matte.mov'}")
