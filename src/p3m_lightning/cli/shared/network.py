"""The options that name a network for a verb, and the loading of that network."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p3m_lightning.schema import InputError

if TYPE_CHECKING:  # imported where used, so that --help is quick
    from p3m_lightning.inference import Predictor
    from p3m_lightning.models.blocks import MattingNetwork

PASSES = {
    "scale": (float, "resize, and the semantic pass of hybrid: part of each side (default 0.5)"),
    "detail-scale": (float, "hybrid and tiled: part of each side in the detail pass (default 1)"),
    "detail-short-side": (int, "instead of --detail-scale: pixels of the shorter side in the detail pass"),
    "short-side": (int, "instead of --scale: bring the shorter side to this many pixels (MODNet: 512)"),
    "tile": (int, "tiled: side of a tile in pixels (default 768)"),
    "overlap": (int, "tiled: pixels that neighbors share (default 192)"),
}


def add_checkpoint(group: argparse._ActionsContainer, what: str) -> None:
    """Add the options that choose weights; `what` is the help of --ckpt."""
    group.add_argument("--ckpt", type=Path, metavar="PATH", help=what)
    group.add_argument("--model", metavar="NAME", help="instead: a network by name (see p3m models) ...")
    group.add_argument("--weights", type=Path, metavar="FILE", help="... with weights as its authors publish them")


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add the options that `make_predictor` reads."""
    group = parser.add_argument_group("network")
    add_checkpoint(group, "checkpoint of this package, or a file of p3m export (default: the network in the box)")
    group.add_argument(
        "--mode",
        help="resize, hybrid (finer), native, tiled (huge images) or auto; default: the mode recorded in the"
        " checkpoint, else resize, or native for networks that take a trimap",
    )
    group.add_argument(
        "--limit",
        type=int,
        metavar="PIXELS",
        help="resize and hybrid: first reduce the shorter side to this at most (default 1080; 0: never)",
    )
    for name, (kind, purpose) in PASSES.items():
        group.add_argument(f"--{name}", type=kind, metavar="N", help=purpose)
    group.add_argument("--flips", action="store_true", help="average with the mirrored image")
    group.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:1, ...")
    group.add_argument(
        "--precision", default="32", choices=["32", "bf16"], help="32, or bf16 if the processor or GPU supports it"
    )
    group.add_argument(
        "--engine",
        default="auto",
        metavar="NAME",
        help="torch, compile (slow to start, then faster); for a file of p3m export and the network in the box onnx,"
        " openvino; default auto: what is installed and starts soonest",
    )
    group.add_argument(
        "--compile", action="store_const", const="compile", dest="engine", help="the same as --engine compile"
    )


def check_network(options: argparse.Namespace) -> None:
    """Refuse options of `add_network` that contradict each other, before any work."""
    from p3m_lightning.models.box import BOX_FILE

    options.by_default = not (options.ckpt or options.model or options.weights)
    if options.by_default:
        options.ckpt = BOX_FILE
    check_checkpoint(options)
    if options.limit is not None and options.limit < 0:
        raise InputError(f"--limit {options.limit}: give pixels, or 0 for no limit")


def check_checkpoint(options: argparse.Namespace) -> None:
    """Refuse options of `add_checkpoint` that contradict each other."""
    if bool(options.ckpt) == bool(options.model):
        raise InputError("give either --ckpt PATH or --model NAME (with --weights FILE)")
    if options.weights and not options.model:
        raise InputError("--weights goes with --model NAME; a checkpoint of this package goes to --ckpt")


def make_predictor(options: argparse.Namespace) -> Predictor:
    """Load the network that the options name; if they name none, say on stderr that it is the one in the box.

    Raises:
        InputError: two networks or none are named, files do not fit, or options make no sense.
    """
    from p3m_lightning.models.box import BOX

    predictor = _load(options)
    if getattr(options, "by_default", False):  # said last, so that errors of input stay a single line
        print(f"p3m: network: {BOX}, which comes with the package; --ckpt PATH uses another", file=sys.stderr)
    return predictor


def _load(options: argparse.Namespace) -> Predictor:
    from p3m_lightning.inference import Predictor

    passes = {name.replace("-", "_"): getattr(options, name.replace("-", "_")) for name in PASSES}
    keys: dict[str, Any] = {"mode": options.mode, "flips": options.flips}
    keys |= {name: value for name, value in passes.items() if value is not None}
    if options.limit is not None:
        keys["max_short_side"] = options.limit or None
    keys |= {"precision": options.precision, "engine": options.engine}
    if options.ckpt and options.ckpt.suffix == ".onnx":
        return Predictor.from_onnx(options.ckpt, options.device, **keys)
    if options.ckpt:
        return Predictor.from_checkpoint(options.ckpt, options.device, **keys)
    return Predictor(published_network(options.model, options.weights), options.device, **keys)


def published_network(name: str, weights: Path | None) -> MattingNetwork:
    """Build a network with its authors' weights; none are needed where it has no parameters."""
    from p3m_lightning.models import create_model, load_reference_weights
    from p3m_lightning.models.weights import read_weights

    net = create_model(name)
    if weights is not None:
        load_reference_weights(net, read_weights(weights), str(weights))
    elif any(True for _ in net.parameters()):
        raise InputError(
            f"--model {name}: also give --weights FILE, or use --ckpt PATH instead;"
            " `p3m weights list` shows published files"
        )
    return net
