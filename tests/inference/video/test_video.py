"""Videos in, videos out: frames, times, rotation, sound, alpha, breaks, wrong files."""

import weakref
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from p3m_lightning import Predictor, create_model
from p3m_lightning.cli import main
from p3m_lightning.inference.video import SMOOTHINGS, Product, choose_format, matte_video
from p3m_lightning.inference.video.formats import SUFFIXES
from p3m_lightning.inference.video.queues import Backlog, prefetch
from p3m_lightning.inference.video.reader import VideoError, VideoReader
from p3m_lightning.schema import InputError
from video_clips import (
    RedIsAlpha,
    moving_disc,
    read_sound,
    read_video,
    sound_packets,
    uneven_times,
    write_video,
)

torch.set_num_threads(1)

FRAMES = 14


def predictor(**keys) -> Predictor:
    return Predictor(RedIsAlpha(**keys), "cpu", "native")


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """Lossless, uneven times, with sound."""
    path = tmp_path_factory.mktemp("clip") / "clip.mov"
    return write_video(path, moving_disc(FRAMES), uneven_times(FRAMES), sound="pcm_s16le")


def alphas(frames: list[np.ndarray], channel: int = 3) -> np.ndarray:
    return np.stack(frames)[..., channel] / np.iinfo(frames[0].dtype).max


def truth() -> np.ndarray:
    return alphas(moving_disc(FRAMES), 0)


@pytest.mark.parametrize(
    ("name", "format", "pixels", "decoder", "tolerance"),
    [
        ("out.mov", "prores", "rgba64le", None, 0.004),
        ("out.webm", "vp9", "rgba", "libvpx-vp9", 0.06),
        ("out.mp4", "matte", "rgb24", None, 0.06),
    ],
)
def test_every_frame_comes_back_at_its_time_with_its_alpha(clip, tmp_path, name, format, pixels, decoder, tolerance):
    assert matte_video(predictor(), clip, tmp_path / name, Product(format), segment=5) == FRAMES
    frames, times = read_video(tmp_path / name, pixels, decoder)
    assert np.allclose(times, np.array(uneven_times(FRAMES)) / 1000, atol=0.0006)
    error = np.abs(alphas(frames, -1) - truth())
    assert error.max() < tolerance
    assert error.mean() < tolerance / 10
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_pictures_are_exact_and_their_times_lie_beside_them(clip, tmp_path):
    matte_video(predictor(), clip, tmp_path / "out", Product("png"), segment=4)
    names = sorted(p.name for p in (tmp_path / "out").glob("*.png"))
    assert names == [f"{i:06d}.png" for i in range(FRAMES)]
    pictures = [np.asarray(Image.open(tmp_path / "out" / name)) for name in names]
    assert np.array_equal(np.stack(pictures)[..., 3], np.stack(moving_disc(FRAMES))[..., 0])
    assert not np.stack(pictures)[np.stack(pictures)[..., 3] == 0].any()
    steps = [line for line in (tmp_path / "out" / "frames.ffconcat").read_text().splitlines() if "duration" in line]
    assert steps[:3] == ["duration 0.020000", "duration 0.060000", "duration 0.040000"]


def test_hidden_pixels_of_a_video_carry_the_color_of_the_subject_not_the_background(tmp_path):
    image = np.zeros((64, 96, 3), np.uint8)
    image[:] = (0, 0, 255)
    image[16:48, 32:64] = (255, 200, 0)
    source = write_video(tmp_path / "in.mov", [image] * 3)
    matte_video(predictor(), source, tmp_path / "out.mov", Product("prores"))
    cutout = read_video(tmp_path / "out.mov", "rgba")[0][1].astype(int)
    hidden = cutout[..., 3] == 0
    assert hidden.mean() > 0.8
    assert cutout[hidden][:, 2].max() < 30  # nothing of the blue
    assert np.abs(cutout[12:16, 36:60, :3] - (255, 200, 0)).max() < 40


def test_a_composite_is_the_subject_over_the_new_background(clip, tmp_path):
    matte_video(predictor(), clip, tmp_path / "out.mp4", Product("composite", (0, 0, 200)))
    frame = read_video(tmp_path / "out.mp4")[0][5].astype(int)
    alpha = truth()[5]
    assert np.abs(frame[alpha == 0].mean(0) - (0, 0, 200)).max() < 6
    subject = moving_disc(FRAMES)[5][alpha == 1].astype(int)
    assert np.abs(frame[alpha == 1] - subject).mean() < 10


