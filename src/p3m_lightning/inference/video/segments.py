"""Encoded segments of a video, stored until all are finished, so that a kill costs at most one segment."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from p3m_lightning.files import atomic_path
from p3m_lightning.images import write_image
from p3m_lightning.inference.video.streams import media_address
from p3m_lightning.messages import refuse_other_settings
from p3m_lightning.records import read_record
from p3m_lightning.schema import InputError

if TYPE_CHECKING:
    import av


class Encoding(NamedTuple):
    """Encoding by FFmpeg, and the pixels it is given."""

    codec: str
    pixel_format: str
    pixels: str  # format of the input array
    options: Mapping[str, str]


_VP9 = {"b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1", "auto-alt-ref": "0"}
PRORES = Encoding("prores_ks", "yuva444p10le", "rgba64le", {"profile": "4444", "vendor": "apl0"})
VP9_ALPHA = Encoding("libvpx-vp9", "yuva420p", "rgba", {"crf": "20", **_VP9})
VP9 = Encoding("libvpx-vp9", "yuv420p", "rgb24", {"crf": "20", **_VP9})
H264 = Encoding("h264", "yuv420p", "rgb24", {"crf": "18", "preset": "medium"})
"""No hidden frames and no frames out of order (B frames): one packet is one frame, so that segments can be joined.

The encoder behind `h264` depends on the installed PyAV; in the wheels of PyPI it is x264.
"""


def encoding_for(format: str, suffix: str) -> Encoding | None:
    """Return the encoding of a product format in a file of `suffix`; None for images.

    Raises:
        InputError: the installed PyAV lacks the encoder.
    """
    import av

    if format == "png":
        return None
    opaque = VP9 if suffix == ".webm" else H264
    encoding = {"prores": PRORES, "vp9": VP9_ALPHA}.get(format, opaque)
    try:
        av.Codec(encoding.codec, "w")
    except av.codec.codec.UnknownCodecError:
        raise InputError(
            f"the installed PyAV cannot encode {encoding.codec}; use a .webm, or a folder of PNG"
        ) from None
    return encoding


THREADS = 4
"""Threads of an encoder, on any machine: the output of x264 and libvpx depends on their number, and a run may be
resumed on a machine with other cores."""


@dataclass(frozen=True)
class Stamps:
    """Presentation times of the frames of one segment, in units of the source's time base."""

    times: list[int]
    duration: int  # of the last one


class VideoSegment:
    """Encodes frames into one file; their times are stored beside it; the file itself only counts frames."""

    def __init__(self, path: Path, encoding: Encoding, rate: Fraction, pixel_aspect: Fraction) -> None:
        self.path = path
        self._encoding, self._rate, self._aspect = encoding, rate, pixel_aspect
        self._squares = pixel_aspect != 1 and path.suffix in MATROSKA and encoding.codec != "h264"
        self._output: tuple[av.container.OutputContainer, av.VideoStream] | None = None
        self._count = 0

    def write(self, pixels: np.ndarray) -> None:
        """Encode one frame, uint8 or uint16 (H, W, 3 or 4)."""
        import av

        pixels = square(pixels, self._aspect) if self._squares else pixels
        pixels = even(pixels) if self._encoding.codec == "h264" else pixels
        if self._output is None:
            self._output = self._open(*pixels.shape[:2])
        container, stream = self._output
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=self._encoding.pixels)
        frame = frame.reformat(format=self._encoding.pixel_format, dst_colorspace="ITU709", dst_color_range="MPEG")
        frame.pts, frame.time_base = self._count, 1 / self._rate
        container.mux(stream.encode(frame))
        self._count += 1

    def close(self) -> None:
        """Finish the file; without frames there is none."""
        if self._output is not None:
            container, stream = self._output
            container.mux(stream.encode())
            container.close()

    def _open(self, height: int, width: int) -> tuple[av.container.OutputContainer, av.VideoStream]:
        import av

        container = av.open(media_address(self.path), "w")
        stream = container.add_stream(self._encoding.codec, rate=self._rate, options=dict(self._encoding.options))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, self._encoding.pixel_format
        context = stream.codec_context
        context.max_b_frames = 0
        context.thread_count = THREADS
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
        context.sample_aspect_ratio = Fraction(1) if self._squares else self._aspect
        mark_alpha(stream, self._encoding)
        return container, stream


class PictureSegment:
    """A folder of numbered PNG files."""

    def __init__(self, path: Path, begin: int) -> None:
        self.path, self._number = path, begin
        path.mkdir()

    def write(self, pixels: np.ndarray) -> None:
        """Write one frame, uint8 (H, W, 4)."""
        write_image(self.path / picture_name(self._number), pixels, compress_level=2)
        self._number += 1

    def close(self) -> None:
        """Do nothing: every image is complete."""


BT709, LIMITED = 1, 1  # FFmpeg's codes


def mark_alpha(stream: av.VideoStream, encoding: Encoding) -> None:
    """Tell the WebM muxer that the packets have alpha, which players check."""
    if encoding.pixel_format == "yuva420p":
        stream.metadata["alpha_mode"] = "1"


MATROSKA = (".webm", ".mkv")
"""Files in which PyAV cannot store the shape of pixels; H.264 stores it in its own header."""


def square(pixels: np.ndarray, aspect: Fraction) -> np.ndarray:
    """Stretch pixels of the shape `aspect`, width over height, to squares; neither side becomes shorter."""
    height, width = pixels.shape[:2]
    wanted = (round(width * aspect), height) if aspect > 1 else (width, round(height / aspect))
    return cv2.resize(pixels, wanted, interpolation=cv2.INTER_LINEAR)


