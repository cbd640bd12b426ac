"""`p3m video`: matte, cut-out or composite of a video."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from p3m_lightning.cli import AtLeast
from p3m_lightning.cli.predict import check_light, read_background
from p3m_lightning.cli.shared.network import add_network, check_network, make_predictor
from p3m_lightning.schema import InputError

if TYPE_CHECKING:  # imported where used, so that --help is quick
    from p3m_lightning.inference.background import Background

FORMATS = ("prores", "vp9", "png", "matte", "composite")
SMOOTHINGS = ("none", "one_frame_delay", "flow")
SOUNDS = ("copy", "encode", "drop")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m video talk.mp4 -o talk.mov --smoothing flow"
    parser.add_argument("input", type=Path, metavar="IN", help="a video; its sound is kept")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help=".mov: ProRes 4444 with alpha; .webm: VP9 with alpha; .mp4: the matte in gray; no suffix: a folder of PNG;"
        " with --background the composite",
    )
    parser.add_argument("--format", choices=FORMATS, help="format of OUT, if its name allows several")
    parser.add_argument(
        "--background", metavar="IMAGE|COLOR|blur|VIDEO", help="background of a composite; a short video repeats"
    )
    parser.add_argument(
        "--light", type=float, default=0.0, metavar="0..1", help="how far the subject's light follows the background's"
    )
    parser.add_argument(
        "--foreground",
        default="fast",
        choices=["ml", "fast"],
        help="how colors are estimated (default fast; ml: finer)",
    )
    parser.add_argument(
        "--smoothing",
        default="none",
        choices=SMOOTHINGS,
        help="against flicker: flow averages along the motion, one_frame_delay repairs single frames (default none)",
    )
    parser.add_argument(
        "--sound", choices=SOUNDS, help="default: copy if OUT allows it, else encode; the choice is printed"
    )
    add_network(parser)
    group = parser.add_argument_group("long videos")
    group.add_argument("--resume", action="store_true", help="continue an interrupted run (OUT.parts)")
    group.add_argument(
        "--segment",
        action=AtLeast,
        default=250,
        metavar="N",
        help="frames in a segment, the most that an interruption can cost (default: 250)",
    )
    group.add_argument("--batch-size", action=AtLeast, default=1, metavar="N", help="frames per pass (default: 1)")


def run(options: argparse.Namespace) -> None:
    """Matte one video and print where it is."""
    _check(options)
    from p3m_lightning.inference.video import Product, choose_format, matte_video
    from p3m_lightning.inference.video.segments import parts_folder

    format = choose_format(options.output, options.format, options.background is not None)
    product = Product(format, _background(options.background), options.light, options.foreground)
    try:
        written = matte_video(
            make_predictor(options),
            options.input,
            options.output,
            product,
            options.smoothing,
            batch_size=options.batch_size,
            segment=options.segment,
            resume=options.resume,
            parameters=_predictor_parameters(options),
            sound=options.sound,
            announce=lambda line: print(f"p3m: {line}", file=sys.stderr),
        )
    except KeyboardInterrupt:
        if parts_folder(options.output).exists():
            print("p3m: finished segments are kept for --resume", file=sys.stderr)
        raise
    print(f"{written} frames in {options.output}" if written else f"nothing left to do: {options.output} is complete")


def _check(options: argparse.Namespace) -> None:
    check_network(options)
    check_light(options)
    try:
        import av  # noqa: F401
    except ImportError:
        raise InputError("p3m video needs PyAV: pip install 'p3m_lightning[video]'") from None


def _background(background: str | None) -> Background | None:
    """Read an image once; colors, `blur` and videos pass through, any other name is refused."""
    from p3m_lightning.images import is_image_name

    if background and Path(background).is_file() and not is_image_name(background):
        return background
    return read_background(background)


def _predictor_parameters(options: argparse.Namespace) -> dict[str, object]:
    """Return the options that determine the mattes; files by name, size and modification time."""
    from p3m_lightning.cli.shared.network import PASSES
    from p3m_lightning.inference.video.matting import file_identity

    names = ["model", "mode", "limit", "flips", "precision", "engine", *(name.replace("-", "_") for name in PASSES)]
    files = {name: file_identity(path) for name in ("ckpt", "weights") if (path := getattr(options, name))}
    return {name: getattr(options, name) for name in names} | files
