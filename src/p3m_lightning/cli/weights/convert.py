"""`p3m weights convert`: turn a published checkpoint into a safetensors file of this package."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from p3m_lightning.schema import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m weights convert p3mnet_r34 p3mnet_pretrained_on_p3m10k.pth p3mnet_r34.safetensors"
    parser.add_argument("name", metavar="NAME", help="a checkpoint of `p3m weights list`, or a network")
    parser.add_argument("source", metavar="FILE", type=Path, help="the file as its authors publish it")
    parser.add_argument("target", metavar="OUT.safetensors", type=Path, help="file to write")
    parser.add_argument("--sha256", metavar="HEX", help="refuse the file unless its SHA-256 begins with this")


def run(options: argparse.Namespace) -> None:
    """Convert strictly: every entry of the file must fit a parameter, and every parameter must get one."""
    from p3m_lightning.models import create_model, load_reference_weights
    from p3m_lightning.models.checkpoints import PUBLISHED
    from p3m_lightning.models.weights import read_weights, save_weights, verify_sha256

    if options.target.suffix != ".safetensors":
        raise InputError(f"{options.target}: weights are written as .safetensors; give it that suffix")
    entry = PUBLISHED.get(options.name)
    if entry is not None and entry.encoder_only:
        raise InputError(f"{options.name}: weights of an encoder need no conversion; use model.encoder_weights=FILE")
    name = entry.model if entry else options.name
    model = create_model(name)
    expected = options.sha256 or (entry and entry.sha256)
    if expected:
        verify_sha256(options.source, expected)
    load_reference_weights(model, read_weights(options.source), source=str(options.source))
    config: dict[str, Any] = {"model": {"name": name}}
    if entry:
        config |= {"published_as": options.name, "trained_on": list(entry.trained_on)}
    save_weights(model, config, options.target)
    print(options.target)