def even(pixels: np.ndarray) -> np.ndarray:
    """Repeat the last row or column if their number is odd, since H.264 stores color for pairs."""
    height, width = pixels.shape[:2]
    if height % 2 == width % 2 == 0:
        return pixels
    return cv2.copyMakeBorder(pixels, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)


def picture_name(number: int) -> str:
    """Return the file name of a frame, counted from 0."""
    return f"{number:06d}.png"


RECORD = {"times": list, "times.*": int, "duration": int, "consumed": int, "last": bool, "bytes": int | None}
"""Types of the values in the record of a segment."""
OVER = "start over without --resume"


class Parts:
    """The folder `TARGET.parts` of finished segments; a segment is valid once its JSON file is written.

    Args:
        target: the output.
        parameters: plain values that the frames depend on; a resumed run must have the same.
        resume: continue with the existing segments; otherwise remove them.

    Raises:
        InputError: the existing segments were made with other parameters.
    """

    def __init__(self, target: Path, parameters: Mapping[str, object], resume: bool) -> None:
        self.target = target
        self.folder = parts_folder(target)
        wanted = json.loads(json.dumps(parameters, default=str))
        manifest = self.folder / "manifest.json"
        if resume and manifest.is_file():
            cure = f"give the same, or {OVER}"
            refuse_other_settings(self.folder, read_record(manifest, {}, cure=OVER), wanted, cure)
        else:
            self.remove()
        self.finished = self._find_finished()
        if not manifest.is_file():
            with atomic_path(manifest) as aside:
                aside.write_text(json.dumps(wanted, indent=1))

    @property
    def ended(self) -> bool:
        """True if the last segment is finished."""
        return bool(self.finished) and self._read(len(self.finished) - 1)["last"]

    @property
    def consumed(self) -> int:
        """Number of frames of the source that need not be read again."""
        return self._read(len(self.finished) - 1)["consumed"] if self.finished else 0

    @property
    def written(self) -> int:
        """Number of frames in the finished segments."""
        return sum(len(stamps.times) for stamps in self.finished)

    def state(self) -> dict[str, np.ndarray]:
        """Return the state committed with the last segment."""
        if not self.finished:
            return {}
        path = self._path(len(self.finished) - 1, ".npz")
        try:
            with np.load(path) as arrays:
                return dict(arrays)
        except Exception as error:  # a damaged archive fails in many ways
            raise InputError(f"{path}: cannot be read ({' '.join(str(error).split())[:160]}); {OVER}") from None

    def next_path(self, suffix: str) -> Path:
        """Return the path of the next segment, cleared of the remains of a kill."""
        path = self._path(len(self.finished), suffix)
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)
        return path

    def commit(self, stamps: Stamps, consumed: int, state: Mapping[str, np.ndarray], last: bool) -> None:
        """Mark the segment whose file has just been finished as valid."""
        number = len(self.finished)
        with atomic_path(self._path(number, ".npz")) as aside:
            np.savez(aside, **state)  # type: ignore[arg-type]  # the names do not clash with its flags
        record = {"times": stamps.times, "duration": stamps.duration, "consumed": consumed, "last": last}
        record["bytes"] = self._size(number)
        with atomic_path(self._path(number, ".json")) as aside:
            aside.write_text(json.dumps(record))
        self.finished.append(stamps)
        if number:
            self._path(number - 1, ".npz").unlink(missing_ok=True)

    def paths(self, suffix: str) -> list[Path]:
        """Return the files of the finished segments that have frames."""
        return [self._path(number, suffix) for number, stamps in enumerate(self.finished) if stamps.times]

    def stamps(self) -> list[tuple[int, int]]:
        """Return time and duration of every frame: each lasts until the next."""
        times = [time for stamps in self.finished for time in stamps.times]
        last = [stamps.duration for stamps in self.finished if stamps.times][-1]
        ends = [*times[1:], times[-1] + (last or (times[-1] - times[-2] if len(times) > 1 else 1))]
        return [(time, end - time) for time, end in zip(times, ends, strict=True)]

    def remove(self) -> None:
        """Delete the folder."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self.folder)

    def _find_finished(self) -> list[Stamps]:
        finished: list[Stamps] = []
        while self._path(len(finished), ".json").is_file():
            record = self._read(len(finished))
            if record["times"] and self._size(len(finished)) != record["bytes"]:
                raise InputError(f"{self.folder}: the frames of segment {len(finished)} are damaged or missing; {OVER}")
            finished.append(Stamps(record["times"], record["duration"]))
        return finished

    def _read(self, number: int) -> dict[str, Any]:
        return read_record(self._path(number, ".json"), RECORD, [key for key in RECORD if "*" not in key], OVER)

    def _size(self, number: int) -> int | None:
        """Return the bytes of a segment, 0 for a folder of images, which joining empties; None if it is missing."""
        for path in self.folder.glob(f"{number:05d}*"):
            if path.suffix not in (".json", ".npz"):
                return 0 if path.is_dir() else path.stat().st_size
        return None

    def _path(self, number: int, suffix: str) -> Path:
        return self.folder / f"{number:05d}{suffix}"


def parts_folder(target: Path) -> Path:
    """Return the folder of the segments of an output."""
    return target.with_name(f"{target.name}.parts")
