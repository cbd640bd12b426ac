"""`p3m export`: a network as an ONNX file, compared with the original."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from p3m_lightning.cli.network import add_checkpoint, check_checkpoint, published_network
from p3m_lightning.schema import InputError

if TYPE_CHECKING:  # imported where used, so that the help answers at once
    import numpy as np
    from torch import nn

PORTRAITS = ((0, 512, 512), (1, 470, 333), (2, 350, 401))  # seed, height, width of what is compared on by default


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.epilog = "example: p3m export --ckpt outputs/RUN/checkpoints/best.ckpt -o matting.onnx"
    add_checkpoint(parser, "checkpoint of this package")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.onnx", help="the file to write")
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="photographs to compare on (default: three synthetic portraits)"
    )
    parser.add_argument(
        "--precision", default="32", choices=["32", "fp16", "int8"], help="int8 is calibrated on the photographs"
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="SAD",
        help="largest difference of an image (default 0.1; for fp16 and int8 it is stated, not judged)",
    )
    parser.add_argument("--license", metavar="TEXT", help="of the weights, said in the file (default: as published)")
    parser.add_argument("--trained-on", metavar="TEXT", help="data, said in the file (default: as far as known)")


def run(options: argparse.Namespace) -> None:
    """Export, compare, print the differences and the file."""
    check_checkpoint(options)
    if options.output.suffix != ".onnx":
        raise InputError(f"-o {options.output}: give a file that ends in .onnx")
    net, facts = network_with_facts(options)
    images = comparison_images(options.images)
    from p3m_lightning.inference.export import export_onnx

    differences = export_onnx(net, options.output, list(images.values()), facts, options.precision, options.tolerance)
    for name, difference in zip(images, differences, strict=True):
        height, width = difference.size
        print(f"{name} ({width} x {height}): SAD {difference.sad:.2g}, largest difference {difference.largest:.2g}")
    print(options.output)


def comparison_images(folder: Path | None) -> dict[str, np.ndarray]:
    """Return pictures by name, uint8 (H, W, 3): those of `folder`, or synthetic portraits."""
    from p3m_lightning.images import list_images, read_image

    if folder is not None:
        return {path.name: read_image(path) for path in list_images(folder)}
    from p3m_lightning.data.synthetic import render_portrait

    return {
        f"portrait {seed}": render_portrait(seed, max(height, width)).image[:height, :width]
        for seed, height, width in PORTRAITS
    }


def network_with_facts(options: argparse.Namespace) -> tuple[nn.Module, dict[str, object]]:
    """Load the network, and gather what its file should say about it."""
    from p3m_lightning.inference.predictor import recorded_inference
    from p3m_lightning.models import load_model
    from p3m_lightning.models.weights import read_checkpoint

    if options.ckpt:
        net = load_model(options.ckpt)
        config = read_checkpoint(options.ckpt).config
        settings = {key: value for key, value in config["model"].items() if key != "_target_"}
        usual, sizes = recorded_inference(config)
        facts = {
            "settings": settings,
            "license": None,
            "trained_on": _training_set(config),
            "inference": {"mode": usual, **sizes},
        }
    else:
        net = published_network(options.model, options.weights)
        facts = _published_facts(options.model)
    stated = {"license": options.license, "trained_on": options.trained_on}
    return net, facts | {key: value for key, value in stated.items() if value}


def _training_set(config: dict) -> str | None:
    train = config.get("data", {}).get("train") or {}
    parts = train["datasets"].values() if "datasets" in train else [train]
    names = [part["name"] for part in parts if "name" in part]
    return ", ".join(dict.fromkeys(names)) or None


def _published_facts(name: str) -> dict[str, object]:
    """Return what the table of published checkpoints says where it knows a single one of this network."""
    from p3m_lightning.models.published import PUBLISHED

    entries = [entry for entry in PUBLISHED.values() if entry.model == name and not entry.encoder_only]
    if len(entries) != 1:
        return {"license": None, "trained_on": None}
    return {"license": entries[0].license, "trained_on": ", ".join(entries[0].trained_on)}
