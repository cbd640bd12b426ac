"""`p3m demo`: a page on this machine that cuts out the visitor's photographs."""

from __future__ import annotations

import argparse
import signal
import sys
from copy import copy
from pathlib import Path
from threading import Event

from p3m_lightning.cli.shared.network import add_network, check_network, make_predictor
from p3m_lightning.schema import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m demo --port 8000"
    add_network(parser)
    group = parser.add_argument_group("page")
    group.add_argument("--compare", type=Path, metavar="PATH", help="a second checkpoint, shown beside the first")
    group.add_argument("--port", type=int, metavar="N", help="on 127.0.0.1 (default: the first free one from 7860)")
    group.add_argument(
        "--megapixels", type=float, default=25, metavar="N", help="largest image accepted, in megapixels (default: 25)"
    )
    group.add_argument(
        "--quota",
        type=float,
        default=500,
        metavar="MB",
        help="space for uploaded and finished images, in MB (default: 500)",
    )


def run(options: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C."""
    check_network(options)
    if options.megapixels <= 0:
        raise InputError(f"--megapixels {options.megapixels}: give a number above 0")
    if options.quota <= 0:
        raise InputError(f"--quota {options.quota}: give a number above 0")
    if options.port is not None and not 1 <= options.port <= 65535:
        raise InputError(f"--port {options.port}: give 1 to 65535")
    from p3m_lightning.web import Limits, serve

    first = options.ckpt or Path(options.model)
    predictors = {str(first): make_predictor(options)}
    if options.compare:
        second = copy(options)
        second.ckpt, second.model, second.weights = options.compare, None, None
        predictors[f"{options.compare}"] = make_predictor(second)
        if len(predictors) == 1:
            raise InputError(f"--compare {options.compare}: is the first checkpoint; give another")
    limits = Limits(megapixels=options.megapixels, total_megabytes=options.quota)
    for number in (signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ())):
        signal.signal(number, lambda which, _: sys.exit(128 + which))  # an orderly exit, so that uploads are deleted
    with serve(predictors, options.port, limits) as address:
        print(f"{address} (Ctrl-C ends it)", flush=True)
        Event().wait()
