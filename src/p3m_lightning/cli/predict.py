"""`p3m predict`: mattes, cut-outs and composites for photographs and folders."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from p3m_lightning.cli import AtLeast
from p3m_lightning.cli.shared.network import add_network, check_network, make_predictor
from p3m_lightning.messages import shortened
from p3m_lightning.schema import InputError

if TYPE_CHECKING:  # imported where used, so that --help is quick
    from p3m_lightning.inference import Predictor
    from p3m_lightning.inference.background import Background
    from p3m_lightning.inference.finder import Finder
    from p3m_lightning.inference.folder import Outcome
    from p3m_lightning.inference.matte import Products

SHOWN = 20  # failures listed one by one


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m predict photos/ -o mattes/ --cutout"
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="photographs and folders of them")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder for the mattes, as <name>.png"
    )
    parser.add_argument(
        "--trimaps", type=Path, metavar="DIR", help="folder of trimaps <name>.png, for networks that need them"
    )
    add_network(parser)
    _add_products(parser)
    _add_work(parser)


def _add_products(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("products")
    group.add_argument("--cutout", action="store_true", help="also DIR/cutout/<name>.png, RGBA without fringes")
    group.add_argument(
        "--background", metavar="IMAGE|COLOR|blur", help="also DIR/composite/<name>.png, over this background"
    )
    group.add_argument(
        "--light", type=float, default=0.0, metavar="0..1", help="how far the subject's light follows the background's"
    )
    group.add_argument(
        "--foreground",
        default="ml",
        choices=["ml", "fast"],
        help="how foreground colors are estimated (default ml, which is better)",
    )


def _add_work(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("many photographs")
    group.add_argument("--recursive", action="store_true", help="search subfolders too and keep their structure")
    group.add_argument("--resume", action="store_true", help="skip photographs whose results exist")
    group.add_argument(
        "--shard",
        type=_shard,
        default=(1, 1),
        metavar="I/N",
        help="process only part I of N, to share the work by hand",
    )
    group.add_argument(
        "--batch-size", action=AtLeast, default=1, metavar="N", help="photographs of equal size per pass (default: 1)"
    )
    group.add_argument(
        "--workers",
        action=AtLeast,
        default=2,
        metavar="N",
        help="threads that read, and as many that write (default: 2)",
    )
    group.add_argument(
        "--devices",
        type=_devices,
        default=1,
        metavar="N|auto",
        help="processes that share the work, each on its own GPU, or on the CPU where there is none; auto: all GPUs "
        "(default: 1)",
    )
    group.add_argument(
        "--nodes", action=AtLeast, default=1, metavar="N", help="machines, under torchrun or srun (default: 1)"
    )


def run(options: argparse.Namespace) -> int:
    """Predict all photographs; 2 if any of them failed."""
    from p3m_lightning.inference.finder import Finder
    from p3m_lightning.inference.matte import Products

    _check(options)
    products = Products(
        options.output, options.cutout, read_background(options.background), options.light, options.foreground
    )
    finished = products.finished if options.resume else None
    finder = Finder(options.inputs, options.recursive, options.output, options.shard, finished)
    finder.check()
    return (_run_alone if options.devices == options.nodes == 1 else _run_together)(options, finder, products)


def _run_alone(options: argparse.Namespace, finder: Finder, products: Products) -> int:
    from p3m_lightning.inference.folder import predict_files
    from p3m_lightning.parallel import silence_libraries
    from p3m_lightning.progress import track

    silence_libraries()
    total = sum(1 for _ in finder)
    if total == 0:
        return _finish(options, 0, report((), options))
    predictor = _make_predictor(options)
    outcomes = predict_files(predictor, finder, products, options.trimaps, options.batch_size, options.workers)
    outcomes = _none_missing(outcomes, total)
    if total > 1:
        outcomes = track(outcomes, "predicting", total)
    return _finish(options, total, report(outcomes, options))


def _none_missing(outcomes: Iterable[Outcome], total: int) -> Iterator[Outcome]:
    """Pass outcomes on, and check that none of the photographs counted beforehand was deleted meanwhile.

    Raises:
        InputError: there are fewer outcomes than `total`.
    """
    number = 0
    for outcome in outcomes:
        number += 1
        yield outcome
    if number < total:
        raise InputError(
            f"{total - number} of {total} photographs have disappeared since the start; run the command again"
        )


def _run_together(options: argparse.Namespace, finder: Finder, products: Products) -> int:
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # or torch prints stack traces when a process dies
    from p3m_lightning.inference.distributed.predict import MatteWriter, make_trainer, predict_files_ddp

    if ":" in options.device:
        raise InputError(f"--device {options.device}: with --devices give auto, cpu or cuda")
    trainer = make_trainer(options.devices, options.nodes, options.device)
    options.device = str(trainer.strategy.root_device)
    predictor = _make_predictor(options)
    writer = MatteWriter(finder.share(trainer.global_rank, trainer.world_size), products, options.workers)
    failures = predict_files_ddp(trainer, predictor, writer, options.trimaps, options.batch_size)
    if not trainer.is_global_zero:
        return len(list(failures))  # none: the first process reports those of all
    failed = report(failures, options)
    return _finish(options, writer.ledger.expected, failed)


def _make_predictor(options: argparse.Namespace) -> Predictor:
    predictor = make_predictor(options)
    if predictor.engine.needs_trimap != (options.trimaps is not None):
        raise InputError("--trimaps DIR: this network " + ("needs them" if options.trimaps is None else "takes none"))
    return predictor


def _finish(options: argparse.Namespace, total: int, failed: int) -> int:
    if total:
        print(f"{total - failed} of {total} photographs done, in {options.output}")
    else:
        print(f"nothing left to do: all results are in {options.output}")
    return 2 if failed else 0


def read_background(background: str | None) -> Background | None:
    """Read the image of --background once for all photographs; colors and `blur` pass through.

    Raises:
        InputError: neither a color nor a readable image.
    """
    from p3m_lightning.images import read_photo
    from p3m_lightning.inference.background import make_background

    if background is None or background == "blur":
        return background
    if Path(background).is_file():
        return read_photo(background).pixels
    make_background(background, (1, 1))
    return background


def check_light(options: argparse.Namespace) -> None:
    """Refuse a --light out of range, or without a background to take light from."""
    if not 0 <= options.light <= 1:
        raise InputError(f"--light {options.light}: give 0 to 1")
    if options.light and options.background is None:
        raise InputError(f"--light {options.light}: goes with --background")


def report(outcomes: Iterable[Outcome], options: argparse.Namespace) -> int:
    """Wait for all outcomes; report failures on stderr and, for folders or many files, in a manifest."""
    from p3m_lightning.files import atomic_path

    part, parts = options.shard
    manifest = options.output / ("failures.json" if parts == 1 else f"failures-{part}-of-{parts}.json")
    many = len(options.inputs) > 1 or options.inputs[0].is_dir()
    failures = []
    try:
        for outcome in outcomes:
            if outcome.reason:
                failures.append(outcome)
    finally:  # after Ctrl-C too
        failures.sort()
        if manifest.exists():  # in a folder that is not to be written to, what fails to be written says more
            manifest.unlink()
        if failures and many:
            with atomic_path(manifest) as aside:
                aside.write_text(json.dumps([{"file": str(f.source), "reason": f.reason} for f in failures], indent=1))
    if failures:
        for reason in shortened((failure.reason for failure in failures if failure.reason), SHOWN, f", see {manifest}"):
            print(f"p3m: {reason}", file=sys.stderr)
    return len(failures)


def _check(options: argparse.Namespace) -> None:
    check_network(options)
    if options.devices == 0:
        raise InputError("--devices 0: give 1 or more")
    check_light(options)
    if options.output.exists() and not options.output.is_dir():
        raise InputError(f"-o {options.output}: is a file; give a folder")


def _shard(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text}: give I/N, such as 1/4")
    return int(part), int(parts)


def _devices(text: str) -> int | str:
    if text != "auto" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text}: give a number or auto")
    return text if text == "auto" else int(text)