def test_a_shorter_background_video_repeats_in_time(clip, tmp_path):
    shades = [np.full((32, 32, 3), value, np.uint8) for value in (50, 100, 150)]
    background = write_video(tmp_path / "behind.mov", shades, [0, 100, 200])  # ends at 240
    matte_video(predictor(), clip, tmp_path / "out.mp4", Product("composite", background))
    frames, times = read_video(tmp_path / "out.mp4")
    seconds = VideoReader(background).seconds
    expected = [(50, 100, 150)[int(((t - times[0]) % seconds) // 0.0999)] for t in times]
    assert {50, 100, 150} == set(expected)
    assert np.allclose([frame[-1, 0].mean() for frame in frames], expected, atol=5)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_flags_are_applied_to_the_pixels(tmp_path, rotation):
    images = moving_disc(2)
    source = write_video(tmp_path / "in.mov", images, rotation=rotation)
    seen = next(VideoReader(source).frames()).pixels
    assert np.array_equal(seen, np.rot90(images[0], rotation // 90))
    matte_video(predictor(), source, tmp_path / "out", Product("png"))
    assert Image.open(tmp_path / "out" / "000000.png").size == seen.shape[1::-1]


def test_a_mirrored_display_matrix_mirrors(tmp_path):
    images = moving_disc(2)
    unit = 1 << 16
    source = write_video(tmp_path / "in.mov", images, matrix=[-unit, 0, 0, 0, unit, 0, 0, 0, 1 << 30])
    assert np.array_equal(next(VideoReader(source).frames()).pixels, images[0][:, ::-1])


@pytest.mark.parametrize("aspect", [Fraction(4, 3), Fraction(1, 2)])
@pytest.mark.parametrize("rotation", [0, 90])
@pytest.mark.parametrize(
    ("name", "format"), [("a.mp4", "matte"), ("a.mov", "prores"), ("a.webm", "vp9"), ("a.mkv", "prores")]
)
def test_a_video_is_shown_in_its_proportions(tmp_path, name, format, rotation, aspect):
    """Where a file cannot say that pixels are not square, they are made square."""
    source = write_video(tmp_path / "in.mov", moving_disc(2), rotation=rotation, aspect=aspect)
    matte_video(predictor(), source, tmp_path / name, Product(format))
    with av.open(str(tmp_path / name)) as container:
        stream = container.streams.video[0]
        shown = stream.width / stream.height * (stream.sample_aspect_ratio or 1)
        assert min(stream.width, stream.height) >= 64
    assert shown == pytest.approx(float(1 / (aspect * 96 / 64) if rotation else aspect * 96 / 64), rel=0.01)


def test_sound_is_copied_where_the_container_takes_it(clip, tmp_path):
    matte_video(predictor(), clip, tmp_path / "out.mov", Product("prores"))
    assert b"".join(sound_packets(tmp_path / "out.mov")) == b"".join(sound_packets(clip))


def test_sound_is_encoded_anew_where_it_must(clip, tmp_path):
    matte_video(predictor(), clip, tmp_path / "out.webm", Product("vp9"))
    original, encoded = read_sound(clip), read_sound(tmp_path / "out.webm")
    assert abs(len(encoded) - len(original)) < 0.05 * 48000
    spectrum = np.abs(np.fft.rfft(encoded[4800:24000]))
    assert abs(np.argmax(spectrum) * 48000 / 19200 - 440) < 5


def test_odd_sizes(tmp_path):
    source = write_video(tmp_path / "in.mov", moving_disc(3, (45, 67)))
    for name, format, size in [
        ("a.mp4", "matte", (46, 68)),
        ("a.webm", "vp9", (45, 67)),
        ("a.mov", "prores", (45, 67)),
    ]:
        matte_video(predictor(), source, tmp_path / name, Product(format))
        assert read_video(tmp_path / name)[0][0].shape[:2] == size


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize(("name", "format"), [("out.mov", "prores"), ("out.mp4", "matte")])
def test_a_broken_run_goes_on_and_ends_as_if_unbroken(clip, tmp_path, smoothing, name, format):
    keys = {"smoothing": smoothing, "segment": 4, "batch_size": 2}
    matte_video(predictor(), clip, tmp_path / name, Product(format), **keys)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    with pytest.raises(KeyboardInterrupt):
        matte_video(predictor(alive=10), clip, tmp_path / name, Product(format), **keys)
    assert [p.name for p in tmp_path.iterdir()] == [f"{name}.parts"]
    second = predictor()
    assert matte_video(second, clip, tmp_path / name, Product(format), resume=True, **keys) == FRAMES
    assert second.engine.net.seen == FRAMES - 8  # two segments of four were finished
    assert (tmp_path / name).read_bytes() == whole
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_run_of_pictures_goes_on_too_and_then_has_nothing_left_to_do(clip, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        matte_video(predictor(alive=9), clip, tmp_path / "out", Product("png"), segment=4)
    left = tmp_path / "out.parts" / "00002"  # of the segment that broke
    assert left.is_dir()
    assert matte_video(predictor(), clip, tmp_path / "out", Product("png"), segment=4, resume=True) == FRAMES
    assert len(list((tmp_path / "out").glob("*.png"))) == FRAMES
    assert matte_video(predictor(), clip, tmp_path / "out", Product("png"), segment=4, resume=True) == 0


def test_a_run_that_broke_while_joining_pictures_goes_on(clip, tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("p3m_lightning.inference.video.matting.join_pictures", killed)
    with pytest.raises(KeyboardInterrupt):
        matte_video(predictor(), clip, tmp_path / "out", Product("png"), segment=4)
    monkeypatch.undo()
    parts = tmp_path / "out.parts"
    (parts / "joined").mkdir()
    (parts / "00000" / "000000.png").rename(parts / "joined" / "000000.png")
    assert matte_video(predictor(), clip, tmp_path / "out", Product("png"), segment=4, resume=True) == FRAMES
    assert len(list((tmp_path / "out").glob("*.png"))) == FRAMES


def test_a_broken_run_of_other_parameters_is_not_mixed_in(clip, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        matte_video(predictor(alive=9), clip, tmp_path / "out.mov", Product("prores"), segment=4)
    with pytest.raises(InputError, match="smoothing none instead of flow"):
        matte_video(predictor(), clip, tmp_path / "out.mov", Product("prores"), "flow", segment=4, resume=True)
    assert (tmp_path / "out.mov.parts").is_dir()
    assert matte_video(predictor(), clip, tmp_path / "out.mov", Product("prores"), segment=4) == FRAMES  # anew


def test_frames_in_memory_do_not_grow_with_the_video(tmp_path, monkeypatch):
    source = write_video(tmp_path / "in.mov", moving_disc(60, (32, 48)))
    alive, most = 0, 0
    frames_of = VideoReader.frames

    def counted(self, skip=0):
        nonlocal alive, most
        for frame in frames_of(self, skip):
            alive, most = alive + 1, max(most, alive + 1)
            weakref.finalize(frame.pixels, died)
            yield frame

    def died():
        nonlocal alive
        alive -= 1

    monkeypatch.setattr(VideoReader, "frames", counted)
    matte_video(predictor(), source, tmp_path / "out.mp4", Product("matte"), "flow")
    assert 0 < most <= 12


def test_prefetch_is_never_further_ahead_than_asked():
    made, taken = [], []
    for item in prefetch((made.append(i) or i for i in range(30)), 3):
        taken.append(item)
        assert len(made) <= len(taken) + 3
    assert taken == list(range(30))


def test_prefetch_and_backlog_hand_errors_on():
    def breaking():
        yield 1
        raise InputError("broken")

    with pytest.raises(InputError, match="broken"):
        list(prefetch(breaking(), 2))
    with pytest.raises(ZeroDivisionError), Backlog(2) as backlog:
        backlog.submit(divmod, 1, 0)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("missing.mov", "no such file"),
        ("text.mp4", "not a video"),
        ("sound.mp4", "no video stream"),
        ("index_lost.mov", "not a video"),
        ("cut.mp4", "truncated"),
        ("cut.mkv", "truncated"),
        ("cut.webm", "truncated"),
        (".", "is a folder"),
    ],
)
def test_what_is_no_whole_video_is_refused_and_leaves_nothing(tmp_path, broken, reason):
    images = [np.random.default_rng(i).integers(0, 255, (64, 96, 3), np.uint8) for i in range(30)]
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "text.mp4").write_text("no video at all\n" * 100)
    if broken == "sound.mp4":
        _write_sound(folder / broken)
    if broken == "index_lost.mov":
        whole = write_video(folder / "whole.mov", images).read_bytes()
        (folder / broken).write_bytes(whole[: len(whole) // 2])
    if broken.startswith("cut"):
        codec = {".mp4": "h264", ".mkv": "ffv1", ".webm": "libvpx-vp9"}[Path(broken).suffix]
        keys = {"codec": codec} | ({"options": {"movflags": "faststart"}} if broken.endswith("mp4") else {})
        whole = write_video(folder / f"whole{Path(broken).suffix}", images, **keys).read_bytes()
        (folder / broken).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoError, match=reason):
        matte_video(predictor(), folder / broken, tmp_path / "out.mov", Product("prores"))
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def _write_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        track = container.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 48000, 0
        container.mux(track.encode(frame))
        container.mux(track.encode())


@pytest.mark.parametrize("keys", [{"batch_size": 0}, {"segment": 0}])
def test_batches_and_segments_of_nothing_are_refused(clip, tmp_path, keys):
    with pytest.raises(InputError, match="give 1 or more"):
        matte_video(predictor(), clip, tmp_path / "out.mov", Product("prores"), **keys)


def test_the_video_itself_and_a_full_folder_are_not_overwritten(clip, tmp_path):
    with pytest.raises(InputError, match="is the video itself"):
        matte_video(predictor(), clip, clip, Product("prores"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="exists already"):
        matte_video(predictor(), clip, tmp_path / "full", Product("png"))
    assert (tmp_path / "full" / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize(
    ("target", "wanted", "background", "chosen"),
    [
        ("a.mov", None, False, "prores"),
        ("a.webm", None, False, "vp9"),
        ("a.mp4", None, False, "matte"),
        ("a", None, False, "png"),
        ("a.mov", None, True, "composite"),
        ("a.webm", "matte", False, "matte"),
    ],
)
def test_the_name_of_the_output_chooses_the_format(target, wanted, background, chosen):
    assert choose_format(Path(target), wanted, background) == chosen


@pytest.mark.parametrize(
    ("target", "wanted", "background"),
    [
        ("a.avi", None, False),
        ("a.mp4", "prores", False),
        ("a.mp4", "composite", False),
        ("a.mov", "prores", True),
        ("a", None, True),
    ],
)
def test_contradicting_formats_are_refused(target, wanted, background):
    with pytest.raises(InputError):
        choose_format(Path(target), wanted, background)


def test_every_format_has_a_file_name():
    for name, suffixes in SUFFIXES.items():
        assert choose_format(Path(f"a{suffixes[0]}"), name, name == "composite") == name


def test_the_command_mattes_with_a_checkpoint(clip, tmp_path, capsys):
    torch.manual_seed(0)
    config = {"name": "modnet", "width": 0.25}
    weights = {f"net.{k}": v for k, v in create_model(**config).state_dict().items()}
    torch.save({"config": {"model": config}, "state_dict": weights}, tmp_path / "net.ckpt")
    options = ["--ckpt", str(tmp_path / "net.ckpt"), "--mode", "native", "--smoothing", "one_frame_delay"]
    assert main(["video", str(clip), "-o", str(tmp_path / "out.mp4"), *options]) == 0
    assert f"{FRAMES} frames" in capsys.readouterr().out
    assert len(read_video(tmp_path / "out.mp4")[0]) == FRAMES
    assert main(["video", str(clip), "-o", str(tmp_path / "out.mp4"), *options, "--resume"]) == 0
    assert "nothing left to do" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong",
    [
        ["text.mp4", "-o", "out.mov", "--model", "modnet"],
        ["text.mp4", "-o", "out.xyz", "--ckpt", "none.ckpt"],
        ["text.mp4", "-o", "out.mov", "--ckpt", "none.ckpt", "--light", "2"],
        ["text.mp4", "-o", "out.mp4", "--ckpt", "none.ckpt", "--background", "no-color"],
    ],
)
def test_a_wrong_call_is_one_line_and_exit_2(tmp_path, monkeypatch, capsys, wrong):
    monkeypatch.chdir(tmp_path)
    Path("text.mp4").write_text("no video")
    assert main(["video", *wrong]) == 2
    error = capsys.readouterr().err
    assert error.startswith("p3m: ")
    assert error.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["text.mp4"]
